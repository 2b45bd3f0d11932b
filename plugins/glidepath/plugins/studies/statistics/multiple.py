"""p values adjusted for the number of comparisons. NaN, a comparison without an answer, is left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from glidepath.registry import needed

Array = npt.NDArray[np.float64]


def holm(p: Array) -> Array:
    """Adjusted p values of Holm's step-down procedure (1979), which controls the family-wise error rate.

    The k-th smallest of m is multiplied by m - k + 1, and none falls below the one before it.
    """
    return _adjusted(p, _step_down)


def benjamini_hochberg(p: Array) -> Array:
    """Adjusted p values of Benjamini and Hochberg (1995), which control the false discovery rate.

    Raises:
        MissingExtra: scipy is not installed.
    """
    stats = needed("scipy.stats", "the statistics of a study", extra="studies")
    return _adjusted(p, stats.false_discovery_control)


def _step_down(p: Array) -> Array:
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(adjusted, 1.0)


def _adjusted(p: Array, rule: Callable[[Array], Array]) -> Array:
    """A rule applied to what is not NaN."""
    adjusted = np.full(np.shape(p), np.nan)
    known = ~np.isnan(p)
    if known.any():
        adjusted[known] = rule(p[known])
    return adjusted
