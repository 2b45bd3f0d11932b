"""A training run that is killed at any moment, and resumed, ends with the weights of one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import steps_of

from glidepath.plugins.train.run.checkpoint import existing

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks, which this system cannot"),
]

ROOT = Path(__file__).parents[4]

CODE = (
    "import pathlib, sys; from tests.plugins.train.run import killed; killed.main(pathlib.Path(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that killed.py makes."""
    folder = tmp_path_factory.mktemp("runs")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", CODE, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_killed_at_any_moment_a_run_resumes_to_the_same_bits(runs: Path) -> None:
    """steps: within a step. writing: at each moment of writing a checkpoint, the log, the weights.

    random: at 20 random times.
    """
    plans = sorted(path.name for path in runs.iterdir() if path.name != "whole")
    assert plans[0] == "random-0"
    assert plans[-2:] == ["steps", "writing"]
    for plan in plans:
        require_same(runs / plan, runs / "whole")


def require_same(run: Path, whole: Path) -> None:
    for name in ["weights.safetensors", *(path.name for path in existing(whole))]:
        ours, theirs = load_file(run / name), load_file(whole / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert steps_of(run) == steps_of(whole)


def test_kills_leave_no_more_than_partial_files_under_other_names(runs: Path) -> None:
    kept = [path.name for path in existing(runs / "writing")]
    assert kept == [path.name for path in existing(runs / "whole")]
    assert list((runs / "writing").glob("*.partial")) == []
