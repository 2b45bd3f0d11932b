"""p values adjusted for how many questions were asked. NaN (a question without an answer) is left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def holm(p: Array) -> Array:
    """Adjusted p of Holm's step-down procedure (1979): one false claim in the family at most, at that level.

    The k-th smallest of m is multiplied by m - k + 1, and none falls below the one before it.
    """
    return _adjusted(p, lambda ordered: np.maximum.accumulate(ordered * np.arange(ordered.size, 0, -1)))


def benjamini_hochberg(p: Array) -> Array:
    """Adjusted p (q values) of Benjamini and Hochberg (1995): the expected share of false claims.

    The k-th smallest of m is multiplied by m / k, and none exceeds the one after it.
    """

    def rule(ordered: Array) -> Array:
        scaled = ordered * ordered.size / np.arange(1, ordered.size + 1)
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _adjusted(p, rule)


def _adjusted(p: Array, rule: object) -> Array:
    assert callable(rule)
    flat = np.asarray(p, dtype=np.float64).ravel()
    known = np.flatnonzero(~np.isnan(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    result = np.full(flat.shape, np.nan)
    result[order] = np.minimum(rule(flat[order]), 1.0)
    return result.reshape(np.shape(p))
