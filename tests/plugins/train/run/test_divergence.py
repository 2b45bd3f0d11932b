"""A loss, a gradient or weights that are no longer numbers end training, and are never kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests.plugins.train.tiny import Colours, make_run, train
from torch import Tensor

from glidepath.plugins.train.run.checkpoint import existing, load
from glidepath.plugins.train.run.log import LOG
from glidepath.plugins.train.run.run import Run, TrainingDiverged
from glidepath.plugins.train.stages.denoising import DenoisingStage


def spoil_images(run: Run, _at: int) -> Run:
    class Spoilt(Colours):
        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            images, captions = super().batch(seed, step, size)
            return images * math.nan if step == _at else images, captions

    return make_run(run.folder, dataset=Spoilt())


def spoil_gradients(run: Run, at: int) -> Run:
    """The loss stays finite at that step, and the gradient does not."""
    backward = 0

    def spoil(gradient: Tensor) -> Tensor:
        nonlocal backward
        backward += 1
        return gradient * math.nan if backward == at + 1 else gradient

    run.denoiser.get_parameter("first.weight").register_hook(spoil)
    return run


@pytest.mark.parametrize("spoil", [spoil_images, spoil_gradients])
@pytest.mark.parametrize("at", [5, 9, 11])
def test_training_that_diverges_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, spoil: Callable[[Run, int], Run], at: int
) -> None:
    run = spoil(make_run(tmp_path), at)
    with pytest.raises(TrainingDiverged) as raised:
        train(run, checkpoint_every=3, gradient_clip=0.0, probe_every=4)
    kept = existing(tmp_path)
    assert load(kept[-1]).step == at // 3 * 3
    assert str(kept[-1]) in str(raised.value)
    for path in [*kept, *tmp_path.glob("weights.safetensors")]:
        assert all(bool(value.isfinite().all()) for value in load_file(path).values())
    assert "NaN" not in (tmp_path / LOG).read_text()


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_no_number_at_the_last_step_is_noticed(tmp_path: Path, clip: float) -> None:
    with pytest.raises(TrainingDiverged, match="no checkpoint was written"):
        train(spoil_gradients(make_run(tmp_path), 11), checkpoint_every=100, gradient_clip=clip)


@pytest.mark.parametrize(("log_every", "checkpoint_every"), [(1, 100), (100, 1)])
def test_a_loss_that_is_no_number_ends_training_though_the_weights_are_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_every: int, checkpoint_every: int
) -> None:
    right = DenoisingStage.loss
    calls = 0

    def spoilt(self: DenoisingStage, *arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return right(self, *arguments) + (math.nan if calls == 3 else 0)

    monkeypatch.setattr(DenoisingStage, "loss", spoilt)
    with pytest.raises(TrainingDiverged, match="the loss of step 3"):
        train(make_run(tmp_path), log_every=log_every, checkpoint_every=checkpoint_every, probe_every=100)
    log = tmp_path / LOG
    assert not log.exists() or "NaN" not in log.read_text()


def test_divergence_is_noticed_when_a_run_is_asked_to_stop(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged):
        train(spoil_gradients(make_run(tmp_path), 1), stop_after=2)
    assert existing(tmp_path) == []
