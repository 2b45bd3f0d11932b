"""Shares and means with intervals: of wins, of ties, of the left side, of ratings."""

from __future__ import annotations

import math

import numpy as np

from glidepath.plugins.judge.analysis.clusters import Array, Clusters, Interval
from glidepath.plugins.judge.extras import special


def share(values: Array, clusters: Clusters, level: float) -> Interval:
    """The mean of values from 0 to 1, such as wins with ties as halves, with an interval inside them.

    The interval is one of the logit, log p / (1 - p), where it is closer to symmetric. Where all answers are
    0, or all are 1, it is that of Clopper and Pearson (1934, doi:10.1093/biomet/26.4.404) with as many trials
    as there are raters or prompts, whichever are fewer: no spread is seen there that would tell more.
    """
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    raters, prompts = clusters.counts
    mean = float(values.mean())
    if mean in (0.0, 1.0):
        trials = min(it for it in (raters, prompts) if it > 1) if max(raters, prompts) > 1 else 1
        bound = float(((1 - level) / 2) ** (1 / trials))
        ends = (0.0, 1 - bound) if mean == 0.0 else (bound, 1.0)
        return Interval(mean, *ends, raters, prompts)
    logit = math.log(mean / (1 - mean))
    width = float(clusters.half_width(logit_influence(values), level))
    low, high = (float(special().expit(logit + sign * width)) for sign in (-1, 1))
    return Interval(mean, low, high, raters, prompts)


def logit_influence(values: Array) -> Array:
    """What each value [..., n] adds to the error of the logit of their mean."""
    mean = values.mean(-1, keepdims=True)
    found: Array = (values - mean) / (values.shape[-1] * mean * (1 - mean))
    return found


def mean(values: Array, clusters: Clusters, level: float) -> Interval:
    """The mean of values on any scale."""
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    middle = float(values.mean())
    width = float(clusters.half_width((values - middle) / len(values), level))
    return Interval(middle, middle - width, middle + width, *clusters.counts)


def difference(values: Array, second: Array, clusters: Clusters, level: float) -> Interval:
    """The mean of the values in `second` (booleans) minus that of the others; clusters are of all of them."""
    chosen = np.asarray(second, dtype=bool)
    if chosen.all() or not chosen.any():
        return Interval(math.nan, math.nan, math.nan)
    means = values[chosen].mean(), values[~chosen].mean()
    influence = np.where(chosen, (values - means[0]) / chosen.sum(), -(values - means[1]) / (~chosen).sum())
    found = float(means[0] - means[1])
    width = float(clusters.half_width(influence, level))
    return Interval(found, found - width, found + width, *clusters.counts)


def p_of_share(values: Array, clusters: Clusters) -> float:
    """Two-sided, that a share is 1/2: of the mean itself, whose variance under 1/2 needs no logit."""
    if not len(values):
        return math.nan
    middle = values.mean()
    if middle in (0.0, 1.0):
        raters, prompts = clusters.counts
        trials = min(it for it in (raters, prompts) if it > 1) if max(raters, prompts) > 1 else 1
        return float(min(1.0, 2.0 ** (1 - trials)))
    return float(clusters.p_value(middle - 0.5, (values - middle) / len(values)))
