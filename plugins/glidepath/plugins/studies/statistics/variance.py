"""Exact decomposition of variance on a complete grid: how much each axis explains, alone and together.

Functional analysis of variance. On a balanced grid every score is a unique sum of terms, one for each subset
of axes, each summing to 0 along its axes (Fisher 1925; Hooker 2004); their mean squares add up to the
variance, with no model fitted and none left over.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.extras import special
from glidepath.plugins.studies.statistics.paired import without_rounding

Array = npt.NDArray[np.float64]


@attrs.frozen(kw_only=True)
class Term:
    """One line of the decomposition.

    axes: the axes whose joint effect it is; one is a main effect, more an interaction.
    share: of the variance, from 0 to 1.
    freedom: (of the term, of its error).
    f, p: against the term's own interaction with the units, as repeated measures are tested; NaN where
        there is one unit. The test takes normal differences of equal spread.
    """

    axes: tuple[str, ...]
    share: float
    freedom: tuple[int, int]
    f: float
    p: float


@attrs.frozen(kw_only=True)
class Decomposition:
    """Shares of the variance of a grid: of the terms, of the units alone, and of what the units change."""

    terms: tuple[Term, ...]
    units: float
    residual: float


def decompose(scores: Array, axes: Sequence[str]) -> Decomposition:
    """Decompose scores [levels of axis 1, ..., levels of axis k, units].

    Raises:
        ValueError: the number of axes does not fit, an axis has one level, or a score is NaN.
    """
    if scores.ndim != len(axes) + 1 or scores.size == 0:
        raise ValueError(f"scores of {len(axes)} axes are [levels..., units], not {list(scores.shape)}")
    if min(scores.shape[:-1], default=0) < 2:
        raise ValueError("an axis of a grid has at least 2 levels")
    if np.isnan(scores).any():
        raise ValueError("a grid is complete: no score is NaN")
    squares = _squares(scores)
    total = sum(squares.values())
    last = len(axes)
    terms = []
    for subset in _subsets(range(last)):
        own, error = squares[subset], squares[(*subset, last)]
        freedom = math.prod(scores.shape[axis] - 1 for axis in subset)
        left = freedom * (scores.shape[-1] - 1)
        f, p = _f_test(own, freedom, error, left)
        names = tuple(axes[axis] for axis in subset)
        terms.append(Term(axes=names, share=_share(own, total), freedom=(freedom, left), f=f, p=p))
    residual = sum(value for subset, value in squares.items() if last in subset and len(subset) > 1)
    return Decomposition(
        terms=tuple(terms), units=_share(squares[(last,)], total), residual=_share(residual, total)
    )


def _squares(scores: Array) -> dict[tuple[int, ...], float]:
    """The sum of squares of the term of each subset of axes, by their numbers."""
    everything = range(scores.ndim)
    terms: dict[tuple[int, ...], Array] = {(): scores.mean(keepdims=True)}
    squares = {}
    for subset in _subsets(everything):
        rest = tuple(axis for axis in everything if axis not in subset)
        term = scores.mean(axis=rest, keepdims=True)
        for size in range(len(subset)):
            for smaller in itertools.combinations(subset, size):
                term = term - terms[smaller]
        # what is left of terms that cancel is no effect, and is not tested as one
        term = without_rounding(term, float(np.abs(scores).max()))
        terms[subset] = term
        squares[subset] = float((term**2).sum() * scores.size / term.size)
    return squares


def _subsets(axes: range) -> list[tuple[int, ...]]:
    return [it for size in range(1, len(axes) + 1) for it in itertools.combinations(axes, size)]


def _share(part: float, total: float) -> float:
    return part / total if total > 0 else 0.0


def _f_test(own: float, freedom: int, error: float, left: int) -> tuple[float, float]:
    if left < 1:
        return math.nan, math.nan
    if error <= 0:
        return (math.inf, 0.0) if own > 0 else (0.0, 1.0)
    f = (own / freedom) / (error / left)
    return f, float(special().fdtrc(freedom, left, f))
