"""Studies and runs as the page tells of them: what commands print, seldom asked, and no other files."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.page.asking import Commands, answer
from glidepath.plugins.page.seldom import SHARE, Seldom
from glidepath.plugins.page.work import Work, _Started, curves
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
    (run,) = watched.told("run")
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
    (run,) = watched.told("run")
    assert (run["name"], run["state"], run["step"], run["total"]) == ("one", "done", 1000, 1000)
    assert 200 <= len(run["curves"]["loss"]) <= 300
    assert run["curves"]["loss"][0] == (1.0, 1.0)
    assert run["events"] == ["step 1000: done: <b>"]
    assert watched.sheet("run", "one", "00001.png") == b"\x89PNG sheet"
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
        watched.sheet("run", name, file)
    with pytest.raises(GlidepathError, match="there is no"):
        watched.report(name)
    with pytest.raises(GlidepathError, match="there is no"):
        watched.begin(name, "retry")


def test_where_nothing_has_run_nothing_is_told(tmp_path: Path) -> None:
    nothing = Work(studies=tmp_path / "a", runs=tmp_path / "b")
    assert nothing.told("study") == nothing.told("run") == []


def test_however_many_watch_it_is_read_seldom() -> None:
    """A hundred times what it costs passes before it is read again: 1 % of a processor."""
    read: list[float] = []

    def slowly(_ask: Any) -> dict[str, Any]:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        read.append(begun)
        return {"runs": []}

    seldom = Seldom(Commands(), slowly)
    seldom.latest()
    seldom.forget()
    answers = [seldom.latest() for _ in range(20)]
    assert len(read) == 2  # the first one, whose imports count for nothing, and one for all
    assert all(it is seldom.known() for it in answers)
    assert json.loads(answers[0].body)["again"] >= 0.05 / SHARE


def test_while_one_reads_others_are_told_what_was_there_before() -> None:
    reads, go = threading.Event(), threading.Event()
    go.set()

    def read(_ask: Any) -> dict[str, Any]:
        reads.set()
        assert go.wait(60)
        return {"runs": []}

    seldom = Seldom(Commands(), read)
    assert seldom.known() is None
    first = seldom.latest()
    seldom.forget()
    assert seldom.known() is None
    reads.clear()
    go.clear()
    reader = threading.Thread(target=seldom.latest)
    reader.start()
    assert reads.wait(60)
    assert seldom.known() is first
    go.set()
    reader.join(60)
    assert seldom.known() is not first


def test_what_cannot_be_read_is_told_and_not_tried_for_everybody() -> None:
    tried = []

    def read(_ask: Any) -> dict[str, Any]:
        tried.append(1)
        raise GlidepathError("no such luck")

    seldom = Seldom(Commands(), read)
    assert [seldom.latest().problem for _ in range(20)] == ["no such luck"] * 20
    assert len(tried) == 1


class Asked:
    """Commands as a process would answer them, noted. running: the names of studies that run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.running, self.words = folder, set[str](), list[str]()

    def __call__(self, *words: str) -> Any:
        self.words.append(" ".join(words[:2]))
        if words[1] == "list":
            files = sorted([*self.folder.glob("*/graph.json"), *self.folder.glob("*/others/*/graph.json")])
            rows = [(str(it.parent), it.parent.name in self.running) for it in files]
            return [{"folder": place, "running": running, "trials": 1} for place, running in rows]
        return {"study": words[2], "folder": words[2]}


def test_of_studies_that_do_not_run_nothing_is_asked_again(tmp_path: Path) -> None:
    for name in ("a", "a/others/b", "c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "graph.json").write_text("{}")
    watched, asked = Work(studies=tmp_path, runs=tmp_path), Asked(tmp_path)

    def statuses() -> int:
        asked.words.clear()
        found = watched._read_studies(asked)["studies"]
        assert [it["name"] for it in found] == ["a", "a/others/b", "c"]
        return asked.words.count("study status")

    assert [statuses(), statuses()] == [3, 0]
    asked.running.add("c")
    assert [statuses(), statuses()] == [1, 1]
    asked.running.clear()
    assert [statuses(), statuses()] == [1, 0]  # once more, as it has ended
    asked.running.add("b")  # which makes results that are those of a, too
    assert [statuses(), statuses()] == [2, 2]
    asked.running.clear()
    (tmp_path / "c" / "graph.json").write_text("{ }")  # it ran, and nobody looked
    assert [statuses(), statuses()] == [3, 0]


def test_the_grids_of_a_report_are_told_and_no_other_file(tmp_path: Path) -> None:
    figures = tmp_path / "a" / "report" / "figures"
    figures.mkdir(parents=True)
    (tmp_path / "a" / "graph.json").write_text("{}")
    for name in ("grid.json", "grid.png", "forest.png", "gone.json"):
        (figures / name).write_bytes(b"\x89PNG " + name.encode())
    watched = Work(studies=tmp_path, runs=tmp_path)
    watched.answers["study"] = Seldom(Commands(), lambda _ask: watched._read_studies(Asked(tmp_path)))
    (study,) = watched.told("study")
    assert (study["report"], study["grids"]) == (False, ["grid.png"])
    assert watched.sheet("study", "a", "grid.png") == b"\x89PNG grid.png"
    for name, file in (
        ("a", "../../graph.json"),
        ("a", "grid.json"),
        ("../a", "grid.png"),
        ("a", "gone.png"),
    ):
        with pytest.raises(GlidepathError, match="there is no"):
            watched.sheet("study", name, file)


def test_of_runs_whose_files_are_as_they_were_nothing_is_asked_again(tmp_path: Path) -> None:
    log = tmp_path / "one" / "log.jsonl"
    log.parent.mkdir()
    log.write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n')
    watched, asked, state = Work(studies=tmp_path, runs=tmp_path), [], ["done"]

    def ask(*words: str) -> Any:
        asked.append(words)
        return [{"run": str(log.parent), "state": state[0]}]

    for _ in range(2):
        (run,) = watched._read_runs(ask)["runs"]
        assert run["curves"] == {"loss": [(1.0, 2.0), (2.0, 1.0)]}
    assert len(asked) == 1
    with log.open("a") as file:
        file.write('{"step": 3, "loss": 0}\n')
    state[0] = "running"
    (run,) = watched._read_runs(ask)["runs"]
    assert run["curves"]["loss"][-1] == (3.0, 0.0)
    watched._read_runs(ask)  # one that runs may be gone, though its files say nothing of it
    assert len(asked) == 3


def test_what_was_sent_is_not_sent_again(client: Any) -> None:
    answer = client.get("/api/runs")
    assert (answer.status_code, answer.json()["runs"]) == (200, [])
    again = client.get("/api/runs", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/runs", headers={"if-none-match": '"other"'}).json() == answer.json()


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
    (study,) = watched.told("study")
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
        told = _Started("retry", process, said).told()
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
