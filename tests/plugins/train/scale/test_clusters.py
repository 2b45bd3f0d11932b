"""`glidepath train --engine`: processes that Slurm or Ray start."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.test_command import SPEC, spec, train  # noqa: F401 - a fixture

from glidepath.core import GlidepathError
from glidepath.plugins.train.command import parser
from glidepath.plugins.train.scale.clusters import Work, settings_of, submit_to_slurm, train_by_ray

WORK = Work(len, (), ".")


def lacks(*modules: str) -> pytest.MarkDecorator:
    absent = [name for name in modules if importlib.util.find_spec(name.partition(".")[0]) is None]
    return pytest.mark.skipif(bool(absent), reason=f"without {', '.join(absent)}, which is an extra")


def test_settings_are_json_where_they_are() -> None:
    found = settings_of(["nodes=2", "slurm_partition=gpu", "use_gpu=true", "a=b=c"])
    assert found == {"nodes": 2, "slurm_partition": "gpu", "use_gpu": True, "a": "b=c"}


@pytest.mark.parametrize("word", ["nodes", "=2"])
def test_other_settings_are_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["shapes", f"--engine-set={word}"])
    assert f"argument --engine-set: '{word}' is no KEY=VALUE" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("submitit", "ray"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(GlidepathError, match=r"need submitit.*glidepath-diffusion\[slurm\]"):
        submit_to_slurm(WORK, 2, tmp_path, {})
    with pytest.raises(GlidepathError, match=r"need ray.*glidepath-diffusion\[ray\]"):
        train_by_ray(WORK, 2, tmp_path, {})


@lacks("submitit")
def test_what_cannot_be_submitted_is_told(tmp_path: Path) -> None:
    with pytest.raises(GlidepathError, match="3 processes cannot be divided among 2 nodes"):
        submit_to_slurm(WORK, 3, tmp_path, {"nodes": 2})
    with pytest.raises(GlidepathError, match=r"could not be submitted.*no_such_setting"):
        submit_to_slurm(WORK, 2, tmp_path, {"cluster": "local", "no_such_setting": 1})


@pytest.mark.thorough
@lacks("submitit")
def test_slurm_s_tasks_train_one_run(spec: Path) -> None:  # noqa: F811
    """By submitit's stand-in for Slurm on one machine."""
    assert train("--out", "one") == 0
    submitted = ["--engine", "slurm", "--engine-set", "cluster=local", "--engine-set", "timeout_min=10"]
    assert train("--out", "two", "--processes", "2", *submitted) == 0
    for _ in range(3000):
        if Path("two/weights.safetensors").exists():
            break
        time.sleep(0.1)
    assert_close(Path("two"), Path("one"))


@pytest.mark.thorough
@lacks("ray", "pandas")
def test_ray_s_workers_train_one_run(spec: Path) -> None:  # noqa: F811
    assert train("--out", "one") == 0
    assert train("--out", "two", "--processes", "2", "--engine", "ray") == 0
    assert_close(Path("two"), Path("one"))


def assert_close(folder: Path, other: Path) -> None:
    ours, theirs = (load_file(it / "weights.safetensors") for it in (folder, other))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=0, msg=key)
