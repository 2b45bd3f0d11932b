"""The engine `local`: what a killed trial, a killed driver and a trial without end leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glidepath.plugins.studies.engines.configs import LocalConfig
from glidepath.plugins.studies.engines.local import LocalEngine
from glidepath.plugins.studies.interface import Ended, Task
from glidepath.plugins.studies.store.store import Store
from glidepath.registry.cli import main

pytestmark = pytest.mark.thorough

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red, green]}
metrics:
  primary:
    evaluations: network-evaluations
"""


def wait_until(met: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.thorough
def test_a_killed_trial_is_lost_alone_and_run_again_and_one_without_end_times_out(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    more = (
        f"    killed: {{use: unruly, does: kill, times: 1, marker: {small}/killed}}\n"
        f"    endless: {{use: unruly, does: hang, times: 1, marker: {small}/endless}}\n"
        "failures: {timeout: 8}\n"
    )
    (small / "study.yaml").write_text(STUDY + more)
    assert main(["study", "run", "study.yaml", "--json"]) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["failed"], outcome["blocked"]) == (1, 0)
    assert main(["study", "status", "study.yaml", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert [it["class"] for it in status["failures"]] == ["timeout"]
    store = Store(small / "runs/studies/study")
    found = [[attempt.state for attempt in store.attempts(key)] for key in store.node_keys()]
    # embed, two samples, three metrics of each: one lost once, one without an end
    assert sorted(found) == [["done"]] * 7 + [["lost", "done"], ["timeout"]]
    for key in store.node_keys():
        for attempt in store.attempts(key):
            assert f"({key[:12]})" in (attempt.folder / "log.txt").read_text()


def test_a_killed_driver_takes_its_trials_along_and_what_was_done_is_not_run_again(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = f"    endless: {{use: unruly, does: hang, times: 1, marker: {small}/endless}}\n"
    (small / "study.yaml").write_text(STUDY + endless)
    store = Store(small / "runs/studies/study")
    driver = subprocess.Popen(
        [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "study.yaml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: (small / "endless").exists() or driver.poll() is not None, 120)
        assert driver.poll() is None
        running = [it for key in store.node_keys() for it in store.attempts(key) if it.state == "running"]
        [environment] = [json.loads((it.folder / "environment.json").read_text()) for it in running]
        done = {key for key in store.node_keys() if store.done(key) is not None}
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_until(lambda: not is_alive(environment["pid"]), 20)
    before = {key: [it.number for it in store.attempts(key)] for key in done}
    assert len(done) >= 3

    assert main(["study", "run", "study.yaml", "--set", "engine=in-process", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["found"], outcome["failed"]) == (len(done), 0)
    assert {key: [it.number for it in store.attempts(key)] for key in done} == before
    assert [it.state for it in store.attempts(running[0].key)] == ["cancelled", "done"]


def test_an_engine_gives_each_trial_a_process_and_no_more_than_it_has_slots_for(tmp_path: Path) -> None:
    engine = LocalEngine(LocalConfig(slots=2))
    tasks = []
    for name in ("a", "b", "c"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "order.json").write_text("no order")
        tasks.append(Task(name, folder / "order.json"))
    try:
        for task in tasks[:2]:
            assert engine.room(task)
            engine.submit(task)
        assert not engine.room(tasks[2])
        ended: list[Ended] = []
        wait_until(lambda: bool(ended.extend(engine.wait(1.0))) or len(ended) == 2)
        assert {it.id: it.status for it in ended} == {"a": 2, "b": 2}
        assert engine.room(tasks[2])
        assert "is no order" in (tmp_path / "a" / "log.txt").read_text()

        # the process that they start from dies: what ran is lost, and another takes its place
        launcher = engine._launcher
        assert launcher is not None
        pid = launcher._process.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGKILL)
        engine.submit(tasks[2])
        ended.clear()
        wait_until(lambda: bool(ended.extend(engine.wait(1.0))) or len(ended) == 1)
        assert ended[0].id == "c"
        assert ended[0].status != 0
    finally:
        engine.close()


def test_trials_are_spread_over_gpus() -> None:
    engine = LocalEngine(LocalConfig(slots=8, gpus=2, per_gpu=2))
    order = Path("order.json")
    chosen = []
    for number in range(4):
        gpu = engine._free_gpu()
        chosen.append(gpu)
        engine._running[str(number)] = (Task(str(number), order), gpu)
    assert chosen == [0, 1, 0, 1]
    assert not engine.room(Task("5", order))
