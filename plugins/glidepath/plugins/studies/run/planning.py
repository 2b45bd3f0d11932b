"""What a study would run, what is there already, what the rest will take, and what it can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from glidepath.core import GlidepathError
from glidepath.plugins.studies.run.forecast import Forecast, Toll, classes_of, forecast, spent, waiting
from glidepath.plugins.studies.statistics.analysis import claim_of
from glidepath.plugins.studies.statistics.paired import DRAWS, EXACT_UNITS
from glidepath.plugins.studies.statistics.power import POWER, Foresight, foresee
from glidepath.plugins.studies.statistics.units import unit_means
from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.study.graph import Graph, Stage
from glidepath.plugins.studies.study.study import MetricPlan, Study
from glidepath.registry import indent, shorten, text_table, yaml_text

MOST_PROBED = 1000
"""With more arms a study is probed only if the probe is asked for."""
PROBE_SECONDS = 60.0
_MOST_LISTED = 30


@attrs.frozen(kw_only=True)
class Planned:
    """A plan. stages: nodes in all, and those that have a result. notes: of the probe, for a person."""

    study: Study
    trials: int
    stages: Mapping[Stage, tuple[int, int]]
    forecast: Forecast
    foresight: Foresight | None
    sentences: Sequence[str]
    notes: Sequence[str]


def plan(study: Study, graph: Graph, store: Store, *, probe_seconds: float, no_plugins: bool) -> Planned:
    """Plan a study. probe_seconds: how long to probe what is not known by what has run; 0: not at all."""
    done = {key: found for key in graph.nodes if (found := store.done(key)) is not None}
    classes = classes_of(graph)
    tolls = spent(done, classes)
    groups = [it for it in waiting(graph, done, classes) if it[0] not in tolls]
    notes: list[str] = []
    slots = _slots(study)
    if groups and probe_seconds > 0:
        from glidepath.plugins.studies.run.probing import probe

        probed = probe(study, groups, seconds=probe_seconds, no_plugins=no_plugins)
        tolls = {**probed.tolls, **tolls}
        notes += [f"could not be probed: {why}" for why in probed.failed.values()]
    told = forecast(graph, done, classes, tolls, slots)
    notes += _notes(study, told, tolls, groups)
    foresight = foreseen(study)
    return Planned(
        study=study,
        trials=len(graph.trials),
        stages={
            stage: (count, sum(graph.nodes[key].stage == stage for key in done))
            for stage, count in graph.counts().items()
            if count
        },
        forecast=told,
        foresight=foresight,
        sentences=tuple(sentences(study, foresight)),
        notes=tuple(notes),
    )


def _slots(study: Study) -> int:
    """As far as the engine's parameters tell; a cluster is known once it is reached."""
    config = study.engine.config
    slots = int(getattr(config, "slots", 1) or 1)
    shared = int(getattr(config, "per_gpu", 0)) * int(getattr(config, "gpus", 0))
    return max(1, min(slots, shared) if shared else slots)


def _notes(
    study: Study, told: Forecast, tolls: Mapping[str, Toll], groups: Sequence[tuple[str, Any]]
) -> Iterator[str]:
    unprobed = sum(name not in tolls for name, _ in groups)
    if unprobed and told.seconds is not None:
        yield f"{told.assumed} nodes, {unprobed} kinds of work, are taken for the mean of their stage"
    hours = study.budget.hours
    if hours is not None and told.seconds is not None and told.seconds > hours * 3600:
        then = "asks whether to go on" if study.budget.on_exceed == "ask" else "starts nothing more"
        yield f"that is more than the budget of {hours:g} hours, at which `study run` {then}"


def units_of(study: Study) -> int:
    """How many repetitions the primary metric that has the fewest will have, if nothing fails."""
    seeds = max(1, len(study.train_seeds)), len(study.sample_seeds)
    sets = [1 if it.whole_set else len(study.prompts) for it in _tested(study)]
    return min(
        unit_means(np.zeros((*seeds, size)), study.stats.unit).size for size in sets or [len(study.prompts)]
    )


def _tested(study: Study) -> list[MetricPlan]:
    """The primary metrics but for those that the specs decide."""
    return [it for it in study.metrics if it.family == "primary" and not it.given]


def foreseen(study: Study) -> Foresight | None:
    """What the seeds can show; None where nothing is compared, or scipy is missing."""
    comparisons = (len(study.questions) or len(study.arms) - 1) * len(_tested(study))
    if comparisons < 1:
        return None
    try:
        return foresee(units_of(study), comparisons, level=study.stats.confidence, test=study.stats.test)
    except GlidepathError:
        return None


