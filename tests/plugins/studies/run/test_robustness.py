"""What survives a driver that is killed at any moment, a full disk, and a folder that cannot be written."""

from __future__ import annotations

import csv
import ctypes
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glidepath.plugins.studies.store.store import Store
from glidepath.registry.cli import main

pytestmark = pytest.mark.thorough

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2, 3, 4]}}
data: {prompts: [red, green]}
seeds: {train: 1, sample: 2}
metrics:
  primary: {brightness: {use: unruly, times: 0}}
  secondary: {evaluations: network-evaluations}
"""
COMMAND = [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "study.yaml"]


def results(store: Store) -> int:
    return sum(store.done(key) is not None for key in store.node_keys())


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_driver_killed_at_random_moments_loses_nothing_that_was_finished(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str], kills: int
) -> None:
    (small / "study.yaml").write_text(STUDY)
    store = Store(small / "runs/studies/study")
    chance = random.Random(kills)
    done: dict[str, int] = {}
    for _ in range(kills):
        # the first kill of all may come before anything is done, the others where more has been than before
        wanted = min(len(done) + chance.choice([0, 1, 1, 2]), 24)
        driver = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 120
            while results(store) < wanted and driver.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 1.5))
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
        now = {key: found.number for key in store.node_keys() if (found := store.done(key)) is not None}
        assert {key: now.get(key) for key in done} == done
        done = now
    assert main(["study", "run", "study.yaml", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["failed"] == 0
    assert outcome["found"] >= len(done)
    assert outcome["ran"] + outcome["found"] == 1 + 1 + 8 + 16
    for key in store.node_keys():
        states = [attempt.state for attempt in store.attempts(key)]
        assert states[-1] == "done", (key, states)
        assert set(states[:-1]) <= {"cancelled"}

    assert main(["study", "run", "study.yaml", "--store", "whole", "--json"]) == 0
    capsys.readouterr()
    tables = []
    for folder in ("runs/studies/study", "whole"):
        assert main(["study", "export", folder]) == 0
        tables.append(list(csv.reader(capsys.readouterr().out.splitlines())))
    assert tables[0] == tables[1]
    assert len(tables[0]) == 1 + 8 * (2 + 1)


def full_disk(folder: Path) -> Callable[[], None]:
    """Makes a folder a disk of 400 kB; returns what takes it away."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    return lambda: subprocess.run(["umount", "-l", str(folder)], check=True)  # type: ignore[return-value]


def run_in(*words: str, prepare: Callable[[], None] | None = None) -> str:
    """The last line that the command says; it ends by itself, in an error that it reports."""
    made = subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=prepare,
    )
    assert made.returncode == 1, made.stderr
    last = made.stderr.strip().splitlines()[-1]
    assert last.startswith("glidepath: error: "), made.stderr
    return last


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
@pytest.mark.parametrize("engine", ["in-process", pytest.param("local", marks=pytest.mark.slow)])
def test_a_full_disk_ends_in_a_message_and_the_store_is_readable(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    (small / "study.yaml").write_text(STUDY.replace("{train: 1, sample: 2}", "{sample: 2}"))
    unmount = full_disk(small / "disk")
    try:
        said = run_in("--store", "disk/study", "--set", f"engine={engine}")
        assert "glidepath: error: cannot" in said
        assert "No space left on device" in said or "disk is full" in said
        assert main(["study", "status", "study.yaml", "--store", "disk/study", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["running"] is False
        assert main(["study", "export", "disk/study"]) == 0
        # with room again it goes on
        done = results(Store(small / "disk/study"))
        subprocess.run(["mount", "-o", "remount,size=10m", str(small / "disk")], check=True)
        capsys.readouterr()
        assert main(["study", "run", "study.yaml", "--store", "disk/study", "--json"]) == 0
        outcome = json.loads(capsys.readouterr().out)
        assert outcome["found"] == done
        assert outcome["failed"] == 0
    finally:
        unmount()


def test_a_file_that_may_not_grow_ends_in_a_message(small: Path, unruly: None) -> None:
    import resource

    (small / "study.yaml").write_text(STUDY)
    limit = (3000, 3000)
    said = run_in(prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert "glidepath: error: cannot write" in said
    assert "File too large" in said or "disk I/O error" in said


def test_a_training_that_is_interrupted_with_its_study_is_no_failure(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY)
    one = ["engine=in-process", "arms.axes={sampler.steps: [1]}", "base.train.steps=200"]
    words = [word for it in one for word in ("--set", it)]
    driver = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(small.glob("runs/studies/study/nodes/*/*/work/checkpoint-*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    said = driver.communicate()[1]
    assert driver.returncode == 130, said
    (left,) = small.glob("runs/studies/study/nodes/*/*/attempts/*/failure.json")
    assert json.loads(left.read_text())["failure"] == "cancelled"
    assert main(["study", "run", "study.yaml", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 0


def without_privileges() -> None:
    """In the process that follows, permissions hold for root too."""
    drop_from_bounding_set = 24
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


def test_a_folder_that_cannot_be_written_ends_in_a_message_and_can_be_read(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY.replace("{train: 1, sample: 2}", "{sample: 1}"))
    assert main(["study", "run", "study.yaml", "--set", "engine=in-process", "--json"]) == 0
    store = small / "runs/studies/study"
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        more = ("--set", "seeds.sample=2", "--set", "engine=in-process")
        said = run_in(*more, prepare=without_privileges)
        assert "glidepath: error: cannot" in said
        assert "Permission denied" in said
        for words in (["status", str(store)], ["export", str(store)], ["plan", "study.yaml", "--no-probe"]):
            command = [*COMMAND[:-2], *words]
            read = subprocess.run(command, capture_output=True, text=True, preexec_fn=without_privileges)
            assert read.returncode == 0, read.stderr
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("what", ["nodes", "graph.json", "nodes/*/*/attempts/0001/result.json"])
def test_a_store_that_may_not_be_read_ends_in_a_message_and_is_kept(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    (small / "study.yaml").write_text(STUDY.replace("{train: 1, sample: 2}", "{sample: 1}"))
    assert main(["study", "run", "study.yaml", "--set", "engine=in-process", "--json"]) == 0
    path = next((small / "runs/studies/study").glob(what))
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        for words in (["run", "study.yaml"], ["status", "study.yaml"], ["export", "runs/studies/study"]):
            command = [*COMMAND[:-2], *words]
            made = subprocess.run(command, capture_output=True, text=True, preexec_fn=without_privileges)
            assert made.returncode == 1
            last = made.stderr.splitlines()[-1]
            assert last.startswith("glidepath: error: cannot ")
            assert last.endswith("Permission denied")
        command = [*COMMAND[:-2], "list"]
        made = subprocess.run(command, capture_output=True, text=True, preexec_fn=without_privileges)
        assert (made.returncode, made.stderr) == (0, "")
    finally:
        path.chmod(mode)
    capsys.readouterr()
    assert main(["study", "run", "study.yaml", "--set", "engine=in-process", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ran"] == 0
