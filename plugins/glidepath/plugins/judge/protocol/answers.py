"""The log of answers: lines of JSON that are only ever added, each on the disk before it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from glidepath.registry import CannotWrite, read_bytes

LOG: Final = "answers.jsonl"
SIDES: Final = ("left", "right", "tie")

_MOST_BYTES = 2**31
_LONGEST = 10 * 365 * 24 * 3600.0


@attrs.frozen
class Answer:
    """An answer of a rater to a task, by its place in the rater's list.

    answer: "left", "right" or "tie"; of a rating, a whole number. seconds: from when it was shown; None where
        that is not known. at: when, in seconds since 1970.
    """

    rater: str
    task: int
    answer: str | int
    seconds: float | None
    at: float


def append(folder: Path, answers: Sequence[Answer]) -> None:
    """Add answers to the log. When this returns they are on the disk; killed before, a line may be cut off.

    What a killed process left without an end is ended first, so that it spoils no line but its own.

    Raises:
        CannotWrite: the disk is full, say.
    """
    path = folder / LOG
    text = "".join(json.dumps(attrs.asdict(it), separators=(",", ":")) + "\n" for it in answers)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.lseek(descriptor, 0, os.SEEK_END):
                os.lseek(descriptor, -1, os.SEEK_END)
                if os.read(descriptor, 1) != b"\n":
                    text = "\n" + text
            left = text.encode()
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def read(folder: Path) -> tuple[list[Answer], list[str]]:
    """The answers of the log in order, the first to each task, and what was passed over, in words.

    Raises:
        CannotWrite: the log is there, and cannot be read.
    """
    path = folder / LOG
    try:
        data = read_bytes(path, _MOST_BYTES)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise CannotWrite(f"cannot read {path}: {error.strerror or error}") from error
    lines = data.split(b"\n")
    cut = lines.pop()
    found: dict[tuple[str, int], Answer] = {}
    notes = list(_notes(lines, path, found))
    if cut:
        notes.append(f"the last line of {path} is cut off, as by a kill or a full disk, and is passed over")
    return list(found.values()), notes


def _notes(lines: Sequence[bytes], path: Path, found: dict[tuple[str, int], Answer]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        answer = _answer(line)
        if answer is None:
            yield f"{path}:{number} is no answer, and is passed over"
        else:
            found.setdefault((answer.rater, answer.task), answer)


def _answer(line: bytes) -> Answer | None:
    try:
        said: Any = json.loads(line)
        rater, task, answer, seconds, at = (said[key] for key in ("rater", "task", "answer", "seconds", "at"))
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    whole = [it for it in (task, answer) if isinstance(it, int) and not isinstance(it, bool)]
    if not isinstance(rater, str) or not whole or whole[0] is not task or task < 0:
        return None
    if answer not in SIDES and not (len(whole) == 2 and 1 <= answer <= 9):
        return None
    if not _is_time(at) or not (seconds is None or _is_time(seconds)):
        return None
    return Answer(rater, task, answer, None if seconds is None else min(float(seconds), _LONGEST), float(at))


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < 1e12
