"""Looking before the end, at an error rate that is kept.

A judgement that is looked at K times, and stopped when it is decided, errs more often than one that is looked
at once. Lan and DeMets (1983, doi:10.1093/biomet/70.3.659) spend the error alpha as the share t of planned
answers grows: a function alpha(t), 0 at 0 and alpha at 1, says how much may be spent by then. Each side has
half of it, by

    obrien-fleming   2 - 2 Phi(z / sqrt(t))             little at first, nearly all at the end
    pocock           a ln(1 + (e - 1) t)                about the same at each look

with a the error of a side, z = Phi^-1(1 - a / 2). The bounds follow from increments of the statistic that are
independent, as those of new answers are (Armitage, McPherson and Rowe 1969). Where raters and prompts return,
looks are more alike than that, and the error is less than alpha.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np

from glidepath.plugins.judge.analysis.clusters import Array
from glidepath.plugins.judge.extras import special

Spending = Literal["obrien-fleming", "pocock"]

_POINTS = 400


def spent(share: float, alpha: float, spending: Spending) -> float:
    """The two-sided error that may be spent when a share of the planned answers is there."""
    side = alpha / 2
    if spending == "pocock":
        return 2 * side * math.log(1 + (math.e - 1) * share)
    z = float(special().ndtri(1 - side / 2))
    return 2 * (2 - 2 * float(special().ndtr(z / math.sqrt(share))))


@lru_cache
def bounds(shares: tuple[float, ...], alpha: float, spending: Spending) -> tuple[float, ...]:
    """The statistic, as a standard normal, that decides at each look.

    shares: of the planned answers at the looks, rising, the last 1.
    """
    functions = special()
    found: list[float] = []
    before, last = 0.0, 0.0
    points: Array = np.zeros(1)
    density: Array = np.ones(1)  # of the sum so far, at points that did not cross, times their weights
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    for share in shares:
        step = math.sqrt(share - last)
        wanted = spent(share, alpha, spending) - before
        low, high = 0.0, 12.0
        for _ in range(80):
            middle = (low + high) / 2
            edge = middle * math.sqrt(share)
            up, down = (functions.ndtr((sign * points - edge) / step) for sign in (1, -1))
            if float(density @ (up + down)) > wanted:
                low = middle
            else:
                high = middle
        found.append(high)
        edge = high * math.sqrt(share)
        grown = edge * nodes
        kernel = np.exp(-(((grown[:, None] - points[None]) / step) ** 2) / 2) / (
            step * math.sqrt(2 * math.pi)
        )
        points, density = grown, (kernel @ density) * weights * edge
        before, last = before + wanted, share
    return tuple(found)
