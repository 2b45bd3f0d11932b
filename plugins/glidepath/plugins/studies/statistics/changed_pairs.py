"""Which pairs of images show best what an arm changes: those whose score is furthest from the baseline's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import attrs
import numpy as np

from glidepath.plugins.studies.statistics.results import Arm, MetricInfo, StudyResults

#: So many best and so many worst pairs of an arm, of so many arms, are chosen,
PAIRS: Final = 2
PAIRED_ARMS: Final = 4
#: but one of each where that would be more than so many in all.
MOST_PAIRS: Final = 10

#: Positions of a training seed, a sampling seed and a prompt.
Place = tuple[int, int, int]


@attrs.frozen(kw_only=True)
class Pair:
    """An image of an arm and that of the baseline at the same place."""

    arm: Arm
    what: Literal["best", "worst"]
    place: Place


@attrs.frozen(kw_only=True)
class ChangedPairs:
    """The pairs that were chosen, arm by arm. arms: how many have changed any pair, chosen or not."""

    pairs: tuple[Pair, ...]
    arms: int


def judged(results: StudyResults) -> MetricInfo | None:
    """The metric that single images are told apart by: the first, primary ones before others."""
    ordered = sorted(results.metrics, key=lambda it: not it.primary)
    return next((it for it in ordered if results.of(results.baseline, it.name).shape[2] > 1), None)


def changed_pairs(
    results: StudyResults, metric: MetricInfo, there: Callable[[str, Place], bool] = lambda _arm, _place: True
) -> ChangedPairs:
    """Pairs in which a metric changes most, of the arms that differ most from the baseline in it.

    Of pairs that changed equally, those are chosen whose prompt was not chosen yet.

    there: whether there is an image of an arm at a place; both of a pair must be there.
    """
    gains = {arm.name: dict(_gains(results, metric, arm, there)) for arm in results.rivals}
    changed = [arm for arm in results.rivals if any(gains[arm.name].values())]
    sizes = {arm.name: abs(float(np.nanmean(_differences(results, metric, arm)))) for arm in changed}
    most = sorted(changed, key=lambda arm: -sizes[arm.name])[:PAIRED_ARMS]
    arms = [arm for arm in changed if arm in most]
    pairs = _chosen(arms, gains, PAIRS)
    if len(pairs) > MOST_PAIRS:
        pairs = _chosen(arms, gains, 1)
    return ChangedPairs(pairs=tuple(pairs), arms=len(changed))


def _chosen(arms: list[Arm], gains: dict[str, dict[Place, float]], count: int) -> list[Pair]:
    """So many best and worst pairs of each arm."""
    shown: Counter[int] = Counter()
    found: list[Pair] = []
    for arm in arms:
        own: set[int] = set()
        kinds: tuple[tuple[Literal["best", "worst"], int], ...] = (("best", 1), ("worst", -1))
        for what, sign in kinds:
            left = {place: sign * gain for place, gain in gains[arm.name].items() if sign * gain > 0}
            for _ in range(min(count, len(left))):
                place = min(left, key=lambda it: (-left[it], it[2] in own, shown[it[2]], it))
                del left[place]
                own.add(place[2])
                shown[place[2]] += 1
                found.append(Pair(arm=arm, what=what, place=place))
    return found


def _gains(
    results: StudyResults, metric: MetricInfo, arm: Arm, there: Callable[[str, Place], bool]
) -> Iterator[tuple[Place, float]]:
    """By how much the arm is better than the baseline, wherever both have a score and an image."""
    differences = _differences(results, metric, arm)
    for training, sampling, prompt in np.argwhere(~np.isnan(differences)).tolist():
        place = (training, sampling, prompt)
        if there(arm.name, place) and there(results.baseline, place):
            # equal changes are equal, however they were rounded
            yield place, round(metric.sign * float(differences[place]), 9)


def _differences(
    results: StudyResults, metric: MetricInfo, arm: Arm
) -> np.ndarray[Any, np.dtype[np.float64]]:
    return results.of(arm.name, metric.name) - results.of(results.baseline, metric.name)
