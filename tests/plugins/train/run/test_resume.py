"""A training run that stopped goes on as if it had not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import Heard, KnownColours, log_of, make_run, steps_of, train
from torch import Tensor

from glidepath.core import Event
from glidepath.plugins.train.run.checkpoint import CheckpointError, existing
from glidepath.plugins.train.run.log import LOG
from glidepath.plugins.train.run.run import Run

pytestmark = pytest.mark.thorough

STAGES: dict[str, Any] = {
    "contrastive_steps": 3,
    "facts_steps": 2,
    "steps": 8,
    "checkpoint_every": 100,
    "text_encoder_rate": 0.5,
}
LAST = 13


def run_of(folder: Path, **changes: Any) -> Run:
    return make_run(folder, denoiser={"dropout": 0.2}, **({"dataset": KnownColours()} | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(run_of(folder), **STAGES) is not None
    return folder


@pytest.mark.parametrize("stop", range(1, LAST))
def test_stopping_after_any_step_of_any_stage_changes_no_bit(whole: Path, stop: int, tmp_path: Path) -> None:
    assert train(run_of(tmp_path), stop_after=stop, **STAGES) is None
    assert train(run_of(tmp_path), **STAGES) is not None
    assert_same_run(tmp_path, whole)


def test_stopping_after_every_step_changes_no_bit(whole: Path, tmp_path: Path) -> None:
    for stop in range(1, LAST + 1):
        train(run_of(tmp_path), stop_after=stop, **STAGES)
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("stop", [2, 5, 9])
def test_a_checkpoint_holds_all_that_training_depends_on(whole: Path, stop: int, tmp_path: Path) -> None:
    """Networks initialised otherwise, or another state of torch's global stream, make no difference."""
    train(run_of(tmp_path), stop_after=stop, **STAGES)
    run = run_of(tmp_path, init=99)
    torch.rand(7)
    train(run, **STAGES)
    assert_same_run(tmp_path, whole)


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint_of_its_last_step(
    whole: Path, tmp_path: Path
) -> None:
    heard = Heard()
    run = run_of(tmp_path, listeners=[heard], stop=lambda: len(heard.places) > 3)
    assert train(run, **STAGES) is None
    assert heard.places[-1] == (3, LAST, "facts")
    stopped = Event(name="stopped", step=3, total=LAST, stage="facts", figures=heard.events[-1].figures)
    assert heard.events[-1] == stopped
    assert "loss" in stopped.figures
    assert [path.name for path in existing(tmp_path)] == ["checkpoint-00000003.safetensors"]
    train(run_of(tmp_path), **STAGES)
    assert_same_run(tmp_path, whole)


def test_a_request_to_stop_between_two_stages_is_heard(tmp_path: Path) -> None:
    heard = Heard()
    run = run_of(tmp_path, listeners=[heard], stop=lambda: heard.places[-1][0] >= 5)
    assert train(run, **STAGES) is None
    assert heard.places[-1] == (5, LAST, "denoise")


def test_a_finished_run_writes_its_weights_again_and_trains_no_further(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "weights.safetensors").unlink()
    heard = Heard()
    assert train(run_of(tmp_path, listeners=[heard]), **STAGES) is not None
    assert heard.places == [(LAST, LAST, "denoise")]
    told = [event.name for event in heard.events if event.name != "warning"]  # its stages are short
    assert told == ["started", "stage", "stage-done", "done"]
    assert_same_run(tmp_path, whole)


def test_weights_in_channels_last_layout_resume_to_the_same_bits(tmp_path: Path) -> None:
    """Fused AdamW reads memory, not strides: moments laid out otherwise would be those of other weights."""
    for name, stop in (("whole", None), ("resumed", 6)):
        for stop_after in (stop, None):
            run = run_of(tmp_path / name)
            run.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            train(run, stop_after=stop_after)
    assert_same_run(tmp_path / "resumed", tmp_path / "whole")


def test_the_log_of_a_resumed_run_is_that_of_an_uninterrupted_one(whole: Path, tmp_path: Path) -> None:
    train(run_of(tmp_path), stop_after=7, **STAGES)
    lines = (tmp_path / LOG).read_text()
    # as if it had gone on to step 9 before it was killed in the middle of a line
    (tmp_path / LOG).write_text(lines + '{"step": 8, "stage": "denoise", "loss": 0.5}\n{"step": 9, "sta')
    train(run_of(tmp_path), **STAGES)
    assert steps_of(tmp_path) == steps_of(whole)
    (resumed,) = [line for line in log_of(tmp_path) if "loss" not in line]
    assert resumed == {"step": 7, "resumed_from": "checkpoint-00000007.safetensors"}


def test_a_run_that_died_before_its_first_checkpoint_begins_its_log_anew(whole: Path, tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"step": 4, "stage": "contrast", "loss": 1.5}\n')
    train(run_of(tmp_path), **STAGES)
    assert log_of(tmp_path) == log_of(whole)


def test_a_run_of_another_spec_is_refused_with_every_difference_and_changes_no_file(tmp_path: Path) -> None:
    spec = {"denoiser": {"use": "tiny", "width": [8, 8]}, "train": {"steps": 12, "learning_rate": 0.01}}
    train(make_run(tmp_path, spec=spec), stop_after=5)
    train(make_run(tmp_path, spec=spec), stop_after=8)
    existing(tmp_path)[-1].write_bytes(b"damaged")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = {"denoiser": {"use": "tiny", "width": [8, 9]}, "train": {"steps": 12, "learning_rate": 0.02}}
    with pytest.raises(CheckpointError) as raised:
        train(make_run(tmp_path, spec={**other, "data": {"use": "shapes"}}))
    said = str(raised.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "checkpoint-00000005.safetensors" in said
    assert "train.learning_rate was 0.01, and is 0.02" in said
    assert "denoiser.width[1] was 8, and is 9" in said
    assert 'data was null, and is {"use": "shapes"}' in said
    assert "train.steps" not in said
    assert train(make_run(tmp_path, spec=spec)) is not None


def test_what_no_step_depends_on_may_change_when_a_run_resumes(tmp_path: Path) -> None:
    spec = {"sampler": {"use": "ddim"}, "runtime": {"device": "cpu"}, "train": {"log_every": 4, "keep": 2}}
    train(make_run(tmp_path, spec=spec), stop_after=2)
    spec = {"sampler": {"use": "ddpm"}, "runtime": {"device": "auto"}, "train": {"log_every": 1, "keep": 9}}
    assert train(make_run(tmp_path, spec=spec), log_every=1, keep=9) is not None


def test_a_checkpoint_of_a_stage_that_the_run_does_not_have_is_refused(tmp_path: Path) -> None:
    train(make_run(tmp_path), stop_after=2, contrastive_steps=4)
    with pytest.raises(CheckpointError, match="stage 'contrast'"):
        train(make_run(tmp_path))


def test_a_checkpoint_of_other_modules_is_refused(tmp_path: Path) -> None:
    train(make_run(tmp_path), stop_after=2)
    with pytest.raises(CheckpointError, match="does not fit"):
        train(make_run(tmp_path, denoiser={"width": 16}))


def test_training_leaves_the_callers_random_stream_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(run)
    assert torch.equal(torch.rand(3), expected)


def assert_same_run(folder: Path, other: Path) -> None:
    """The same weights, the same last checkpoint (moments and averages included), the same log."""
    for name in ("weights.safetensors", existing(other)[-1].name):
        ours, theirs = load_file(folder / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        different = [key for key in theirs if not same_bits(ours[key], theirs[key])]
        assert not different, different
    assert steps_of(folder) == steps_of(other)


def same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)
