"""The buttons of a study, pressed on a real one that was run elsewhere: Stop, Try again, Write the report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.page.asking import Commands
from glidepath.plugins.page.state import Desk
from glidepath.registry import Catalogue

from ...contracts.distributions import install  # noqa: TID252 - tests are no installed package
from .conftest import HERE

pytestmark = pytest.mark.thorough

STUDY = """
base: {extends: shapes, runtime: {device: cpu}, sampler: {steps: 2}}
arms: [{axes: {sampler: [ddim, dpmpp-2m]}}]
seeds: {sample: 3}
data: {prompts: [a red circle]}
metrics: {primary: {gate: {use: python, file: gate.py}}}
engine: {use: local, slots: 1}
failures: {retries: {error: 0}}
"""
GATE = """
import pathlib, time

name, direction, unit = "gate", "higher", ""
HERE = pathlib.Path(__file__).parent


def per_prompt(images, prompts):
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.02)
    if (HERE / "broken").exists():
        raise RuntimeError("planted")
    return [1.0 for _ in prompts]
"""
HOW = ["--set", "seeds.sample=1"]
"""Neither these words nor the threads below stand in the file of the study."""


def _until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 600
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(
        Catalogue(),
        out=tmp_path,
        studies=tmp_path / "runs" / "studies",
        runs=tmp_path / "runs",
        no_plugins=True,
    )
    yield desk
    desk.work.close()


def test_a_study_is_stopped_tried_again_and_reported(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # of the page, and not of the study
    pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
    pytest.importorskip("httpx2", reason="httpx2, which starlette's test client needs, is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: extra [studies]")
    from starlette.testclient import TestClient

    from glidepath.plugins.page.routes import application

    client = TestClient(application(desk), base_url=HERE)

    def seen() -> Any:
        desk.work.answers["study"].forget()
        (study,) = client.get("/api/studies").json()["studies"]
        return study

    def press(what: str) -> str:
        answer = client.post("/api/studies/begin", json={"name": "tiny", "what": what})
        assert answer.status_code == 200, answer.text
        again = client.post("/api/studies/begin", json={"name": "tiny", "what": what})
        assert f"study {what} is running; wait" in again.json()["problem"]
        desk.work._started["tiny"].process.wait(timeout=600)
        return str(seen()["told"])

    (tmp_path / "tiny.yaml").write_text(STUDY)
    (tmp_path / "gate.py").write_text(GATE)
    (tmp_path / "broken").touch()
    running = subprocess.Popen(
        [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "tiny.yaml", *HOW],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    _until((tmp_path / "begun").exists)
    assert seen()["running"]
    stopped = client.post("/api/studies/stop", json={"name": "tiny"})
    assert "stops when its running tasks are done" in stopped.json()["said"]
    (tmp_path / "go").touch()
    _, said = running.communicate(timeout=600)
    assert running.returncode == 130, said
    study = seen()
    assert (study["running"], study["stages"]["measure"]["failed"]) == (False, 1)
    assert "planted" in study["failures"][0]["message"]
    assert "RuntimeError: planted" in study["failures"][0]["log"]

    (tmp_path / "broken").unlink()
    assert press("retry") == "glidepath study retry is done"
    study = seen()
    assert (study["stages"]["sample"], study["stages"]["measure"]) == ({"done": 2}, {"done": 2})
    # the two arms score alike, and what is concluded came without a report
    assert "in gate (difference 0" in study["verdicts"]["summary"]
    # none was drawn anew, by another number of threads
    assert len(list(tmp_path.glob("runs/studies/tiny/nodes/*/*"))) == 1 + 2 + 2
    assert not study["report"]

    assert press("report") == "glidepath study report is done"
    assert seen()["report"]
    assert "gate" in client.get("/studies/tiny/report").text
    assert "--no-plugins" in desk.work._started["tiny"].process.args  # type: ignore[operator]


def test_who_is_asked_loads_no_plugins_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = """
@hookimpl
def commands():
    return [Command(name="greet", target="acme_diffusion.greet:main", summary="s")]
"""
    greet = "def main(argv):\n    print('hello')\n    return 0\n"
    install(tmp_path, "acme-diffusion", "1.0", plugin, modules={"greet": greet})
    monkeypatch.syspath_prepend(str(tmp_path))
    asked, without = Commands(), Commands(no_plugins=True)
    try:
        assert asked.ask("greet")[0] == "hello\n"
        with pytest.raises(GlidepathError, match="no installed plugin supplies `glidepath greet`"):
            without.ask("greet")
    finally:
        asked.close()
        without.close()
