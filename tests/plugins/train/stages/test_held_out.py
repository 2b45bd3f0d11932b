"""The loss of what is held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.plugins.train.tiny import Colours, log_of, make_run, train
from torch import nn

from glidepath.plugins.train.stages.denoising import DenoisingStage
from glidepath.plugins.train.stages.timed import HELD_OUT_LEVELS


class Split(Colours):
    """Colours, of which some others are held out."""

    def __init__(self) -> None:
        self.validation = Colours()


def probe(run: Any, **changes: Any) -> dict[str, float]:
    from tests.plugins.train.tiny import config

    stage = DenoisingStage(config(**changes), run)
    return stage.probe(nn.ModuleDict(dict(stage.modules)))


def test_it_is_the_error_at_five_noise_levels_and_their_mean(tmp_path: Path) -> None:
    """A network that predicts zeros for epsilon is off by the square of the noise: 1, at every level."""
    run = make_run(tmp_path, dataset=Split())
    for parameter in run.denoiser.last.parameters():
        nn.init.zeros_(parameter)
    figures = probe(run, validation=128)
    held = [figures[f"held_out_at_{level}"] for level in HELD_OUT_LEVELS]
    assert held == [held[0]] * 5  # the noise is the same at each
    assert held[0] == pytest.approx(1, abs=0.03)
    assert figures["held_out"] == pytest.approx(sum(held) / 5, abs=1e-6)


def test_it_is_the_same_at_each_probe_and_leaves_training_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", dataset=Split())
    assert probe(run) == probe(run)
    assert not {key for key in probe(make_run(tmp_path)) if key.startswith("held")}
    assert not {key for key in probe(run, validation=0) if key.startswith("held")}
    train(make_run(tmp_path / "with", dataset=Split()))
    train(make_run(tmp_path / "without", dataset=Colours()))
    one, other = (log_of(tmp_path / it) for it in ("with", "without"))
    assert [line.get("loss") for line in one] == [line.get("loss") for line in other]
    assert "held_out" in one[-1]
    files = [tmp_path / it / "weights.safetensors" for it in ("with", "without")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_it_falls_as_the_network_learns(tmp_path: Path) -> None:
    train(make_run(tmp_path, dataset=Split()), steps=60, batch=16, probe_every=20)
    seen = [line["held_out"] for line in log_of(tmp_path) if "held_out" in line]
    assert seen[-1] < 0.8 * seen[0]
    assert all(torch.isfinite(torch.tensor(seen)))
