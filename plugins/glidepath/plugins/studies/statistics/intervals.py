"""The interval and the test of equivalence that fit what a score can be: shares have their own."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.statistics.paired import deviation, equivalence_p, t_interval
from glidepath.plugins.studies.statistics.shares import (
    share_difference_interval,
    share_equivalence_p,
    share_interval,
)

Array = npt.NDArray[np.float64]
Bounds = tuple[float, float]


def mean_interval(units: Array, level: float, bounds: Bounds, *, averaged: bool) -> tuple[float, float]:
    """The interval of the mean of units [n], within the bounds of a score.

    Clopper and Pearson's where a score has two bounds, else Student's, cut at a bound. NaN where units show
    no spread: then there is none to tell how far the mean is known.

    averaged: whether a unit is a mean over prompts, as in shares.py.
    """
    low, high = bounds
    if math.isfinite(high - low):
        ends = share_interval((units - low) / (high - low), level, averaged=averaged)
        return tuple(low + (high - low) * float(it) for it in ends)  # type: ignore[return-value]
    if not deviation(units) > 0:
        return math.nan, math.nan
    first, last = t_interval(units, level)
    return max(low, float(first)), min(high, float(last))


def difference_interval(
    differences: Array, level: float, bounds: Bounds, *, averaged: bool
) -> tuple[float, float]:
    """The interval of the mean of paired differences [n] of scores within bounds.

    Tango's where a score has two bounds, else Student's; NaN where differences show no spread.
    """
    width = bounds[1] - bounds[0]
    if math.isfinite(width):
        first, last = share_difference_interval(differences / width, level, averaged=averaged)
        return width * float(first), width * float(last)
    if not deviation(differences) > 0:
        return math.nan, math.nan
    first, last = t_interval(differences, level)
    return float(first), float(last)


def equivalence(differences: Array, margin: float, bounds: Bounds, *, averaged: bool) -> float:
    """p that the mean of paired differences [n] lies within +-margin; NaN for n = 1.

    By score tests where a score has two bounds, else by t tests. 1 where those have no spread to go by: that
    a few differences are equal may be chance.
    """
    width = bounds[1] - bounds[0]
    if math.isfinite(width):
        return float(share_equivalence_p(differences / width, margin / width, averaged=averaged))
    return 1.0 if deviation(differences) == 0 else float(equivalence_p(differences, margin))
