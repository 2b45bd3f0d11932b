"""The engine `ray`, on two nodes that are simulated on this machine; one of them is killed in the middle."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from glidepath.plugins.studies.store.store import ENVIRONMENT, Store
from glidepath.registry.cli import main

pytestmark = [
    pytest.mark.slow,  # Ray takes seconds to start, and a process for each trial imports torch
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red, green]}
seeds: {sample: 2}
metrics:
  primary: {brightness: {use: unruly, times: 0}}
  secondary: {evaluations: network-evaluations}
"""


@pytest.fixture
def cluster(unruly: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head node without processors of its own, to which nodes are added."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


def exported(folder: str, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    assert main(["study", "export", folder]) == 0
    return list(csv.reader(capsys.readouterr().out.splitlines()))


def test_ray_and_local_find_the_same_though_a_node_dies(
    small: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY)
    assert main(["study", "run", "study.yaml", "--store", "local", "--json"]) == 0
    capsys.readouterr()

    cluster.add_node(num_cpus=1)
    doomed = cluster.add_node(num_cpus=1)
    # on either node one trial hangs until its marker is there twice
    endless = f"metrics.secondary.waits={{use: unruly, does: hang, times: 2, marker: {small}/marker}}"
    engine = f"engine={{use: ray, address: '{cluster.address}'}}"
    words = ["run", "study.yaml", "--store", "ray", "--json", "--set", engine, "--set", endless]
    command = [sys.executable, "-m", "glidepath.registry.cli", "study", *words]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    store = Store(small / "ray")
    try:
        deadline = time.monotonic() + 400
        while not (small / "marker").exists() or len((small / "marker").read_bytes()) < 2:
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        running = [it for key in store.node_keys() for it in store.attempts(key) if it.state == "running"]
        assert len(running) == 2
        cluster.remove_node(doomed, allow_graceful=False)
        while not any(it.state == "lost" for key in store.node_keys() for it in store.attempts(key)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # the other one hangs for ever: its process is killed, and lost as well
        [survivor] = [it for it in running if store.attempts(it.key)[it.number - 1].state == "running"]
        os.kill(json.loads((survivor.folder / ENVIRONMENT).read_text())["pid"], 9)
        assert driver.wait(300) == 0
        assert driver.stdout is not None
        assert json.loads(driver.stdout.read())["failed"] == 0
    finally:
        driver.kill()
        driver.wait()
    states = [[it.state for it in store.attempts(key)] for key in store.node_keys()]
    assert sorted(found for found in states if found != ["done"]) == [["lost", "done"]] * 2
    ours = [row for row in exported("ray", capsys) if row[3] != "waits"]
    assert ours == exported("local", capsys)


WATCHED = """
import json, os, sys
from glidepath.registry.cli import main
status = main(sys.argv[1:])
import ray
names = ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED")
said = {name: os.environ.get(name) for name in names}
said |= {"token": len(os.environ.get("RAY_AUTH_TOKEN", "")), "left": not ray.is_initialized()}
print(json.dumps({"status": status, **said}))
"""


def test_a_cluster_that_is_started_here_asks_for_a_token_and_tells_nobody(small: Path, unruly: None) -> None:
    (small / "study.yaml").write_text(STUDY)
    words = ["study", "run", "study.yaml", "--set", "engine={use: ray, slots: 1}", "--set", "seeds.sample=1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", WATCHED, *words]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout.splitlines()[-1]) == {
        "status": 0,
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "token": 64,
        "left": True,
    }


def test_an_engine_is_told_of_a_cluster_that_is_not_there(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY)
    engine = "engine={use: ray, address: '127.0.0.1:9'}"
    assert main(["study", "run", "study.yaml", "--set", engine]) == 1
    assert "engine ray: the cluster at 127.0.0.1:9 could not be reached" in capsys.readouterr().err