def sentences(study: Study, found: Foresight | None) -> Iterator[str]:
    """What the number of seeds can show, for a person."""
    if found is None:
        if _tested(study) and len(study.arms) > 1:
            yield "what it can show is known once scipy is here: pip install 'glidepath-diffusion[studies]'"
        return
    trainings, seeds = max(1, len(study.train_seeds)), len(study.sample_seeds)
    yield claim_of(study.stats.unit, trainings, seeds, len(study.prompts), study.data.per_prompt)
    yield found.sentence
    if found.test == "sign-flip":
        alpha = (1 - found.level) / found.comparisons
        # of more units than can be counted out the test draws sign patterns, and tells no p below one of them
        smallest = found.smallest_p if found.units <= EXACT_UNITS else 1 / (1 + DRAWS)
        yield (
            f"The smallest p that {found.units} unit{'s' * (found.units != 1)} can give is "
            f"{smallest:.2g}; the strictest comparison needs {alpha:.2g}."
        )
        if math.isinf(found.detectable) and found.units > 1:
            other = foresee(found.units, found.comparisons, level=found.level, test="t")
            yield (
                f"With stats: {{test: t}}, which takes the differences to be normal, one of "
                f"{other.detectable:.2f} standard deviations would be found in {POWER:.0%} of studies."
            )
    if math.isfinite(found.detectable_margin) and study.stats.equivalence:
        yield (
            f"Arms that are equal are found equivalent in {POWER:.0%} of studies where the margin is "
            f"{found.detectable_margin:.2f} standard deviations or more."
        )


def as_json(planned: Planned) -> dict[str, Any]:
    """The plan as one document."""
    study, foresight = planned.study, planned.foresight
    return {
        "study": study.name,
        "arms": [
            {"name": arm.name, "factors": dict(arm.factors), "also": list(arm.also)} for arm in study.arms
        ],
        "baseline": study.baseline.name,
        "questions": [attrs.asdict(it) for it in study.questions],
        "excluded": [{"name": it.name, "reason": it.reason} for it in study.excluded],
        "trials": planned.trials,
        "stages": {
            stage: {"nodes": count, "done": found} for stage, (count, found) in planned.stages.items()
        },
        "seconds": planned.forecast.seconds,
        "wall_seconds": planned.forecast.wall,
        "bytes": planned.forecast.data,
        "seconds_by_stage": dict(planned.forecast.by_stage),
        "power": None
        if foresight is None
        else {name: _finite(value) for name, value in attrs.asdict(foresight).items()},
        "foresight": list(planned.sentences),
        "notes": list(planned.notes),
        "warnings": list(study.warnings),
    }


def as_text(planned: Planned, *, everything: bool) -> Iterator[str]:
    """The plan as lines."""
    study = planned.study
    most = None if everything else _MOST_LISTED
    yield f"{study.name}: {study.about.question}" if study.about.question else study.name
    arms, trials = _many(len(study.arms), "arm"), _many(planned.trials, "trial")
    yield f"\n{arms}, {trials}; the baseline is {study.baseline.name}"
    yield indent(text_table([_arm_row(arm) for arm in study.arms[:most]]))
    if most is not None and len(study.arms) > most:
        yield f"  ... and {len(study.arms) - most} more (--all)"
    for excluded in study.excluded[:most]:
        yield f"  without {excluded.name}: {excluded.reason}"
    for asked in study.questions[:most]:
        over = f" (the mean of {len(asked.cells)} pairs of arms)" if len(asked.cells) > 1 else ""
        yield f"  asks {asked.name}: {asked.title} minus {asked.against}{over}"
    rows = [("stage", "nodes", "done", "left")]
    for stage, (count, found) in planned.stages.items():
        seconds = planned.forecast.by_stage.get(stage)
        left = "" if found == count else "unknown" if seconds is None else duration(seconds)
        rows.append((stage, str(count), str(found), left))
    yield "\n" + text_table(rows)
    images = len(study.prompts) * study.data.per_prompt
    yield f"\n{_many(images, 'image')} in each trial, of {_many(len(study.prompts), 'prompt')}"
    yield from _left(planned)
    yield from planned.notes
    yield from planned.sentences
    for warning in study.warnings:
        yield f"warning: {warning}"


def _left(planned: Planned) -> Iterator[str]:
    told = planned.forecast
    if all(count == found for count, found in planned.stages.values()):
        yield "nothing is left to run"
    elif told.wall is None or told.seconds is None:
        yield "how long it takes is not known: not every stage has been probed or run"
    else:
        slots = _slots(planned.study)
        beside = f" with {slots} trials at a time" if slots > 1 else ""
        disk = f", and {size(told.data)} of disk" if told.data is not None else ""
        yield f"about {duration(told.wall)} of this machine are left{beside}{disk}"


def _arm_row(arm: Any) -> tuple[str, str]:
    values = ", ".join(f"{name} {yaml_text(value)}" for name, value in arm.factors.items())
    return arm.name, shorten(values + (f" (also {', '.join(arm.also)})" if arm.also else ""))


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """For a person: "40 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds" if seconds >= 1 else "a second"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def size(count: int) -> str:
    """Bytes, for a person."""
    for unit, power in (("GB", 9), ("MB", 6)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{max(1, round(count / 1000))} kB"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
