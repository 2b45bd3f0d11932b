"""What a run is told before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.plugins.train.tiny import Heard, config, make_run, train

from glidepath.core.errors import PartError
from glidepath.plugins.train.configs import Samples
from glidepath.plugins.train.run import checkpoint as checkpoints
from glidepath.plugins.train.run import precision
from glidepath.plugins.train.run.remarks import remarks
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.stages.contrast import ContrastStage
from glidepath.plugins.train.stages.denoising import DenoisingStage


def said(run: Run, **changes: Any) -> list[str]:
    made = config(**changes)
    stages = [ContrastStage(made, run)] if made.contrastive_steps else []
    return list(remarks(made, run, [*stages, DenoisingStage(made, run)]))


def test_a_sound_run_is_told_nothing(tmp_path: Path) -> None:
    assert said(make_run(tmp_path)) == []
    assert said(make_run(tmp_path), accumulate=3, steps=100_000, warmup_steps=500, rate="cosine") == []
    assert said(make_run(tmp_path), warmup_steps=0) == []


def test_a_learning_rate_that_is_never_reached_is_told(tmp_path: Path) -> None:
    """12 steps of a rise over 48; and one that falls before it has risen: a half at the crossing, squared."""
    long, crossing = (
        said(make_run(tmp_path), warmup_steps=48, decay_share=0),
        said(make_run(tmp_path), steps=1000, warmup_steps=1000, decay_share=1),
    )
    assert long == [
        "stage denoise: its 12 steps take the learning rate to 25% of its highest, as train.warmup_steps "
        "is 48"
    ]
    assert "1000 steps take the learning rate to 25% of its highest" in crossing[0]


def test_a_stage_before_the_last_is_told_by_its_own_steps(tmp_path: Path) -> None:
    assert [it.split(":")[0] for it in said(make_run(tmp_path), contrastive_steps=1)] == ["stage contrast"]


def test_a_batch_that_is_not_cut_into_parts_is_told(tmp_path: Path) -> None:
    told = said(make_run(tmp_path), contrastive_steps=12, accumulate=2)
    assert told == [
        "train.accumulate has no use in stage contrast, which compares all images of a batch at once"
    ]


def test_sheets_that_are_never_drawn_are_told(tmp_path: Path) -> None:
    def told(every: int, steps: int = 12, **more: Any) -> list[str]:
        return said(make_run(tmp_path), steps=steps, samples=Samples(prompts=("red",), every=every, **more))

    assert told(13) == ["train.samples: no sheet is drawn, as `every` is 13 steps, and the run is shorter"]
    assert told(12) == told(13, every_images=10) == []


def test_averages_that_are_kept_once_are_told(tmp_path: Path) -> None:
    told = said(make_run(tmp_path), ema_lengths=(0.05, 0.1), ema_every=12)
    assert told == [
        "train.ema_every is 12, and stage denoise has 12 steps: averages are kept at the end alone, and "
        "those of other lengths that are made of them are rough"
    ]
    assert said(make_run(tmp_path), ema_lengths=(0.05, 0.1), ema_every=6) == []


@pytest.fixture
def without_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has bfloat16 and float16 by way of float32 alone."""
    for name in ("bf16", "fp16"):
        monkeypatch.setattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported", lambda: False, raising=False)


@pytest.mark.usefixtures("without_instructions")
def test_a_precision_that_the_processor_has_not_is_told_once(tmp_path: Path) -> None:
    heard = Heard()
    train(make_run(tmp_path, listeners=[heard]), precision="bfloat16", steps=1, warmup_steps=1, decay_share=0)
    (warning,) = [it.message for it in heard.events if it.name == "warning"]
    assert warning == (
        "train.precision: this processor computes bfloat16 by way of float32, which is slower than float32 "
        "alone; auto is never slower"
    )
    assert "float16" in said(make_run(tmp_path), precision="float16")[0]
    assert said(make_run(tmp_path), precision="auto") == said(make_run(tmp_path), precision="float32") == []


def test_one_that_it_has_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    assert said(make_run(tmp_path), precision="bfloat16") == []


def test_auto_that_is_another_precision_than_before_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run that was begun on a GPU, and goes on on a processor."""
    chosen = precision.chosen

    def on_a_gpu(name: str, device: torch.device) -> str:
        return "bfloat16" if name == "auto" else chosen(name, device)

    with monkeypatch.context() as patch:
        patch.setattr("glidepath.plugins.train.run.loop.chosen", on_a_gpu)
        train(make_run(tmp_path), stop_after=7, precision="auto")
    newest = checkpoints.newest(tmp_path)
    assert newest is not None
    assert newest.checkpoint.meta["precision"] == "bfloat16"
    heard = Heard()
    train(make_run(tmp_path, listeners=[heard]), precision="auto")
    (warning,) = [it.message for it in heard.events if it.name == "warning"]
    assert warning.startswith(
        "train.precision: auto was bfloat16 up to step 7, and is float32 on this device"
    )


def test_a_best_figure_that_is_not_logged_is_told_once(tmp_path: Path) -> None:
    def told(folder: str, **changes: Any) -> list[str]:
        heard = Heard()
        train(make_run(tmp_path / folder, listeners=[heard]), probe_every=2, checkpoint_every=2, **changes)
        return [it.message for it in heard.events if it.name == "warning"]

    (warning,) = told("wrong", keep_best="held_out")
    assert warning == (
        "train.keep_best: no figure of the log is named 'held_out'; there are images_per_second, "
        "learning_rate, loss, memory_gb, other_caption, own_caption"
    )
    assert told("right", keep_best="own_caption", contrastive_steps=2, warmup_steps=1) == []


def test_no_other_precision_is_known() -> None:
    with pytest.raises(PartError, match="float64"):
        precision.chosen("float64", torch.device("cpu"))
