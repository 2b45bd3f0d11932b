"""Standard errors of estimates from answers that share raters and prompts.

Answers of one rater are alike, and so are answers about one prompt; each answer belongs to one of both kinds
of clusters. An estimate is a mean of influences, one for each answer, and its variance is

    V = V_raters + V_prompts - V_answers

where V of a grouping is the sum over its groups of the squared sum of influences (Cameron, Gelbach and Miller
2011, "Robust inference with multiway clustering", doi:10.1198/jbes.2010.07136, equation 2.3). Of G groups the
share c of an estimate is fitted by the group itself, which 1 / (1 - c) makes good (the CR2 correction of Bell
and McCaffrey 2002; G / (G - 1) for equal groups).

Two things are of few groups. V is compared with t, whose degrees of freedom follow from those of its terms
(Satterthwaite 1946): V^2 / (V_raters^2 / d_raters + V_prompts^2 / d_prompts), d being the effective number of
groups less 1. And V may fall below V_answers by chance, where neither raters nor prompts matter; it is then
at least `_LEAST` of it, with the degrees of freedom of single answers. What these intervals cover was
measured (docs/judging.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.judge.extras import special

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

_LEAST = 0.8
_NOTHING = 1e-24
"""A variance of rounding."""


@attrs.frozen
class Interval:
    """An estimate with its interval, and how many clusters it rests on. NaN stands for what is not known."""

    value: float
    low: float
    high: float
    raters: int = 0
    prompts: int = 0

    def mapped(self, rising: Callable[[float], float]) -> Interval:
        """The same on another scale, by a function that rises."""
        value, low, high = (rising(it) for it in (self.value, self.low, self.high))
        return Interval(value, low, high, self.raters, self.prompts)

    def contains(self, value: float) -> bool:
        """Whether a value lies within."""
        return self.low <= value <= self.high


@attrs.frozen(eq=False)
class Clusters:
    """The raters and prompts of n answers, as numbers from 0."""

    raters: Groups
    prompts: Groups

    @property
    def counts(self) -> tuple[int, int]:
        """How many raters and prompts there are."""
        return len(np.unique(self.raters)), len(np.unique(self.prompts))

    def variance(self, influence: Array) -> tuple[Array, Array]:
        """The variance of an estimate, and its degrees of freedom.

        influence: [..., n], what each answer adds to the estimate's error; its sum is 0. Of several estimates
        at once, the answers are the last dimension.
        """
        n = influence.shape[-1]
        single = (influence**2).sum(-1) * (n / max(n - 1, 1))
        (raters, of_raters), (prompts, of_prompts) = (
            _grouped(influence, groups) for groups in (self.raters, self.prompts)
        )
        if of_raters <= 0 or of_prompts <= 0:
            # one rater, or one prompt: the claim is about that one, and the others are what is repeated
            shown, degrees = (prompts, of_prompts) if of_raters <= 0 else (raters, of_raters)
            if degrees <= 0:
                return np.full_like(single, math.inf), np.ones_like(single)
            return shown, np.full_like(single, degrees)
        total = raters + prompts - single
        spread = raters**2 / of_raters + prompts**2 / of_prompts
        with np.errstate(divide="ignore", invalid="ignore"):
            degrees = np.where(total > single, total**2 / spread, n - 1)
        return np.maximum(total, _LEAST * single), np.clip(degrees, 1, max(n - 1, 1))

    def half_width(self, influence: Array, level: float) -> Array:
        """Half the width of the interval of an estimate, at a level such as 0.95.

        Infinite where no answer differs from the others: nothing tells how much they could.
        """
        variance, degrees = self.variance(influence)
        quantile = special().stdtrit(degrees, (1 + level) / 2)
        width: Array = np.where(variance > _NOTHING, quantile * np.sqrt(variance), np.inf)
        return width

    def p_value(self, value: Any, influence: Array) -> Array:
        """Two-sided, that the true value is 0; 1 where no answer differs from the others."""
        variance, degrees = self.variance(influence)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(variance > _NOTHING, np.abs(value) / np.sqrt(variance), 0.0)
        found: Array = 2 * special().stdtr(degrees, -statistic)
        return found


def _grouped(influence: Array, groups: Groups) -> tuple[Array, float]:
    """The sum over groups of the squared sum of influences, and the effective number of groups less 1."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) > 0])
    sums = np.add.reduceat(influence[..., order], starts, axis=-1)
    sizes = np.diff(np.r_[starts, len(groups)])
    if len(sizes) < 2:
        return np.zeros(influence.shape[:-1]), 0.0
    share = sizes / sizes.sum()
    return (sums**2 / (1 - share)).sum(-1), float(1 / (share**2).sum() - 1)
