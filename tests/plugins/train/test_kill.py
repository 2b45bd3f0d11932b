"""A training run that is killed at any moment, and resumed, ends with the weights of one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glidepath.plugins.train.checkpoint import existing

from .tiny import steps_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks, which this system cannot")

HERE = Path(__file__).parent


def run_and_kill(folder: Path, plan: str) -> int:
    """Train in child processes, killed as `plan` has it; the number of kills."""
    code = (
        "import importlib.util, sys, pathlib\n"
        "for name in ('tiny', 'killed'):\n"
        "    spec = importlib.util.spec_from_file_location('kills.' + name, sys.argv[1] + '/' + name + '.py')\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    sys.modules['kills.' + name] = module\n"
        "    spec.loader.exec_module(module)\n"
        "sys.modules['kills.killed'].main(pathlib.Path(sys.argv[2]), sys.argv[3])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(HERE), str(folder), plan]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_and_kill(folder, "none") == 0
    return folder


@pytest.mark.parametrize("plan", ["steps", "writing", "random"])
def test_killed_at_any_moment_a_run_resumes_to_the_same_bits(whole: Path, plan: str, tmp_path: Path) -> None:
    """steps: within steps of both stages. writing: at each moment of writing a checkpoint, the log, the weights."""
    assert run_and_kill(tmp_path, plan) > 2
    for name in ["weights.safetensors", *(path.name for path in existing(whole))]:
        ours, theirs = load_file(tmp_path / name), load_file(whole / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert steps_of(tmp_path) == steps_of(whole)
