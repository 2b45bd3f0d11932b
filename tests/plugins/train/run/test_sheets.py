"""Sheets of samples, drawn while a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.plugins.train.tiny import Heard, TinyDenoiser, make_run, train
from torch import nn

from glidepath.core import Conditioning, GlidepathError, NoiseLevels, Pipeline, Predict, Prediction
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.train.configs import Samples
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.sheets import Sheets


@pytest.fixture(autouse=True)
def samples_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny denoiser says that training does not sample; here it does."""

    def prepare(self: TinyDenoiser, conditioning: Conditioning, _levels: NoiseLevels) -> Predict:
        return lambda x, step: Prediction(self(x, step.t.expand(len(x)), conditioning), "epsilon", x, step)

    monkeypatch.setattr(TinyDenoiser, "prepare", prepare)


def drawing(folder: Path, **changes: Any) -> Run:
    run = make_run(folder, **changes)

    def pipeline_of(modules: Mapping[str, nn.Module]) -> Pipeline:
        parts: dict[str, Any] = dict(modules)
        parts["denoiser"].reads = frozenset({"text"})  # it is no upsampler here
        sampler = DdimSampler(DdimConfig(steps=3))
        return Pipeline(schedule=run.schedule, sampler=sampler, **parts)

    return make_run(folder, pipeline_of=pipeline_of, **changes)


def test_sheets_are_drawn_at_their_interval_and_training_is_the_same(tmp_path: Path) -> None:
    heard = Heard()
    samples = Samples(prompts=("red", "green", "blue", "grey"), every=5)
    train(drawing(tmp_path / "seen", listeners=[heard]), samples=samples)
    train(make_run(tmp_path / "unseen"))
    told = [event for event in heard.events if event.name == "samples"]
    files = [tmp_path / "seen" / "samples" / f"{step:08d}.png" for step in (5, 10)]
    assert [event.files["samples"] for event in told] == files
    for file in files:
        with Image.open(file) as picture:
            assert min(picture.size) > 2 * 128  # two rows of two, which are enlarged
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("seen", "unseen"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert files[0].read_bytes() != files[1].read_bytes()


@pytest.mark.parametrize("size", [(8, 8), (200, 300)])
def test_a_sheet_shows_each_image_over_what_was_asked(size: tuple[int, int], tmp_path: Path) -> None:
    """Small ones enlarged by a whole factor, large ones as they are."""
    images = torch.randint(256, (3, 3, *size), dtype=torch.uint8)
    sheets = Sheets(
        Samples(prompts=("one", "", "three"), columns=3),
        lambda _modules: lambda *_, **__: images,  # type: ignore[arg-type, return-value]
        nn.ModuleDict(),
    )
    with Image.open(sheets.draw(tmp_path, 1)) as picture:
        sheet = np.asarray(picture)
    cell = max(128, *size)
    factor = cell // max(size)
    height, width = (side * factor for side in size)
    beneath = []
    for index, image in enumerate(images):
        left = 6 + index * (cell + 6)
        top, inset = 6 + (cell - height) // 2, left + (cell - width) // 2
        shown = sheet[top : top + height : factor, inset : inset + width : factor]
        assert np.array_equal(shown, image.permute(1, 2, 0).numpy())
        beneath.append((sheet[6 + cell :, left : left + cell] < 128).any())
    assert beneath == [True, False, True]


def test_the_interval_may_be_one_of_images(tmp_path: Path) -> None:
    heard = Heard()
    samples = Samples(prompts=("red",), every_images=10)  # a step is of 4
    train(drawing(tmp_path, listeners=[heard]), samples=samples, steps=8)
    assert [event.step for event in heard.events if event.name == "samples"] == [3, 5, 8]


def test_a_sheet_that_cannot_be_drawn_costs_no_step(tmp_path: Path) -> None:
    def fails(_modules: Mapping[str, nn.Module]) -> Pipeline:
        raise GlidepathError("no sampler")

    heard = Heard()
    run = make_run(tmp_path, pipeline_of=fails, listeners=[heard])
    assert train(run, samples=Samples(prompts=("red",), every=6)) is not None
    (said, _) = [event.message for event in heard.events if event.name == "warning"]
    assert said == "samples could not be drawn: no sampler"


def test_samples_without_prompts_are_none() -> None:
    with pytest.raises(ValueError, match="prompts, or labels"):
        Samples()
    with pytest.raises(ValueError, match="2 prompts, and 1 labels"):
        Samples(prompts=("a", "b"), labels=(1,))
