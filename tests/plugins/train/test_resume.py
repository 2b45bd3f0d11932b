"""A training run that stopped goes on as if it had not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.plugins.train import checkpoint as checkpoints
from glidepath.plugins.train.checkpoint import CheckpointError
from glidepath.plugins.train.run import LOG, Position

from .tiny import TinyDenoiser, make_run, train

TWO_STAGES: dict[str, Any] = {"contrastive_steps": 5, "steps": 8, "checkpoint_every": 100}
LAST = 13


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped, with dropout."""
    folder = tmp_path_factory.mktemp("whole")
    assert train_with_dropout(folder, init=1) is not None
    return folder


def train_with_dropout(folder: Path, init: int, stop_after: int | None = None) -> Path | None:
    run = make_run(folder)
    torch.manual_seed(init)
    run = make_run(folder, denoiser=TinyDenoiser(dropout=0.2)) if init == 1 else run
    return train(folder, stop_after, run=run, **TWO_STAGES)


@pytest.mark.parametrize("stop", range(1, LAST + 1))
def test_stopping_after_any_step_of_any_stage_changes_no_bit(whole: Path, stop: int, tmp_path: Path) -> None:
    finished = train_with_dropout(tmp_path, 1, stop_after=stop)
    assert (finished is None) == (stop < LAST)
    assert train_with_dropout(tmp_path, 1) is not None
    assert_same_run(tmp_path, whole)
