"""A judge of the coloured discs, trained in a moment."""

from __future__ import annotations

from functools import lru_cache

from glidepath.plugins.emoji.judge import TrainedJudge
from glidepath.plugins.emoji.judge_training import train_judge
from glidepath.plugins.emoji.table import Table

from .tiny import tiny_table


@lru_cache
def table() -> Table:
    """Pictures of the size that a judge looks at."""
    return tiny_table(32)


@lru_cache
def judge() -> TrainedJudge:
    """Knows the discs well."""
    return TrainedJudge(train_judge(table(), steps=120, batch=16), table().listing)
