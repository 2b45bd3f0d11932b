"""An earlier study beside this one, read from their folders alone: no spec has to be readable any more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from glidepath.core import GlidepathError
from glidepath.plugins.studies.statistics.intervals import difference_interval
from glidepath.plugins.studies.statistics.results import MetricInfo
from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.store.summary import Score, listed, read_summary
from glidepath.plugins.studies.study.cache_keys import differences
from glidepath.registry import shorten, yaml_text

Cell = tuple[int, int, str]
"""Training seed, sampling seed and prompt; of a metric of whole sets "" for the prompt."""

_MOST_CHANGES = 20


@attrs.frozen(kw_only=True)
class Kept:
    """What the folder of a study keeps. scores: those that are finite, by arm and metric, by cell.

    metrics: by label, the name of each. units: by label, that of its scores.
    """

    folder: Path
    name: str
    arms: Sequence[str]
    metrics: Mapping[str, str]
    units: Mapping[str, str]
    scores: Mapping[tuple[str, str], Mapping[Cell, float]]
    nodes: Mapping[tuple[str, str], str]


@attrs.frozen(kw_only=True)
class Line:
    """An arm in a metric, in two studies. difference: the second minus the first.

    units: pairs of equal seeds and prompts; 0 where there are none: then it is the difference of the means,
    and has no interval. low, high: the interval of one pair of arms, not adjusted for the others.
    """

    arm: str
    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    units: int


@attrs.frozen(kw_only=True)
class StudyComparison:
    """Two studies. changes: (what, in the first, in the second), of what decides the results of common arms.

    alone: arms that only the one or only the other has; other: metrics of one label that measure differently.
    """

    first: Kept
    second: Kept
    lines: Sequence[Line]
    changes: Sequence[tuple[str, str, str]]
    alone: tuple[Sequence[str], Sequence[str]]
    other: Sequence[str]


def kept(folder: Path) -> Kept:
    """What a folder keeps.

    Raises:
        GlidepathError: no study has run in it.
    """
    store = Store(folder)
    if not store.has_run():
        raise GlidepathError(f"no study has run in {folder}: name the folder of a study's results")
    graph = store.graph()
    train = graph["train_seeds"] or [0]
    prompts = graph["prompts"]
    scores: dict[tuple[str, str], dict[Cell, float]] = {}
    known = [
        score
        for score in read_summary(store).scores()
        if score.value is not None and math.isfinite(score.value)
    ]
    whole = _of_whole_sets(known, len(prompts))
    for score in known:
        text = "" if score.metric in whole else prompts[score.prompt]
        cell = (train[score.train_seed], graph["sample_seeds"][score.sample_seed], text)
        scores.setdefault((score.arm, score.metric), {})[cell] = float(score.value or 0.0)
    nodes: dict[tuple[str, str], str] = {}
    metrics: dict[str, str] = {}
    measured: dict[str, str] = {}
    for trial in graph["trials"]:
        for step, keys in trial["nodes"].items():
            key = next(iter(listed(keys)), "")
            nodes.setdefault((trial["arm"], step), key)
            label = step.removeprefix("measure ")
            if label != step and label not in metrics and (done := store.done(key)) is not None:
                metrics[label] = str(done.record.get("name", label))
                measured[label] = str(done.record.get("unit", ""))
    return Kept(
        folder=folder,
        name=str(graph["study"]),
        arms=[arm["name"] for arm in graph["arms"]],
        metrics=metrics,
        units=measured,
        scores=scores,
        nodes=nodes,
    )


def _of_whole_sets(scores: Sequence[Score], prompts: int) -> set[str]:
    """The metrics that have one score for a trial of several prompts."""
    most: dict[str, int] = {}
    for score in scores:
        most[score.metric] = max(most.get(score.metric, 0), score.prompt)
    return {metric for metric, last in most.items() if last == 0 and prompts > 1}


def compare_studies(first: Kept, second: Kept) -> StudyComparison:
    """Two studies: each arm and metric that both have."""
    common = [arm for arm in first.arms if arm in second.arms]
    labels = [label for label in first.metrics if label in second.metrics]
    other = [label for label in labels if first.metrics[label] != second.metrics[label]]
    lines = [
        _line(arm, label, first.units[label], first.scores[arm, label], second.scores[arm, label])
        for label in labels
        for arm in common
        if label not in other and (arm, label) in first.scores and (arm, label) in second.scores
    ]
    return StudyComparison(
        first=first,
        second=second,
        lines=lines,
        changes=list(_changes(first, second, common)),
        alone=(
            [arm for arm in first.arms if arm not in common],
            [arm for arm in second.arms if arm not in common],
        ),
        other=other,
    )


def _line(arm: str, metric: str, unit: str, one: Mapping[Cell, float], two: Mapping[Cell, float]) -> Line:
    means = float(np.mean(list(one.values()))), float(np.mean(list(two.values())))
    low = high = math.nan
    shared = [cell for cell in one if cell in two]
    units: dict[Any, list[float]] = {}
    # several trainings are the repetitions; on one checkpoint every seed and prompt is
    several = len({cell[0] for cell in shared}) > 1
    for cell in shared:
        units.setdefault(cell[0] if several else cell, []).append(two[cell] - one[cell])
    found = np.array([np.mean(values) for values in units.values()])
    difference = float(found.mean()) if found.size else means[1] - means[0]
    if found.size > 1:
        bounds = MetricInfo(name=metric, direction="higher", unit=unit).bounds
        if not all(bounds[0] <= it <= bounds[1] for it in (*one.values(), *two.values())):
            bounds = (-math.inf, math.inf)
        averaged = several or all(cell[2] == "" for cell in shared)
        low, high = difference_interval(found, 0.95, bounds, averaged=averaged)
    return Line(
        arm=arm,
        metric=metric,
        first=means[0],
        second=means[1],
        difference=difference,
        low=low,
        high=high,
        units=int(found.size),
    )


def _changes(first: Kept, second: Kept, arms: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What is said differently of the same stage of the same arm, each once."""
    seen = set()
    for (arm, step), key in first.nodes.items():
        other = second.nodes.get((arm, step))
        if arm not in arms or other is None or other == key:
            continue
        one = Store(first.folder).preimage(key) or {}
        two = Store(second.folder).preimage(other) or {}
        for path, was, is_now in differences(one, two):
            change = (path.removeprefix("reads."), _text(was), _text(is_now))
            if not path.startswith("upstream") and change not in seen:
                seen.add(change)
                yield change


