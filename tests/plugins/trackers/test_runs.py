"""`glidepath runs`: runs as their folders tell of them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from glidepath.plugins.trackers.runs import differences, find_runs, read_run
from glidepath.registry import main


def write_lines(file: Path, lines: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of another learning rate; the first has sheets, a spike, and is done."""
    monkeypatch.chdir(tmp_path)
    for name, rate in (("a", 1e-3), ("b", 2e-3)):
        folder = Path("runs", name)
        (folder / "samples").mkdir(parents=True)
        losses = [(step, rate / 1e-3 / step) for step in (50, 100, 150)]
        resumed = {"step": 50, "resumed_from": "checkpoint-00000050.safetensors"}
        lines = [
            {"step": step, "stage": "denoise", "loss": loss, "images_per_second": 9.5}
            for step, loss in losses
        ]
        write_lines(folder / "log.jsonl", [lines[0], resumed, *lines[1:]])
        (folder / "spec.yaml").write_text(f"train: {{learning_rate: {rate}, batch: 4}}\ndata: {{use: x}}\n")
        (folder / "events.jsonl").write_text("")
        Image.new("RGB", (3, 3), "red").save(folder / "samples" / "00000100.png")
    batches = [{"step": 77, "names": ["<b>.png"], "captions": ["a <red> star"]}]
    place = {"total": 150, "stage": "denoise"}
    events = [
        {"time": 1.0, "name": "started", **place},
        {"time": 2.0, "name": "spike", "step": 77, **place, "message": "up", "details": {"batches": batches}},
        {
            "time": 3.0,
            "name": "samples",
            "step": 100,
            **place,
            "files": {"samples": "/gone/samples/00000100.png"},
        },
        {"time": 4.0, "name": "done", "step": 150, **place},
    ]
    write_lines(Path("runs/a/events.jsonl"), events)
    return tmp_path


def test_runs_are_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    head, one, other = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "STATE", "STEP", "STAGE", "LOSS", "IMAGES/S"]
    assert one.split() == ["runs/a", "done", "150", "of", "150", "denoise", "0.00666667", "9.5"]
    assert other.split()[:2] == ["runs/b", "unknown"]
    assert main(["runs", "runs/a", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["figures"]["loss"] == pytest.approx(1 / 150)


def test_a_heartbeat_that_is_old_is_that_of_a_run_that_is_gone(runs: Path) -> None:
    folder, file = Path("runs/b"), Path("runs/b/heartbeat.json")
    file.write_text(json.dumps({"state": "running", "step": 120, "total": 150, "stage": "denoise"}))
    assert (read_run(folder).state, read_run(folder).step) == ("running", 120)
    os.utime(file, (time.time() - 100, time.time() - 100))
    assert read_run(folder).state == "gone"
    file.write_text(json.dumps({"state": "failed", "step": 120, "total": 150}))
    assert read_run(folder).state == "failed"


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for as POSIX does")
def test_a_run_whose_process_was_killed_on_this_machine_is_gone_at_once(runs: Path) -> None:
    folder, file = Path("runs/b"), Path("runs/b/heartbeat.json")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    beat = {"state": "running", "step": 7, "total": 9, "process": child.pid, "machine": socket.gethostname()}
    file.write_text(json.dumps(beat))
    assert read_run(folder).state == "running"
    child.kill()
    child.communicate()
    assert read_run(folder).state == "gone"
    file.write_text(json.dumps({**beat, "machine": "another"}))
    assert read_run(folder).state == "running"


def test_what_differs_between_specs_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert differences(find_runs([Path("runs")])) == {"train.learning_rate": ["0.001", "0.002"]}
    assert main(["runs", "--compare"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"train.learning_rate +0.001 +0.002", out)
    assert "batch" not in out
    assert re.search(r"loss +0.00666667 +0.0133333", out)


def test_curves_are_drawn(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the extra [studies] is not installed")
    command = ["runs", "--curves", "curves.png", "--figure", "loss", "--figure", "images_per_second"]
    assert main(command) == 0
    with Image.open("curves.png") as picture:
        colours = picture.convert("RGB").getcolors(2**24)
        assert colours is not None
        assert (31, 119, 180) in {colour for _, colour in colours}  # the first line
        assert (255, 127, 14) in {colour for _, colour in colours}  # the second, of images/s at least
    assert main(["runs", "--curves", "x.png", "--figure", "los"]) == 2
    assert "there are images_per_second, loss" in capsys.readouterr().err


class Read(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_curves_sheets_events_and_the_spec_and_needs_no_other_file(runs: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra [studies] is not installed")
    assert main(["runs", "runs/a", "--page", "a.html"]) == 0
    found = Read()
    found.feed(Path("a.html").read_text(encoding="utf-8"))
    assert "script" not in found.tags
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    sizes = [
        Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size for source in found.sources
    ]
    assert len(sizes) == 3
    assert sizes[2] == (3, 3)
    assert "batch of step 77: <b>.png: a <red> star" in found.text  # as text, and not as tags
    assert "b" in found.tags
    assert found.tags.count("b") == 1
    assert "learning_rate: 0.001" in found.text
    assert "1970-01-01 00:00:02 UTC" in found.text


@pytest.mark.parametrize("mark", ["events.jsonl", "heartbeat.json"])
def test_a_run_that_has_logged_nothing_yet_is_listed(
    runs: Path, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    place = {"step": 8, "total": 100, "stage": "denoise"}
    Path("runs/new").mkdir()
    write_lines(Path("runs/new", mark), [{"name": "stopped", "state": "stopped", **place}])
    assert main(["runs"]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.split() == ["runs/new", "stopped", "8", "of", "100", "denoise", "-", "-"]


def test_no_run_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["runs", "empty"]) == 1
    assert "empty is no folder of a run, and holds none" in capsys.readouterr().err
    assert main(["runs", "list"]) == 1
    said = capsys.readouterr().err
    assert "there is no folder list" in said
    assert "`glidepath runs` lists the runs in the folder runs" in said
    assert main(["runs", "--page", "x.html"]) == 2
    assert "a page is of one run, and these are 2" in capsys.readouterr().err
