"""How far raters agree: Krippendorff's alpha."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from glidepath.plugins.judge.analysis.clusters import Array

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(ratings: Array, level: Level = "nominal") -> float:
    """1 for raters who agree, 0 for what chance would give; NaN where no two raters answered alike units.

    Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C to E: 1 - D_o / D_e from the
    coincidences of values within units.

    ratings: [raters, units], NaN for no answer. level: of the values, which says how much two of them differ.
    """
    there = ~np.isnan(ratings)
    values = np.unique(ratings[there])
    place = np.searchsorted(values, np.where(there, ratings, values[0] if len(values) else 0.0))
    k = len(values)
    counts = np.zeros((ratings.shape[1], k))  # how often each unit was given each value
    units = np.broadcast_to(np.arange(ratings.shape[1]), ratings.shape)
    np.add.at(counts, (units[there], place[there]), 1)
    answers = counts.sum(1)
    counts, answers = counts[answers > 1], answers[answers > 1]
    if not len(counts):
        return math.nan
    weighted = counts / (answers - 1)[:, None]
    coincidences = counts.T @ weighted - np.diag(weighted.sum(0))
    totals = coincidences.sum(1)
    distance = _distances(values, totals, level)
    expected = float((np.outer(totals, totals) * distance).sum() / (totals.sum() - 1))
    if expected == 0:
        return math.nan  # only one value was ever given: nothing tells agreement from habit
    return 1 - float((coincidences * distance).sum()) / expected


def _distances(values: Array, totals: Array, level: Level) -> Array:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return np.asarray(np.subtract.outer(values, values) ** 2)
    # ordinal: how many answers lie between both values, the ends counted as halves
    middle = np.cumsum(totals) - totals / 2
    return np.asarray(np.subtract.outer(middle, middle) ** 2)
