"""A run comes to the same weights whoever trains it: one process, or several that share its batches."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.plugins.train.scale import together
from tests.plugins.train.tiny import steps_of

from glidepath.plugins.train.run.checkpoint import existing, load

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks, which this system cannot"),
]

ROOT = Path(__file__).parents[4]

RUNS = [f"{name}{shards}" for name in ("two", "three", "changing") for shards in ("", "-shards")]

CODE = (
    "import pathlib, sys; from tests.plugins.train.scale import together; "
    "getattr(together, sys.argv[2])(pathlib.Path(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that together.py makes."""
    return filled(tmp_path_factory.mktemp("runs"), "main")


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those that take longer."""
    return filled(tmp_path_factory.mktemp("more"), "more")


def filled(folder: Path, by: str) -> Path:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "OMP_NUM_THREADS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-c", CODE, str(folder), by]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_the_weights_do_not_depend_on_how_many_processes_train(runs: Path, name: str) -> None:
    """Dropout, noise, timesteps and dropped captions included.

    "three" share 4 rows, 1, 1 and 2; "changing" are two, then three, then one.
    """
    for file in ("weights.safetensors", existing(runs / "one")[-1].name):
        ours, theirs = load_file(runs / name / file), load_file(runs / "one" / file)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            if not key.endswith(".calls"):  # forward passes: one row is not divided into two parts
                torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=0, msg=key)


@pytest.mark.parametrize(
    ("name", "trains"),
    [
        *product(["two", "three"], ["clip", "classifier", "importance", "uncertainty", "compiled"]),
        ("two", "edm2"),
    ],
)
def test_neither_do_those_of_losses_that_compare_rows_or_learn_from_them(
    more: Path, name: str, trains: str
) -> None:
    """A CLIP, a classifier, timesteps that are drawn as often as losses are large, losses over their learned
    size; nor does a compiler matter. Three with shards.
    """
    for file in ("weights.safetensors", existing(more / f"one-{trains}")[-1].name):
        ours, theirs = (load_file(more / f"{it}-{trains}" / file) for it in (name, "one"))
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            if not key.endswith(".calls"):
                torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=0, msg=key)


@pytest.mark.parametrize("optimizer", together.OPTIMIZERS)
@pytest.mark.parametrize("name", ["two", "then-two"])
def test_every_optimizer_and_average_is_that_of_one_process_where_they_are_divided(
    more: Path, name: str, optimizer: str
) -> None:
    """ "then-two" are one process that stops after 5 steps, then two with shards.

    Muon of torch rounds its steps to bfloat16, so that 8 of 0.01 differ where a last bit does. In float16
    gradients are rounded to 11 bits, and the steps of Adam with them.
    """
    atol = {"muon": 8 * 0.01 * 2**-7, "float16": 8 * 0.01 * 2**-7}.get(optimizer, 1e-5)
    theirs = more / f"one-{optimizer}"
    files = ["weights.safetensors", existing(theirs)[-1].name]
    files += [f"averages/{path.name}" for path in sorted((theirs / "averages").iterdir())]
    assert len(files) == 2 + 4
    for file in files:
        ours, wanted = load_file(more / f"{name}-{optimizer}" / file), load_file(theirs / file)
        assert ours.keys() == wanted.keys()
        for key, value in wanted.items():
            if not key.endswith(".calls"):
                torch.testing.assert_close(ours[key], value, atol=atol, rtol=0, msg=key)


@pytest.mark.parametrize("name", RUNS)
def test_the_log_is_that_of_the_whole_batch_and_written_once(runs: Path, name: str) -> None:
    ours, theirs = steps_of(runs / name), steps_of(runs / "one")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for line, other in zip(ours, theirs, strict=True):
        assert line.keys() == other.keys()
        assert line["loss"] == pytest.approx(other["loss"], abs=2e-6)


def test_a_step_that_overflows_in_one_process_is_left_out_by_all(more: Path) -> None:
    told = [(more / "overflowing" / f"changed-{rank}").read_text() for rank in range(2)]
    steps = [number != together.OVERFLOWS for number in range(1, 7)]
    assert told == [repr(steps)] * 2
    scale = load(existing(more / "overflowing")[-1]).tensors["scaler.scale"]
    assert float(scale) == 2.0**15  # from 2^16


@pytest.mark.parametrize("name", ["two", "two-shards"])
def test_samples_are_drawn_with_the_averages_of_one_process(runs: Path, name: str) -> None:
    ours, theirs = (Image.open(runs / it / "samples" / "00000008.png").convert("RGB") for it in (name, "one"))
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["killed-0", "killed-1"])
def test_as_many_processes_come_to_the_same_bits_killed_or_not(runs: Path, name: str) -> None:
    for file in ("weights.safetensors", existing(runs / "two")[-1].name):
        ours, theirs = load_file(runs / name / file), load_file(runs / "two" / file)
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def test_either_process_killed_at_random_times_the_run_comes_to_the_same_bits(more: Path) -> None:
    found = list(more.glob("random-*"))
    assert found
    for run in found:
        for file in ("weights.safetensors", existing(more / "two")[-1].name):
            ours, theirs = load_file(run / file), load_file(more / "two" / file)
            assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def test_a_killed_process_ends_the_others_and_the_first_leaves_a_checkpoint(runs: Path) -> None:
    statuses = [ast.literal_eval((runs / f"killed-{it}" / "statuses").read_text()) for it in range(2)]
    assert statuses == [[-9, 3], [3, -9]]
    resumed = [(runs / f"killed-{it}" / "log.jsonl").read_text() for it in range(2)]
    assert "checkpoint-00000005" in resumed[0]  # the first itself was killed
    assert "checkpoint-00000006" in resumed[1]
