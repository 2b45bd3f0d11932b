"""How large a paired difference is, in units that compare across metrics."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.extras import special
from glidepath.plugins.studies.statistics.paired import deviation

Array = npt.NDArray[np.float64]


@attrs.frozen(kw_only=True)
class Effect:
    """Sizes of a paired difference.

    relative: mean difference / |mean of the baseline|; NaN where that is 0.
    standardised: mean difference / standard deviation of the differences (d_z), times Hedges' correction for
        few units; NaN for one unit, or without spread.
    improvement: share of units in which the arm is strictly better; a tie is none.
    """

    relative: float
    standardised: float
    improvement: float


def effect(differences: Array, baseline: float, sign: int) -> Effect:
    """Of the differences [n]; sign is 1 where higher is better and -1 where lower is."""
    mean = float(differences.mean())
    n = differences.size
    spread = float(deviation(differences))
    better = sign * differences
    return Effect(
        relative=mean / abs(baseline) if baseline else math.nan,
        standardised=mean / spread * hedges(n - 1) if n > 1 and spread > 0 else math.nan,
        improvement=float((better > 0).mean()),
    )


def hedges(freedom: int) -> float:
    """The factor that makes a standardised difference unbiased (Hedges 1981): about 1 - 0.75 / freedom."""
    gammaln = special().gammaln
    return (
        float(np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) * math.sqrt(2 / freedom))
        if (freedom > 1)
        else math.nan
    )