def _text(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    return "absent" if value is None else shorten(yaml_text(value), 40)


def as_json(found: StudyComparison) -> dict[str, Any]:
    """The comparison as one document."""
    return {
        "first": str(found.first.folder),
        "second": str(found.second.folder),
        "lines": [
            {
                key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in attrs.asdict(line).items()
            }
            for line in found.lines
        ],
        "changes": [dict(zip(("what", "first", "second"), it, strict=True)) for it in found.changes],
        "only_first": list(found.alone[0]),
        "only_second": list(found.alone[1]),
        "measured_differently": list(found.other),
    }


def as_text(found: StudyComparison) -> Iterator[str]:
    """The comparison as lines."""
    from glidepath.registry import indent, text_table

    yield f"{found.first.name} ({found.first.folder}) and {found.second.name} ({found.second.folder})"
    rows = [("metric", "arm", "first", "second", "difference", "95% interval", "pairs")]
    for it in found.lines:
        interval = "" if math.isnan(it.low) else f"{it.low:+.4g} to {it.high:+.4g}"
        pairs = str(it.units) if it.units else "none"
        rows.append(
            (
                it.metric,
                it.arm,
                f"{it.first:.4g}",
                f"{it.second:.4g}",
                f"{it.difference:+.4g}",
                interval,
                pairs,
            )
        )
    if found.lines:
        yield "\n" + text_table(rows)
        yield "\nintervals are of single comparisons, not adjusted for how many there are"
    else:
        yield "\nno arm was measured alike in both"
    for label in found.other:
        yield (
            f"{label} is another measurement in each: {found.first.metrics[label]}, and "
            f"{found.second.metrics[label]}"
        )
    for which, arms in zip(("first", "second"), found.alone, strict=True):
        if arms:
            yield f"only in the {which}: {shorten(', '.join(arms), 100)}"
    if found.changes:
        yield "\nwhat differs between arms of one name"
        changes = [("", "first", "second"), *found.changes[:_MOST_CHANGES]]
        yield indent(text_table(changes))
        if len(found.changes) > _MOST_CHANGES:
            yield f"  ... and {len(found.changes) - _MOST_CHANGES} more"
    elif found.lines:
        yield "\narms of one name are the same in both, code and weights included"
