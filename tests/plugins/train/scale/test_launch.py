"""`glidepath train --processes`: several processes are started, and end, as one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.plugins.train.test_command import SPEC

from glidepath.plugins.train.run.checkpoint import existing

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes by /proc"),
]

MANY = ["--set", "train.steps=48", "--set", "train.checkpoint_every=4", "--set", "denoiser.dropout=0.1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec and its images."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "images").mkdir()
    for number in range(6):
        colour = ("red", "green")[number % 2]
        Image.new("RGB", (9 + number, 12), colour).save(folder / "images" / f"{number}.png")
        (folder / "images" / f"{number}.txt").write_text(colour)
    (folder / "tiny.yaml").write_text(SPEC)
    return folder


def start(place: Path, out: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """`glidepath train tiny.yaml --out OUT`, in a process group of its own."""
    module = ["-m", "glidepath.registry.cli", "train", "tiny.yaml", "--out", out, *arguments]
    return subprocess.Popen(
        [sys.executable, *before, *module],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=1200)
    assert process.returncode == status, err
    return out, err


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that train, in the order of their ranks."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    named = {int(it): Path(f"/proc/{it}/cmdline").read_text() for it in children}
    return [pid for pid, words in sorted(named.items()) if "spawn_main" in words]


def wait_for_checkpoint(folder: Path) -> None:
    """Until there is another newest one than now."""
    before = existing(folder)[-1:]
    for _ in range(30_000):
        if existing(folder)[-1:] != before:
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint came")


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The folder of a run of two processes that nothing stopped."""
    finish(start(place, "whole", "--processes", "2", *MANY))
    return place / "whole"


def same_bits(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_two_processes_come_to_the_weights_of_one(place: Path, whole: Path) -> None:
    out, _ = finish(start(place, "one", *MANY))
    assert out == "one/weights.safetensors\n"
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (whole, place / "one"))
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=0, msg=key)


def test_torchrun_starts_the_same_run(place: Path, whole: Path) -> None:
    before = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    out, err = finish(start(place, "torchrun", *MANY, before=before))
    assert out == "torchrun/weights.safetensors\n"
    assert err.count("step 48 of 48") == 1
    assert same_bits(place / "torchrun", whole)


def test_however_it_ends_a_run_goes_on_and_comes_to_the_same_bits(place: Path, whole: Path) -> None:
    """Two signals, what started them killed, a process killed: each time what the one before left goes on."""
    folder = place / "ended"
    for number in (signal.SIGTERM, signal.SIGINT):
        process = begun(place)
        os.killpg(process.pid, number)  # as a terminal sends Ctrl-C
        _, err = process.communicate(timeout=1200)
        assert process.returncode in (130, 143), err
        assert err.count("stopping after this step") == 1
        assert "Resume with the same command" in err

    process = begun(place)
    pids = workers(process)
    process.kill()
    process.wait()
    for _ in range(3000):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            break
        time.sleep(0.02)
    else:
        raise AssertionError("processes are left")

    assert loss_is_told(begun(place), 0, folder)
    process = start(place, "ended", "--processes", "2", *MANY)
    while len(workers(process)) < 2:
        time.sleep(0.05)
    time.sleep(random.Random(0).uniform(0, 6))
    loss_is_told(process, 1, folder)
    finish(start(place, "ended", "--processes", "2", *MANY))
    assert same_bits(folder, whole)


def begun(place: Path) -> subprocess.Popen[str]:
    """A run of two processes that has written a checkpoint."""
    process = start(place, "ended", "--processes", "2", *MANY)
    wait_for_checkpoint(place / "ended")
    return process


def loss_is_told(process: subprocess.Popen[str], rank: int, folder: Path) -> bool:
    """Kill one that trains, which ends the run with one message; False if the run came to its end before."""
    pids = workers(process)
    if len(pids) == 2:
        os.kill(pids[rank], signal.SIGKILL)
    _, err = process.communicate(timeout=1200)
    if process.returncode:
        (said,) = [line for line in err.splitlines() if "glidepath: error" in line]
        assert f"process {rank} of the run was killed by SIGKILL" in said
        assert existing(folder)[-1].name in said
    return process.returncode != 0


def test_fewer_processes_go_on_with_a_run(place: Path, whole: Path) -> None:
    finish(start(place, "fewer", "--processes", "2", "--steps-now", "10", *MANY))
    finish(start(place, "fewer", *MANY))
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (place / "fewer", whole))
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=0, msg=key)


def test_what_is_wrong_is_said_once(place: Path) -> None:
    _, err = finish(start(place, "wrong", "--processes", "3"), 1)
    assert err.count("a batch of 2 cannot be divided among 3 processes") == 1
    assert "Traceback" not in err
    (place / "images" / "6.png").write_bytes(b"no image")
    (place / "images" / "6.txt").write_text("red")
    try:
        _, err = finish(start(place, "wrong", "--processes", "2"), 1)
    finally:
        (place / "images" / "6.png").unlink()
        (place / "images" / "6.txt").unlink()
    assert err.count("1 of 7 images cannot be read") == 1
    assert err.count("glidepath: error") == 1
