"""The answers for other programs: CSV, Parquet, and pairs for preference training."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glidepath.plugins.judge.analysis.analysis import grouped
from glidepath.plugins.judge.analysis.votes import excluded
from glidepath.plugins.judge.protocol.folder import Judgement
from glidepath.registry import UsageError, needed, write_text, write_whole

COLUMNS = (
    *("rater", "kind", "counts", "role", "item", "prompt", "left", "right", "left_arm", "right_arm"),
    *("answer", "seconds", "at"),
)
"""Of a rating, the picture is `left`. counts: whether the rules let the rater count."""


def write_answers(judgement: Judgement, path: Path, by: str) -> tuple[int, str]:
    """Write a file by its ending; returns how many of what it has.

    .csv, .parquet: every answer of every rater, with all that is known of it. .jsonl: the pairs that most of
    the raters `by` decided, {"prompt", "chosen", "rejected", "votes"}, with the paths of pictures; this is
    what trainers of preferences read.

    Raises:
        GlidepathError: another ending, or pairs of ratings, or of raters whom there are not.
        CannotWrite: the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".jsonl":
        pairs = preferences(judgement, by)
        write_text(path, "".join(json.dumps(it, ensure_ascii=False) + "\n" for it in pairs))
        return len(pairs), "preferences"
    rows = table(judgement)
    if ending == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(["" if it is None else it for it in row] for row in rows)
        write_whole(path, lambda partial: partial.write_bytes(text.getvalue().encode()))
    elif ending == ".parquet":
        _write_parquet(rows, path)
    else:
        raise UsageError(f"--out {path}: name a file that ends in .csv, .parquet or .jsonl")
    return len(rows), "answers"


def table(judgement: Judgement) -> list[tuple[Any, ...]]:
    """Every answer as a row of `COLUMNS`, in the order of the log."""
    raters = judgement.raters()
    answers, _ = judgement.answers()
    out = excluded(judgement, raters, answers)
    by_name = {rater.name: rater for rater in raters}
    rows = []
    for answer in answers:
        rater = by_name[answer.rater]
        task = rater.tasks[answer.task]
        shown = [judgement.pictures[place] for place in task.shown]
        pair = len(shown) > 1
        rows.append(
            (
                rater.name,
                rater.kind,
                rater.name not in out and task.role == "ask",
                task.role,
                task.item,
                shown[0].prompt,
                shown[0].file,
                shown[1].file if pair else "",
                shown[0].arm,
                shown[1].arm if pair else "",
                str(answer.answer),
                answer.seconds,
                answer.at,
            )
        )
    return rows


def preferences(judgement: Judgement, by: str) -> list[dict[str, Any]]:
    """The pairs that more raters decided one way than the other; where as many did, there is none."""
    if judgement.rules.judgement.kind != "pairs":
        raise UsageError("preferences are of pairs, and this judgement has ratings")
    raters = judgement.raters()
    answers, _ = judgement.answers()
    groups = grouped(raters, answers)
    if by not in groups:
        raise UsageError(f"--by {by}: these have judged: {', '.join(groups) or 'nobody'}")
    out = excluded(judgement, raters, answers)
    counted = {rater.name: rater for rater in groups[by] if rater.name not in out}
    won: dict[str, Counter[int]] = {}
    ties: Counter[str] = Counter()
    for answer in answers:
        rater = counted.get(answer.rater)
        if rater is None or rater.tasks[answer.task].role != "ask":
            continue
        task = rater.tasks[answer.task]
        if answer.answer == "tie":
            ties[task.item] += 1
        else:
            won.setdefault(task.item, Counter())[task.shown[answer.answer == "right"]] += 1
    found = []
    for item in judgement.items:
        votes = won.get(item.id, Counter())
        first, second = (votes[place] for place in item.pictures) if not item.check else (0, 0)
        if first != second:
            one, other = item.pictures if first > second else item.pictures[::-1]
            found.append(
                {
                    "prompt": judgement.pictures[one].prompt,
                    "chosen": str(judgement.folder / judgement.pictures[one].file),
                    "rejected": str(judgement.folder / judgement.pictures[other].file),
                    "votes": {
                        "chosen": max(first, second),
                        "rejected": min(first, second),
                        "ties": ties[item.id],
                    },
                }
            )
    return found


def _write_parquet(rows: Sequence[tuple[Any, ...]], path: Path) -> None:
    arrow = needed("pyarrow", "Parquet files", extra="parquet")
    parquet = needed("pyarrow.parquet", "Parquet files", extra="parquet")
    types = dict.fromkeys(COLUMNS, arrow.string())
    types |= {"counts": arrow.bool_(), "seconds": arrow.float64(), "at": arrow.float64()}
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    arrays = [arrow.array(list(it), kind) for it, kind in zip(columns, types.values(), strict=True)]
    made = arrow.Table.from_arrays(arrays, schema=arrow.schema(list(types.items())))
    write_whole(path, lambda partial: parquet.write_table(made, partial))
