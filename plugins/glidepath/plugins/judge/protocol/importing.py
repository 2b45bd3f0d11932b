"""Answers that were given elsewhere, as a table."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path

from glidepath.plugins.judge.protocol.answers import SIDES, Answer
from glidepath.plugins.judge.protocol.folder import Judgement, JudgementError, Rater, check_rater_name
from glidepath.plugins.judge.protocol.items import Item, Task
from glidepath.registry import read_text

_MOST_BYTES = 2**28
_MOST_TOLD = 20


def read_answers(judgement: Judgement, path: Path) -> list[tuple[Rater, list[Answer]]]:
    """The raters of a CSV file, and what each answered.

    Its columns: rater; left and right, pictures by their files in the judgement (`plan.json` lists them), or
    of ratings picture; answer: left, right or tie, or the rating; and perhaps seconds.

    Raises:
        JudgementError: with every line that is wrong, up to 20; nothing is taken in then.
    """
    try:
        text = read_text(path, _MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise JudgementError(f"cannot read {path}: {error}") from error
    pairs = judgement.rules.judgement.kind == "pairs"
    needed = ("rater", "left", "right", "answer") if pairs else ("rater", "picture", "answer")
    table = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in needed if name not in (table.fieldnames or ())]
    if missing:
        raise JudgementError(f"{path} lacks the column {missing[0]!r}: it needs {', '.join(needed)}")
    places = {shown.file: place for place, shown in enumerate(judgement.pictures)}
    items = {frozenset(it.pictures): it for it in judgement.items if not it.check}
    taken = judgement.names_taken()
    now = round(time.time(), 3)
    found: dict[str, tuple[list[Task], list[Answer]]] = {}
    wrong: list[str] = []
    for row in table:
        try:
            name = _name(row, taken)
            item, shown = _item(row, places, items, pairs=pairs)
            tasks, answers = found.setdefault(name, ([], []))
            if any(task.item == item.id for task in tasks):
                raise JudgementError(f"{name} has answered to this before")
            answer = _answer(row, judgement)
            answers.append(Answer(name, len(tasks), answer, _seconds(row), now))
            tasks.append(Task(item.id, shown, "ask"))
        except JudgementError as error:
            wrong.append(f"{path}:{table.line_num}: {error}")
    if wrong:
        more = [f"and {len(wrong) - _MOST_TOLD} more"] if len(wrong) > _MOST_TOLD else []
        raise JudgementError("\n".join(wrong[:_MOST_TOLD] + more))
    return [(Rater(name, "imported", tuple(tasks)), answers) for name, (tasks, answers) in found.items()]


def _name(row: Mapping[str, str], taken: set[str]) -> str:
    name = check_rater_name((row["rater"] or "").strip().lower())
    if name in taken:
        raise JudgementError(f"there is a rater {name!r} already")
    return name


def _item(
    row: Mapping[str, str],
    places: Mapping[str, int],
    items: Mapping[frozenset[int], Item],
    *,
    pairs: bool,
) -> tuple[Item, tuple[int, ...]]:
    shown = []
    for column in ("left", "right") if pairs else ("picture",):
        file = (row[column] or "").strip()
        if file not in places:
            raise JudgementError(f"{column} is {file!r}, and no picture of the judgement")
        shown.append(places[file])
    item = items.get(frozenset(shown))
    if item is None or len(item.pictures) != len(shown):
        raise JudgementError("these two are not compared in the judgement")
    return item, tuple(shown)


def _answer(row: Mapping[str, str], judgement: Judgement) -> str | int:
    about, text = judgement.rules.judgement, (row["answer"] or "").strip().lower()
    allowed = [it for it in SIDES if about.ties or it != "tie"]
    if about.kind == "pairs":
        if text not in allowed:
            raise JudgementError(f"answer is {text!r}, and has to be one of {', '.join(allowed)}")
        return text
    if not text.isdecimal() or not 1 <= int(text[:3]) <= about.scale:
        raise JudgementError(f"answer is {text!r}, and has to be a whole number from 1 to {about.scale}")
    return int(text)


def _seconds(row: Mapping[str, str]) -> float | None:
    text = (row.get("seconds") or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise JudgementError(f"seconds is {text!r}, and no number of seconds")
    return value
