"""The analysis of a study: every arm compared with the baseline, trends, interactions and variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.statistics.comparison import Comparison, first_look, judged
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
from glidepath.plugins.studies.statistics.results import Arm, MetricInfo, StudyResults
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
    trends: tuple[TrendLine, ...]
    grid: Grid | None
    decompositions: Mapping[str, Decomposition]
    interactions: tuple[Interaction, ...]

    @property
    def family(self) -> tuple[Comparison, ...]:
        """The primary comparisons."""
        return tuple(it for it in self.comparisons.values() if self.results.metric(it.metric).primary)


def compare(results: StudyResults) -> Analysis:
    """Compare every arm with the baseline in every metric.

    Raises:
        MissingExtra: scipy is not installed.
    """
    alpha = 1 - results.level
    families = [
        [it for it in results.metrics if it.primary],
        [it for it in results.metrics if not it.primary],
    ]
    comparisons: dict[tuple[str, str], Comparison] = {}
    for metrics, adjust in zip(families, (holm, benjamini_hochberg), strict=True):
        keys = [(arm.name, metric.name) for metric in metrics for arm in results.rivals]
        first = [first_look(results, results.metric(metric), results.arm(arm)) for arm, metric in keys]
        adjusted = adjust(np.array([it.p for it in first]))
        equivalent = adjust(np.array([_or_nan(it.p_equivalent) for it in first]))
        for key, look, p, same in zip(keys, first, adjusted, equivalent, strict=True):
            comparisons[key] = judged(results, look, float(p), float(same), len(keys), alpha)
    units = _units(results)
    primary = len(families[0]) * len(results.rivals)
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
        trends=tuple(_trends(results)),
        grid=grid(results),
        decompositions=_decompositions(results),
        interactions=tuple(_interactions(results)),
    )


def claim(results: StudyResults) -> str:
    """What a unit of the study is, and so what its claims are about: a sentence or two for the report."""
    trainings, draws = len(results.training_seeds), len(results.sampling_seeds)
    images = f"{draws} sampling seed{_s(draws)} and {len(results.prompts)} prompt{_s(len(results.prompts))}"
    if trainings > 1:
        what = (
            "sampled from in every arm"
            if results.shared_checkpoint
            else "with which each arm was trained anew"
        )
        return (
            f"The unit of replication is the training seed: {trainings} of them, {what}; scores are "
            f"averaged over {images} first. Claims are about models trained in this way, on these prompts."
        )
    unit = (
        f"The unit of replication is the pair of sampling seed and prompt ({images}; for a metric of whole "
        "sets of images the sampling seed)"
    )
    if results.shared_checkpoint:
        return (
            f"All arms share one checkpoint. {unit}, so every claim is about this checkpoint and these "
            "prompts; whether another training run would show the same, this study cannot say."
        )
    return (
        f"Each arm was trained once. {unit}, so every claim is about these checkpoints and prompts; a "
        "difference may come from chance in training as well as from what the arms vary."
    )


def _estimate(results: StudyResults, arm: Arm, metric: MetricInfo) -> Estimate:
    scores = results.of(arm.name, metric.name)
    means = unit_means(scores)
    known = means[~np.isnan(means)]
    low, high = t_interval(known, results.level) if known.size else (math.nan, math.nan)
    return Estimate(
        mean=float(known.mean()) if known.size else math.nan,
        low=float(low),
        high=float(high),
        units=known.size,
        complete=int((~np.isnan(scores)).sum()),
        all=scores.size,
    )


def _trends(results: StudyResults) -> list[TrendLine]:
    found = []
    for axis in results.axes:
        for line in series(results, axis):
            for metric in results.metrics:
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
    for metric in results.metrics:
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
        for metric in results.metrics:
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
    return common_units(np.stack([results.of(arm.name, metric.name) for arm in arms]))


def _unit(results: StudyResults) -> Unit:
    if len(results.training_seeds) > 1:
        return "training seed"
    found = {unit_of(results.of(results.baseline, it.name)) for it in results.metrics}
    return "seed and prompt" if "seed and prompt" in found else "sampling seed"


def _units(results: StudyResults) -> int:
    if len(results.training_seeds) > 1:
        return len(results.training_seeds)
    sizes = [results.of(results.baseline, it.name).size for it in results.metrics if it.primary]
    # a metric of whole sets has fewer units than one of single images: the fewest are what limits
    return min(sizes, default=len(results.sampling_seeds) * max(len(results.prompts), 1))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _s(count: int) -> str:
    return "" if count == 1 else "s"
