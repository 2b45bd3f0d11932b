"""The benchmark of training compares loops that learn the same."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SPEC = {
    "schedule": "cosine",
    "text_encoder": {
        "use": "transformer",
        "width": 16,
        "layers": 1,
        "heads": 2,
        "context": 4,
        "pooled_width": 128,
        "tokenizer": {"use": "words", "vocabulary": ["a", "red", "circle"]},
    },
    "denoiser": {
        "use": "adm-unet",
        "image_size": 16,
        "channels": 32,
        "channel_mult": [1, 2],
        "res_blocks": 1,
        "attention_resolutions": [8],
        "text_width": 16,
        "predicts": "velocity",
    },
    "sampler": {"use": "ddim", "steps": 2},
}
PEER = {
    "size": 16,
    "channels": 3,
    "widths": (32, 32),
    "attention": (False, True),
    "head_channels": 16,
    "text": (4, 16),
    "variance": False,
    "predicts": "v_prediction",
}
STEPS = 3


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("loops")


@pytest.mark.parametrize("name", ["glidepath", "plain PyTorch"])
def test_a_network_that_says_nothing_yet_has_the_loss_of_its_targets(loops: Any, name: str) -> None:
    # velocity = alpha noise - sigma x_0, and both are of variance 1: its mean square is 1
    model = loops.Model(spec=SPEC, batch=8, peers={})
    steps = []
    loss = loops.loops_of(model)[name](model, STEPS, lambda: steps.append(0))
    assert len(steps) == STEPS
    assert loss == pytest.approx(1, abs=0.05)


@pytest.mark.thorough
def test_the_loop_of_diffusers_trains_its_network_for_a_step_after_the_other(loops: Any) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [bench]")
    pytest.importorskip("accelerate", reason="needs the extra [bench]")
    model = loops.Model(spec=SPEC, batch=8, peers={"peer": PEER})
    found = loops.loops_of(model)
    assert set(found) == {"glidepath", "plain PyTorch", "peer", "peer, channels_last"}
    steps = []
    losses = [found[name](model, STEPS, lambda: steps.append(0)) for name in ("peer", "peer, channels_last")]
    assert len(steps) == 2 * STEPS
    assert losses[0] == pytest.approx(1, abs=0.5)  # its last layer does not begin at 0
    assert losses[1] == pytest.approx(losses[0], abs=0.5)


@pytest.mark.thorough
def test_the_loops_take_turns_in_processes_of_their_own(
    loops: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = importlib.import_module("training")
    monkeypatch.setitem(training.MODELS, "tiny", loops.Model(spec=SPEC, batch=2, peers={}))
    monkeypatch.setattr(loops, "find_spec", lambda _name: None)  # without diffusers
    written = tmp_path / "figures.json"
    options = ["--models", "tiny", "--rounds", "2", "--steps", "2", "--json", str(written)]
    assert training.main(options) == 0
    measured = json.loads(written.read_text())["models"]["tiny"]
    assert set(measured) == {"glidepath", "plain PyTorch"}
    ours, plain = measured["glidepath"], measured["plain PyTorch"]
    assert ours["speed_up"] == 1
    assert plain["middle_half"][0] <= plain["speed_up"] <= plain["middle_half"][1]
    assert ours["parameters"] == plain["parameters"] > 0
    assert min(ours["seconds"], plain["seconds"], ours["peak_bytes"], plain["peak_bytes"]) > 0


@pytest.mark.parametrize("kind", ["captioned-folder", "table", "webdataset"])
def test_the_benchmark_of_the_input_pipeline_reads_each_kind_of_dataset(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    made = importlib.import_module("input")
    options = argparse.Namespace(side=16, size=8, format="png", batch=4, steps=2)
    dataset = made.DATASETS[kind](tmp_path, options)
    images, captions = dataset.batch(0, 0, 4)
    assert images.shape == (4, 3, 8, 8)
    assert all(caption.startswith("picture ") for caption in captions)
    seconds, busy = made.measured(dataset, options, 0, pause=0.05, clock=time.perf_counter)
    assert seconds >= 0.05 / 4
    assert 0 < busy < 1
