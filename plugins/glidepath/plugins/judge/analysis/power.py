"""How many judgements find a rate, before any is made."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from glidepath.plugins.judge.extras import special

_MOST = 10_000_000
_GROUPS = 3
"""The fewest raters and prompts of a plan: of fewer no spread between them can be seen."""


@attrs.frozen(kw_only=True)
class Design:
    """Who judges what, and how much alike the answers are.

    per_pair: judgements of a pair. per_rater: of a rater. ties: their share.
    rater_icc, prompt_icc: the share of the variance of answers that raters, and prompts, explain: the
        correlation of two answers of one rater, or about one prompt.
    """

    per_pair: int = 3
    per_rater: int = 60
    ties: float = 0.0
    rater_icc: float = 0.02
    prompt_icc: float = 0.05

    def groups(self, judgements: int) -> tuple[int, int]:
        """How many raters and pairs so many judgements take."""
        raters, pairs = (max(_GROUPS, math.ceil(judgements / per)) for per in (self.per_rater, self.per_pair))
        return raters, pairs


def power(rate: float, judgements: int, design: Design, level: float) -> float:
    """The share of judgements of this size that find the rate different from 1/2.

    rate: of wins, ties counted as halves. The test is that of `clusters.Clusters`: its variance as the design
    expects it, and the noncentral t distribution with Satterthwaite's degrees of freedom.
    """
    raters, pairs = design.groups(judgements)
    spread = rate * (1 - rate) - design.ties / 4
    if spread <= 0:
        return 1.0
    alone = spread / judgements
    by_rater = spread * design.rater_icc * (1 / raters - 1 / judgements) + alone
    by_prompt = spread * design.prompt_icc * (1 / pairs - 1 / judgements) + alone
    variance = by_rater + by_prompt - alone
    degrees = variance**2 / (by_rater**2 / (raters - 1) + by_prompt**2 / (pairs - 1))
    shift = abs(rate - 0.5) / math.sqrt(variance)
    functions: Any = special()
    quantile = functions.stdtrit(degrees, (1 + level) / 2)
    found = 1 - functions.nctdtr(degrees, shift, quantile) + functions.nctdtr(degrees, shift, -quantile)
    if not math.isfinite(found):  # far out, where it is not computed, and is the normal one
        found = functions.ndtr(shift - quantile)
    return float(np.clip(found, 0, 1))


def judgements_for(rate: float, wanted: float, design: Design, level: float) -> int | None:
    """The fewest judgements that find a rate with so much power; None where no number does.

    Raises:
        ValueError: the rate is 1/2, or outside what the share of ties lets be.
    """
    half = design.ties / 2
    if not half <= rate <= 1 - half or rate == 0.5:
        raise ValueError(
            f"a rate to be found is from {half:g} to {1 - half:g} with {design.ties:.0%} ties, and not 0.5; "
            f"this is {rate:g}"
        )
    most = 1
    while power(rate, most, design, level) < wanted:
        most *= 2
        if most > _MOST:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        if power(rate, middle, design, level) < wanted:
            least = middle
        else:
            most = middle
    return most
