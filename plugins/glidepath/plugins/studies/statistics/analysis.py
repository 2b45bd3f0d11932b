"""The analysis of a study: every arm compared with the baseline, trends, interactions and variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.statistics.comparison import (
    Comparison,
    doubted,
    first_look,
    is_tested,
    judged,
)
from glidepath.plugins.studies.statistics.intervals import mean_interval
from glidepath.plugins.studies.statistics.multiple import benjamini_hochberg, holm
from glidepath.plugins.studies.statistics.paired import (
    sign_flip_p,
    t_interval,
    t_p,
    without_rounding,
)
from glidepath.plugins.studies.statistics.power import (
    Foresight,
    foresee,
)
from glidepath.plugins.studies.statistics.results import (
    Arm,
    Contrast,
    MetricInfo,
    Replicate,
    StudyResults,
)
from glidepath.plugins.studies.statistics.series import Grid, Series, grid, series
from glidepath.plugins.studies.statistics.trend import Trend, trend
from glidepath.plugins.studies.statistics.units import Unit, common_units, unit_means, unit_of
from glidepath.plugins.studies.statistics.variance import Decomposition, decompose

Array = npt.NDArray[np.float64]


@attrs.frozen(kw_only=True)
class Estimate:
    """The mean score of an arm over its units, with its interval. cells: that succeeded, and in all."""

    mean: float
    low: float
    high: float
    units: int
    complete: int
    all: int


@attrs.frozen(kw_only=True)
class TrendLine:
    """The trend of a metric along a series of arms."""

    metric: str
    series: Series
    trend: Trend


@attrs.frozen(kw_only=True)
class Interaction:
    """Two parts taken out together, against each alone.

    value: (neither - without the first) - (without the second - without both), in the metric's unit: by how
        much taking out the first costs less once the second is gone. 0: their effects add up.
    """

    metric: str
    parts: tuple[str, str]
    value: float
    low: float
    high: float
    p_sign_flip: float
    p_t: float
    units: int


@attrs.frozen(kw_only=True, eq=False)
class Analysis:
    """All that statistics say of a study. Keys of mappings are (arm, metric), or metric."""

    results: StudyResults
    unit: Unit
    claim: str
    foresight: Foresight
    estimates: Mapping[tuple[str, str], Estimate]
    comparisons: Mapping[tuple[str, str], Comparison]
    contrasts: Mapping[tuple[str, str], Comparison]
    trends: tuple[TrendLine, ...]
    grid: Grid | None
    decompositions: Mapping[str, Decomposition]
    interactions: tuple[Interaction, ...]

    @property
    def family(self) -> tuple[Comparison, ...]:
        """The primary comparisons: of the contrasts that the study names, or else of all arms."""
        found = [*self.contrasts.values(), *self.comparisons.values()]
        return tuple(it for it in found if it.primary)


def compare(results: StudyResults) -> Analysis:
    """Answer what a study asks, and compare every arm with the baseline, in every metric.

    Raises:
        MissingExtra: scipy is not installed.
    """
    found = _answers(results)
    if any(it.pairs.complete < it.pairs.all for it in found):
        worst = _answers(results.if_worst())
        found = [
            doubted(it, other) if 0 < it.pairs.complete < other.pairs.complete else it
            for it, other in zip(found, worst, strict=True)
        ]
    asked = {id(it) for it in results.contrasts}
    comparisons = {(it.arm, it.metric): it for it in found if id(it.question) not in asked}
    contrasts = {(it.arm, it.metric): it for it in found if id(it.question) in asked}
    units = _units(results)
    primary = sum(it.primary for it in found)
    return Analysis(
        results=results,
        unit=_unit(results),
        claim=claim(results),
        foresight=foresee(units, max(primary, 1), level=results.level, test=results.test),
        estimates={
            (arm.name, metric.name): _estimate(results, arm, metric)
            for metric in results.metrics
            for arm in results.arms
        },
        comparisons=comparisons,
        contrasts=contrasts,
        trends=tuple(_trends(results)),
        grid=grid(results),
        decompositions=_decompositions(results),
        interactions=tuple(_interactions(results)),
    )


def _answers(results: StudyResults) -> list[Comparison]:
    """All comparisons: the primary family adjusted by Holm, the others by Benjamini and Hochberg."""
    alpha = 1 - results.level
    tested = sorted(results.metrics, key=lambda it: not it.primary)
    questions = [(it, metric) for metric in tested for it in (*results.contrasts, *results.questions)]
    families: dict[bool, list[Comparison]] = {True: [], False: []}
    for question, metric in questions:
        primary = metric.primary and not metric.given and _is_asked(results, question)
        families[primary].append(first_look(results, metric, question, primary))
    found = []
    for (_, looks), adjust in zip(families.items(), (holm, benjamini_hochberg), strict=True):
        adjusted = adjust(np.array([it.p for it in looks]))
        equivalent = adjust(np.array([_or_nan(it.p_equivalent) for it in looks]))
        family = max(1, sum(is_tested(results.metric(it.metric), it.pairs) for it in looks))
        for look, p, same in zip(looks, adjusted, equivalent, strict=True):
            found.append(judged(results, look, float(p), float(same), family, alpha))
    return found


def _is_asked(results: StudyResults, question: Contrast) -> bool:
    """Whether the primary family has it: every arm against the baseline, unless the study asks otherwise."""
    return not results.contrasts or any(question is it for it in results.contrasts)


def claim(results: StudyResults) -> str:
    """What a unit of the study is, and so what its claims are about: a sentence or two for the report."""
    trainings = len(results.training_seeds)
    told = claim_of(
        results.unit, trainings, len(results.sampling_seeds), len(results.prompts), results.per_prompt
    )
    if trainings > 1:
        anew = "every arm samples from the same ones" if results.shared_checkpoint else _recipes(results)
        return f"{told} Of the {trainings} training seeds, {anew}."
    if results.shared_checkpoint:
        return (
            f"{told} All arms share one checkpoint, and every claim is about this checkpoint; whether "
            "another training run would show the same, this study cannot say."
        )
    return (
        f"{told} Each arm was trained once, or has a checkpoint of its own: every claim is about these "
        "checkpoints, and none about how they were trained: a difference may come from chance in training."
    )


def claim_of(chosen: Replicate | None, trainings: int, seeds: int, prompts: int, per_prompt: int = 1) -> str:
    """What a unit is, in a study of so many training seeds, sampling seeds and prompts."""
    unit = unit_of(np.empty((trainings, seeds, prompts)), chosen)
    trained, sampled = f"{trainings} training seed{_s(trainings)}", f"{seeds} sampling seed{_s(seeds)}"
    asked = f"{prompts} prompt{_s(prompts)}" + (f", {per_prompt} images of each" if per_prompt > 1 else "")
    whole = "" if prompts == 1 else "; a score of a whole set of images is repeated by sampling seeds"
    over, about = {
        "training seed": (
            f"{trained}; scores are averaged over {sampled} and {asked} first",
            "models trained in this way, on these prompts",
        ),
        "sampling seed": (
            f"{sampled}; scores are averaged over {asked} first" if prompts > 1 else sampled,
            f"{'this prompt' if prompts == 1 else 'these prompts'}, whatever the seed",
        ),
        "prompt": (
            f"{asked}; scores are averaged over {sampled} first{whole}, which says nothing of other prompts",
            "prompts like these, as if they had been drawn from all that are meant",
        ),
        "seed and prompt": (
            f"{sampled} and {asked}{whole}",
            "these prompts, and no others (`unit: prompts` speaks of prompts like these)",
        ),
    }[unit]
    name = "pair of sampling seed and prompt" if unit == "seed and prompt" else unit
    return f"The unit of replication is the {name} ({over}). What is shown holds for {about}."


def _recipes(results: StudyResults) -> str:
    """How many trainings stand behind the arms."""
    recipes = {it.checkpoint or it.name for it in results.arms}
    if len(recipes) == len(results.arms):
        return "each trained every arm anew"
    return f"each trained {len(recipes)} recipes anew, which {len(results.arms)} arms share"


def _estimate(results: StudyResults, arm: Arm, metric: MetricInfo) -> Estimate:
    scores = results.of(arm.name, metric.name)
    means = unit_means(scores, results.unit)
    known = means[~np.isnan(means)]
    low = high = math.nan
    if known.size and not metric.given:
        averaged = unit_of(scores, results.unit) in ("training seed", "sampling seed")
        low, high = mean_interval(known, results.level, results.bounds(metric.name), averaged=averaged)
    return Estimate(
        mean=float(known.mean()) if known.size else math.nan,
        low=low,
        high=high,
        units=known.size,
        complete=int((~np.isnan(scores)).sum()),
        all=scores.size,
    )


def _trends(results: StudyResults) -> list[TrendLine]:
    found = []
    for axis in results.axes:
        for line in series(results, axis):
            for metric in _tested(results):
                scores = _stack(results, line.arms, metric)
                if scores.shape[1] == 0:
                    continue
                positions = np.array(line.positions)
                told = trend(scores, positions, logarithmic=line.logarithmic, level=results.level)
                found.append(TrendLine(metric=metric.name, series=line, trend=told))
    return found


def _decompositions(results: StudyResults) -> dict[str, Decomposition]:
    whole = grid(results)
    if whole is None:
        return {}
    found = {}
    for metric in _tested(results):
        scores = _stack(results, whole.arms, metric)
        if scores.shape[1]:
            shape = (*(len(it) for it in whole.values), scores.shape[1])
            found[metric.name] = decompose(scores.reshape(shape), [it.title for it in whole.axes])
    return found


def _interactions(results: StudyResults) -> list[Interaction]:
    by_removed = {frozenset(arm.removed): arm for arm in results.arms}
    full = by_removed.get(frozenset())
    found = []
    for arm in results.arms:
        singles = [by_removed.get(frozenset({part})) for part in arm.removed]
        if full is None or len(arm.removed) != 2 or None in singles:
            continue
        four = (full, *(it for it in singles if it is not None), arm)
        for metric in _tested(results):
            units = _stack(results, four, metric)
            if units.shape[1] < 2:
                continue
            contrast = without_rounding(units[0] - units[1] - units[2] + units[3], np.abs(units).max(axis=0))
            low, high = t_interval(contrast, results.level)
            found.append(
                Interaction(
                    metric=metric.name,
                    parts=(arm.removed[0], arm.removed[1]),
                    value=float(contrast.mean()),
                    low=float(low),
                    high=float(high),
                    p_sign_flip=float(sign_flip_p(contrast)),
                    p_t=float(t_p(contrast)),
                    units=contrast.size,
                )
            )
    return found


def _stack(results: StudyResults, arms: Sequence[Arm], metric: MetricInfo) -> Array:
    """[arms, units], of the cells that none of them failed."""
    return common_units(np.stack([results.of(arm.name, metric.name) for arm in arms]), results.unit)


def _tested(results: StudyResults) -> list[MetricInfo]:
    """The metrics that chance has a part in."""
    return [it for it in results.metrics if not it.given]


def _unit(results: StudyResults) -> Unit:
    """What most metrics have: that of those with a score for each prompt, where there are such."""
    found = [unit_of(results.of(results.baseline, it.name), results.unit) for it in results.metrics]
    return next((it for it in found if it != "sampling seed"), "sampling seed")


def _units(results: StudyResults) -> int:
    scores = [results.of(results.baseline, it.name) for it in results.metrics if it.primary]
    if not scores:
        scores = [np.empty((len(results.training_seeds), len(results.sampling_seeds), len(results.prompts)))]
    # a metric of whole sets has fewer units than one of single images: the fewest are what limits
    return min(unit_means(np.zeros(it.shape), results.unit).size for it in scores)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _s(count: int) -> str:
    return "" if count == 1 else "s"
