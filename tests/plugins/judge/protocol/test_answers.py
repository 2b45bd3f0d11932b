"""The log: what was acknowledged is there, whatever becomes of the process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glidepath.plugins.judge.protocol.answers import LOG, Answer, append, read
from glidepath.registry import CannotWrite


def some(count: int) -> list[Answer]:
    return [Answer("r001", number, "left", 1.5, 100.0 + number) for number in range(count)]


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    given = [*some(2), Answer("r002", 0, 5, None, 200.0), Answer("r002", 1, "tie", 0.0, 201.0)]
    for answer in given:
        append(tmp_path, [answer])
    assert read(tmp_path) == (given, [])
    assert read(tmp_path / "nowhere") == ([], [])


def test_a_line_that_is_cut_anywhere_is_told_and_costs_itself_alone(tmp_path: Path) -> None:
    append(tmp_path, some(3))
    whole = (tmp_path / LOG).read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for missing in range(1, last):
        (tmp_path / LOG).write_bytes(whole[:-missing])
        found, notes = read(tmp_path)
        assert found == some(2)
        assert len(notes) == 1
        assert "cut off" in notes[0]
        append(tmp_path, [Answer("r003", 0, "right", 2.0, 300.0)])
        found, notes = read(tmp_path)
        assert [it.rater for it in found][-1] == "r003"
        assert found[:2] == some(2)
        # without its line end alone the cut line was whole, and is an answer again
        assert (len(found), len(notes)) == ((4, 0) if missing == 1 else (3, 1))


WRITER = """
import sys
from pathlib import Path
from glidepath.plugins.judge.protocol.answers import Answer, append
for number in range(100000):
    append(Path(sys.argv[1]), [Answer("r001", number, "left", 1.0, 1.0)])
    print(number, flush=True)
"""


@pytest.mark.thorough
def test_a_process_that_is_killed_at_any_answer_loses_none_that_it_acknowledged(tmp_path: Path) -> None:
    draw = random.Random(0)
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        said = folder / "said.txt"
        with said.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=out)
            deadline = time.monotonic() + 60
            while not said.stat().st_size and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.2))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        acknowledged = len(said.read_text().split("\n")) - 1
        found, notes = read(folder)
        assert acknowledged > 0
        assert acknowledged <= len(found) <= acknowledged + 1
        assert [it.task for it in found] == list(range(len(found)))
        assert len(notes) <= 1
        append(folder, [Answer("r002", 0, "left", 1.0, 1.0)])  # it goes on
        assert read(folder)[0][-1].rater == "r002"


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"rater": "r001", "task": 0}',
        '{"rater": 1, "task": 0, "answer": "left", "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": -1, "answer": "left", "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": true, "answer": "left", "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": 0, "answer": "up", "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": 0, "answer": 10, "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": 0, "answer": true, "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": 0, "answer": [], "seconds": 1, "at": 1}',
        '{"rater": "r001", "task": 0, "answer": "left", "seconds": NaN, "at": 1}',
        '{"rater": "r001", "task": 0, "answer": "left", "seconds": -1, "at": 1}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_answer_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    good = json.dumps({"rater": "r009", "task": 0, "answer": "left", "seconds": 1, "at": 1})
    (tmp_path / LOG).write_text(f"{line}\n{good}\n")
    found, notes = read(tmp_path)
    assert [it.rater for it in found] == ["r009"]
    assert notes == [f"{tmp_path / LOG}:1 is no answer, and is passed over"]


def test_of_two_answers_to_a_task_the_first_counts(tmp_path: Path) -> None:
    append(tmp_path, [Answer("r001", 0, "left", 1.0, 1.0), Answer("r001", 0, "right", 1.0, 2.0)])
    assert [it.answer for it in read(tmp_path)[0]] == ["left"]


def test_a_log_that_cannot_be_written_is_an_error_and_no_answer(tmp_path: Path) -> None:
    (tmp_path / LOG).mkdir()
    with pytest.raises(CannotWrite, match=LOG):
        append(tmp_path, some(1))
