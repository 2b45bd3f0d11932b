"""Trend of a score along a numeric axis: a straight line through each unit, and a test of the slopes."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.statistics.paired import sign_flip_p, t_interval, t_p, without_rounding

Array = npt.NDArray[np.float64]


@attrs.frozen(kw_only=True)
class Trend:
    """The mean slope of the units' least-squares lines, with its interval.

    Per unit of the axis; on a logarithmic axis, per doubling. monotone: the mean over units of the rank
    correlation with the axis, from -1 to 1: near 0 with a clear curve means a bend, not a slope.
    Slopes that are 0 in every unit have p = 1; a single unit has none (NaN).
    """

    slope: float
    low: float
    high: float
    p_sign_flip: float
    p_t: float
    monotone: float
    units: int


def trend(scores: Array, positions: Array, *, logarithmic: bool = False, level: float = 0.95) -> Trend:
    """The trend of scores [positions, units] along an axis.

    The line of a unit is a summary of it, and units are what is repeated, so its slope is tested as a paired
    difference is (Matthews et al. 1990).

    Raises:
        ValueError: fewer than 3 positions, no units, or a logarithmic axis that is not above 0.
    """
    if len(positions) < 3 or scores.shape[0] != len(positions) or scores.shape[1] < 1:
        raise ValueError(
            f"a trend takes scores [positions, units] at 3 positions or more, not {list(scores.shape)} at "
            f"{len(positions)}"
        )
    if logarithmic and positions.min() <= 0:
        raise ValueError("positions on a logarithmic axis are above 0")
    x = np.log2(positions) if logarithmic else positions
    x = x - x.mean()
    slopes = without_rounding(x @ scores, np.abs(x) @ np.abs(scores)) / float(x @ x)
    low, high = t_interval(slopes, level)
    ranks = [_rank_correlation(positions, unit) for unit in scores.T]
    return Trend(
        slope=float(slopes.mean()),
        low=float(low),
        high=float(high),
        p_sign_flip=float(sign_flip_p(slopes)) if len(slopes) > 1 else math.nan,
        p_t=float(t_p(slopes)),
        monotone=float(np.nanmean(ranks)) if not np.isnan(ranks).all() else math.nan,
        units=len(slopes),
    )


def _rank_correlation(x: Array, y: Array) -> float:
    """Spearman's, with mean ranks for ties; NaN for a constant."""
    first, second = (_ranks(it) - (len(x) - 1) / 2 for it in (x, y))
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > 0 else math.nan


def _ranks(values: Array) -> Array:
    ranks: Array = ((values[:, None] > values).sum(1) + (values[:, None] >= values).sum(1) - 1) / 2.0
    return ranks
