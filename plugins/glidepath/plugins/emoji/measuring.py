"""How often a model's images show what their prompts say, by the judge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs
import torch
from torch import Tensor

from glidepath.plugins.emoji.copies import nearest
from glidepath.plugins.emoji.judge import Logits, TrainedJudge, top
from glidepath.plugins.emoji.splits import SPLITS, drawn_from
from glidepath.plugins.emoji.table import Listing, Table
from glidepath.registry import text_table

#: Prompts, and the numbers of their samples, to images [N, 3, S, S] uint8.
Draw = Callable[[list[str], range], Tensor]

_SHARES: Final = ("top_1", "top_5", "style", "tone", "copies")


@attrs.frozen
class Share:
    """So many right of so many."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.right / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson score interval at 95 % (Wilson 1927, equation 4)."""
        if not self.of:
            return 0.0, 1.0
        n, p, z = self.of, self.value, 1.959964
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - half, middle + half


@attrs.frozen
class Score:
    """What the judge says of the images of one split.

    tone: of those whose prompts say one. copies: of training pictures, where these are there to compare with.
    """

    split: str
    images: int
    top_1: Share
    top_5: Share
    style: Share
    tone: Share
    copies: Share = Share(0, 0)


def measure(
    draw: Draw,
    judge: TrainedJudge,
    *,
    count: int,
    seed: int = 0,
    batch: int = 32,
    splits: tuple[str, ...] = SPLITS,
    table: Table | None = None,
) -> list[Score]:
    """Scores of `count` prompts of each split; image i is sample i, of its own noise.

    table: with it, copies of training pictures are counted.
    """
    scores = []
    for split in splits:
        rows = drawn_from(judge.listing, split, count, seed)
        if not len(rows):
            continue
        images = []
        for first in range(0, len(rows), batch):
            chosen = rows[first : first + batch].tolist()
            prompts = [judge.listing.caption(row) for row in chosen]
            images.append(draw(prompts, range(first, first + len(chosen))).cpu())
        split_score = score(split, judge.look(torch.cat(images)), judge.listing, rows)
        if table is not None:
            split_score = attrs.evolve(split_score, copies=_share(nearest(torch.cat(images), table).copied))
        scores.append(split_score)
    return scores


def ceiling(judge: TrainedJudge, table: Table, *, count: int, seed: int = 0) -> list[Score]:
    """The same scores of the real pictures: what the judge itself gets wrong."""
    scores = []
    for split in SPLITS:
        rows = drawn_from(table.listing, split, count, seed)
        if len(rows):
            scores.append(score(split, judge.look(table.pictures[rows]), table.listing, rows))
    return scores


def score(split: str, logits: Logits, listing: Listing, rows: Tensor) -> Score:
    """Add up what the judge says of images that should show the pictures `rows`."""
    toned = listing.tone[rows] > 0
    return Score(
        split=split,
        images=len(rows),
        top_1=_share(top(logits.thing, listing.thing[rows])),
        top_5=_share(top(logits.thing, listing.thing[rows], 5)),
        style=_share(top(logits.style, listing.style[rows])),
        tone=_share(top(logits.tone, listing.tone[rows])[toned]),
    )


def as_text(scores: list[Score]) -> str:
    """Scores for a person, in percent with their intervals."""
    heads = ["split", "images", "object", "object in 5", "style", "tone", "copies"]
    rows = [
        [row.split, str(row.images), *(_percent(getattr(row, name)) for name in _SHARES)] for row in scores
    ]
    return text_table([heads, *rows])


def as_data(row: Score) -> dict[str, object]:
    """A score for a program, with its shares and intervals."""
    shares = {name: getattr(row, name) for name in _SHARES}
    counted = {
        name: {"right": share.right, "of": share.of, "share": share.value, "interval": list(share.interval)}
        for name, share in shares.items()
        if share.of
    }
    return {"split": row.split, "images": row.images, **counted}


def _share(right: Tensor) -> Share:
    return Share(int(right.sum()), len(right))


def _percent(share: Share) -> str:
    if not share.of:
        return "-"
    low, high = share.interval
    return f"{share.value:.0%} ({low:.0%} to {high:.0%})"
