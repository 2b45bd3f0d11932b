"""A step whose loss is no number, or far too high: told with its batch, and left out where that is wanted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import WORDS, Colours, Heard, make_run, steps_of, train
from torch import Tensor

from glidepath.core import Event
from glidepath.plugins.train.run.checkpoint import existing, load
from glidepath.plugins.train.run.loop import Loop
from glidepath.plugins.train.run.run import TrainingDiverged
from glidepath.plugins.train.run.spikes import Losses

LONG: dict[str, Any] = {"steps": 40, "checkpoint_every": 10, "log_every": 4, "probe_every": 100}


class Bad(Colours):
    """One batch is multiplied; it has names."""

    def __init__(self, at: int, by: float) -> None:
        self.at, self.by = at, by

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        images, captions = super().batch(seed, step, size)
        return images * (self.by if step == self.at else 1.0), captions

    def names(self, seed: int, step: int, size: int) -> list[str]:
        return [f"{step}-{index}.png" for index in range(size)]


def told_of(heard: Heard) -> list[Event]:
    return [event for event in heard.events if event.name == "spike"]


def weights_without(
    folder: Path, left_out: set[int], monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> dict[str, Tensor]:
    """The weights of a run of sound batches that does nothing in some steps."""
    with monkeypatch.context() as patch:
        begin = Loop.__init__

        def patched(self: Loop, *arguments: Any) -> None:
            begin(self, *arguments)
            self._left_out = set(left_out)

        patch.setattr(Loop, "__init__", patched)
        weights = train(make_run(folder), **LONG, **changes)
    assert weights is not None
    return load_file(weights)


@pytest.mark.parametrize(
    ("at", "by"),
    [
        (25, math.nan),
        (30, 1e4),
        pytest.param(3, math.inf, marks=pytest.mark.thorough),
        pytest.param(39, math.nan, marks=pytest.mark.thorough),
    ],
)
def test_training_goes_back_and_leaves_the_batch_out(
    tmp_path: Path, at: int, by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    weights = train(
        make_run(tmp_path / "spoilt", dataset=Bad(at, by), listeners=[heard]), on_spike="rewind", **LONG
    )
    assert weights is not None
    found, expected = load_file(weights), weights_without(tmp_path / "sound", {at}, monkeypatch)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    *_, spike = told_of(heard)
    assert spike.details["rewound_to"] == at // 10 * 10
    assert spike.details["left_out"] == [at + 1]
    assert spike.details["batches"][0]["names"][0] == f"{at}-0.png"
    lines = steps_of(tmp_path / "spoilt")
    assert [line["step"] for line in lines] == list(range(4, 41, 4))
    assert all(math.isfinite(line["loss"]) and line["loss"] < 100 for line in lines)


def test_a_spike_is_told_with_the_names_and_captions_of_its_batch(tmp_path: Path) -> None:
    heard = Heard()
    dataset = Bad(30, 1e4)
    assert train(make_run(tmp_path, dataset=dataset, listeners=[heard]), **LONG) is not None
    (spike,) = told_of(heard)
    (batch,) = spike.details["batches"]
    assert batch["step"] == 31
    assert batch["names"] == ["30-0.png", "30-1.png", "30-2.png", "30-3.png"]
    assert batch["captions"] == dataset.batch(0, 30, 4)[1]
    assert set(batch["captions"]) <= set(WORDS)
    assert "the loss of step 31 is" in spike.message
    assert "training goes on" in spike.message


def test_divergence_is_told_with_its_batch(tmp_path: Path) -> None:
    heard = Heard()
    with pytest.raises(TrainingDiverged, match=r"the loss of step 26.*train.on_spike=rewind"):
        train(make_run(tmp_path, dataset=Bad(25, math.nan), listeners=[heard]), **LONG)
    last = heard.events[-1]
    assert last.name == "diverged"
    assert [batch["step"] for batch in last.details["batches"]] == [25, 26]
    assert last.details["batches"][1]["names"][0] == "25-0.png"


def test_the_step_that_spoils_is_found_though_a_later_one_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient that is no number: the loss of that step is fine, and that of the next is not."""

    class Marked(Colours):
        step = 0

        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            Marked.step = step
            return super().batch(seed, step, size)

    def spoil(gradient: Tensor) -> Tensor:
        return gradient * math.nan if Marked.step == 13 else gradient

    heard = Heard()
    run = make_run(tmp_path / "spoilt", dataset=Marked(), listeners=[heard])
    run.denoiser.get_parameter("first.weight").register_hook(spoil)
    weights = train(run, on_spike="rewind", gradient_clip=0.0, **LONG)
    assert weights is not None
    assert told_of(heard)[-1].details["left_out"] == [14]
    found = load_file(weights)
    expected = weights_without(tmp_path / "sound", {13}, monkeypatch, gradient_clip=0.0)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("stop", [25, *(pytest.param(it, marks=pytest.mark.thorough) for it in (21, 27, 31))])
def test_a_run_that_went_back_resumes_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    for name, stops in (("whole", [None]), ("pieces", [stop, None])):
        for stop_after in stops:
            run = make_run(tmp_path / name, dataset=Bad(25, math.nan))
            train(run, stop_after=stop_after, on_spike="rewind", **LONG)
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("pieces", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert load(existing(tmp_path / "pieces")[-1]).meta["left_out"] == [25]


def test_a_run_whose_every_batch_is_bad_ends(tmp_path: Path) -> None:
    class AllBad(Bad):
        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            images, captions = Colours.batch(self, seed, step, size)
            return images * math.nan, captions

    with pytest.raises(TrainingDiverged, match="20 batches were left out before"):
        train(make_run(tmp_path, dataset=AllBad(0, 0.0)), on_spike="rewind", **LONG)


def losses_of(values: list[float], factor: float) -> list[int]:
    losses = Losses(factor)
    for step, value in enumerate(values):
        losses.add(step, torch.tensor(value))
    found = []
    while (spike := losses.look()) is not None:
        found.append(spike.step)
    return found


def test_a_spike_is_above_so_many_medians_of_the_steps_before() -> None:
    steady = [1.0, 3.0] * 10  # the median is 2
    assert losses_of([*steady, 20.1, 1.0], 10.0) == [20]
    assert losses_of([*steady, 19.9, 1.0], 10.0) == []
    assert losses_of([*steady, 1e9], 0.0) == []
    assert losses_of([1.0] * 19 + [1e9], 10.0) == []  # too few to know
    assert losses_of([1.0, math.nan, 1.0, math.inf], 0.0) == [1, 3]
    # a spike is not among those that the next is compared with
    assert losses_of([*steady, *[100.0] * 30], 10.0) == list(range(20, 50))
