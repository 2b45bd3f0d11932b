"""Studies and runs as the page tells of them: what commands print, seldom asked, and no other files."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.page import work
from glidepath.plugins.page.asking import answer
from glidepath.plugins.page.work import Work, curves
from glidepath.registry import Catalogue, load_catalogue


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    tmp_path = tmp_path_factory.mktemp("work")
    run = tmp_path / "runs" / "one"
    (run / "samples").mkdir(parents=True)
    lines = [{"step": step, "loss": 1 / step, "note": "x"} for step in range(1, 1001)]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 10')
    event = {"name": "done", "step": 1000, "total": 1000, "message": "<b>", "files": {"weights": "/secret"}}
    (run / "events.jsonl").write_text(json.dumps(event) + "\n")
    (run / "samples" / "00001.png").write_bytes(b"\x89PNG sheet")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (run / "samples" / "link.png").symlink_to(tmp_path / "secret.png")
    watched = Work(studies=tmp_path / "runs" / "studies", runs=tmp_path / "runs")
    yield watched
    watched.close()


def test_a_run_without_a_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/heartbeat.json").write_text('{"state": "stopped", "step": 8, "total": 100}')
    watched = Work(studies=tmp_path / "studies", runs=tmp_path)
    (run,) = watched.runs()["runs"]
    watched.close()
    assert (run["name"], run["state"], run["step"], run["curves"]) == ("new", "stopped", 8, {})


def test_a_run_that_goes_on_is_stopped_and_no_other(watched: Work, tmp_path: Path) -> None:
    (tmp_path / "on").mkdir()
    (tmp_path / "on/heartbeat.json").write_text('{"state": "running", "step": 8, "total": 100}')
    here = Work(studies=tmp_path / "studies", runs=tmp_path)
    assert "stops after its step" in here.stop("run", "on")["said"]
    assert (tmp_path / "on/stop.json").exists()
    here.close()
    with pytest.raises(GlidepathError, match="does not run: it is done"):
        watched.stop("run", "one")
    with pytest.raises(GlidepathError, match="there is no run of that name"):
        watched.stop("run", "../one")


def test_a_run_is_told_with_its_curves_its_sheets_and_what_happened(watched: Work) -> None:
    (run,) = watched.runs()["runs"]
    assert (run["name"], run["state"], run["step"], run["total"]) == ("one", "done", 1000, 1000)
    assert 200 <= len(run["curves"]["loss"]) <= 300
    assert run["curves"]["loss"][0] == (1.0, 1.0)
    assert run["events"] == ["step 1000: done: <b>"]
    assert watched.sheet("one", "00001.png") == b"\x89PNG sheet"
    assert "secret" not in json.dumps(run["events"])


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("one", "link.png"),
        ("one", "../log.jsonl"),
        ("..", "secret.png"),
        ("../one", "00001.png"),
        ("", "a.png"),
    ],
)
def test_nothing_else_is_read(watched: Work, name: str, file: str) -> None:
    with pytest.raises(GlidepathError, match="there is no"):
        watched.sheet(name, file)
    with pytest.raises(GlidepathError, match="there is no"):
        watched.report(name)
    with pytest.raises(GlidepathError, match="there is no"):
        watched.begin(name, "retry")


def test_where_nothing_has_run_nothing_is_told(tmp_path: Path) -> None:
    nothing = Work(studies=tmp_path / "a", runs=tmp_path / "b")
    assert nothing.studies()["studies"] == []
    assert nothing.runs()["runs"] == []


def test_however_many_watch_folders_are_read_seldom(watched: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred times what it costs passes before they are read again: 1 % of a processor."""
    read: list[float] = []

    def slowly() -> dict[str, Any]:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        read.append(begun)
        return {"runs": []}

    monkeypatch.setattr(watched, "_read_runs", slowly)
    watched._known["runs"] = (0.0, 0.0, {"runs": []})
    answers = [watched.runs() for _ in range(20)]
    assert len(read) == 1
    assert all(answer["again"] >= 0.05 / work._SHARE for answer in answers)


@pytest.mark.thorough
def test_what_is_begun_for_a_study_tells_how_it_ended(tmp_path: Path) -> None:
    watched = Work(studies=tmp_path / "runs" / "studies", runs=tmp_path / "runs")
    file = tmp_path / "wrong.yaml"
    file.write_text("study: {name: wrong}\n")
    folder = tmp_path / "runs" / "studies" / "wrong"
    folder.mkdir(parents=True)
    graph = {"study": "wrong", "file": str(file), "arms": [], "trials": [], "prompts": [], "nodes": {}}
    (folder / "graph.json").write_text(json.dumps(graph))
    watched.begin("wrong", "report")
    watched._started["wrong"].process.wait(timeout=60)
    (study,) = watched.studies()["studies"]
    assert "glidepath study report ended with status 2" in study["told"]
    file.unlink()
    with pytest.raises(GlidepathError, match=r"wrong.yaml, is not where it was"):
        watched.begin("wrong", "retry")
    with pytest.raises(GlidepathError, match="tried again, or reported"):
        watched.begin("wrong", "run")
    watched.close()


def test_bars_of_progress_are_not_told() -> None:
    with tempfile.TemporaryFile() as said:
        code = "import sys; sys.stderr.write('0 of 9\\r9 of 9\\r      \\rwhat failed\\n'); sys.exit(1)"
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stderr=said)
        process.wait(timeout=60)
        told = work._Started("retry", process, said).told()
    assert told == "glidepath study retry ended with status 1: what failed"


def test_curves_leave_out_what_is_no_number() -> None:
    lines = [{"step": 1, "loss": 2.0, "ok": True}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 1}]
    assert curves(lines) == {"loss": [(1.0, 2.0), (3.0, 1.0)]}


def test_a_command_that_fails_is_told_and_the_next_one_answered() -> None:
    assert answer(["runs", "--json"], Catalogue()) == {
        "problem": "no installed plugin supplies `glidepath runs`"
    }
    catalogue = load_catalogue()
    assert "there is no folder /nowhere" in answer(["runs", "/nowhere", "--json"], catalogue)["problem"]
    assert "unrecognized" in answer(["runs", "--no-such-option"], catalogue)["problem"]
