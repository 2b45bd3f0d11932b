"""How often the images of a model show what their prompts say, by the pixel reader.

`glidepath measure-shapes` draws prompts that training never saw: captions kept from training about
combinations that it saw ("unseen"), and combinations that it never saw ("held-out").
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor
from tqdm import tqdm

from glidepath.core import Cascade, ImagePipeline
from glidepath.plugins.shapes.draws import prompts
from glidepath.plugins.shapes.judge import Judgement, judge
from glidepath.plugins.shapes.scenes import render
from glidepath.registry import CommandParser, assemble, natural_int, positive_int

ATTRIBUTES = ("count", "shape", "color", "size", "background", "relation")
SPLITS = ("unseen", "held-out")


@attrs.frozen
class ShapesScore:
    """Right answers out of so many, for images of one split and number of objects.

    right: by attribute, (right, said); an image counts for an attribute only where its caption says it.
    all_right: images on which everything that the caption says is right.
    """

    split: str
    objects: int
    images: int
    all_right: int
    right: Mapping[str, tuple[int, int]]

    @property
    def share(self) -> float:
        """all_right / images."""
        return self.all_right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson score interval of `share` at 95 % (Wilson 1927)."""
        n, p, z = self.images, self.share, 1.959964
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - half, middle + half


def measure(
    pipeline: ImagePipeline | Cascade, *, count: int, seed: int = 0, batch: int = 50
) -> list[ShapesScore]:
    """Score `count` prompts of each split and number of objects; image i is sample i, of its own noise."""
    scores = []
    with tqdm(total=len(SPLITS) * 2 * count, unit="image", file=sys.stderr, leave=False) as bar:
        for split in SPLITS:
            for objects in (1, 2):
                said = [caption for caption, _ in prompts(count, split, objects, seed)]
                judgements: list[Judgement] = []
                for first in range(0, count, batch):
                    some = said[first : first + batch]
                    numbers = range(first, first + len(some))
                    images = pipeline(some, seed=seed, samples=numbers).cpu()
                    judgements += [judge(image, caption) for image, caption in zip(images, some, strict=True)]
                    bar.update(len(some))
                scores.append(tally(split, objects, judgements))
    return scores


def ceiling(*, count: int, seed: int = 0, size: int = 32) -> list[ShapesScore]:
    """The same score of real renderings of the scenes, `size` pixels a side: what the reader gets wrong."""
    scores = []
    for split in SPLITS:
        for objects in (1, 2):
            drawn = prompts(count, split, objects, seed)
            images: Tensor = render([scene for _, scene in drawn], size)
            found = [judge(image, caption) for image, (caption, _) in zip(images, drawn, strict=True)]
            scores.append(tally(split, objects, found))
    return scores


def tally(split: str, objects: int, judgements: Sequence[Judgement]) -> ShapesScore:
    """Add up judgements."""
    right = {}
    for name in ATTRIBUTES:
        answers = [answer for answer in (getattr(it, name) for it in judgements) if answer is not None]
        right[name] = (sum(map(bool, answers)), len(answers))
    return ShapesScore(split, objects, len(judgements), sum(it.all_right for it in judgements), right)


def table(scores: Sequence[ShapesScore]) -> str:
    """Scores for a person, in percent."""
    heads = ["split", "objects", "images", "all right", "95 % interval", *ATTRIBUTES]
    rows = [heads]
    for score in scores:
        low, high = score.interval
        row = [score.split, str(score.objects), str(score.images), f"{score.share:.1%}"]
        row += [f"{low:.1%} to {high:.1%}"]
        row += [f"{hit / said:.1%}" if said else "-" for hit, said in score.right.values()]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(prog="glidepath measure-shapes", description=__doc__)
    parser.add_argument("--spec", default="shapes", help="a YAML file or a preset (default: %(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights in place of the spec's own")
    parser.add_argument(
        "--count", type=positive_int, default=500, help="prompts of each row (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=natural_int, default=0, help="of prompts and noise (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=positive_int, default=50, help="images made at once (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(arguments: Sequence[str]) -> int:
    """The command `glidepath measure-shapes`."""
    chosen = parser().parse_args(list(arguments))
    pipeline = assemble(chosen.spec, chosen.overrides, weights=chosen.weights)
    found = measure(pipeline, count=chosen.count, seed=chosen.seed, batch=chosen.batch)
    real = ceiling(count=chosen.count, seed=chosen.seed, size=pipeline.image_size[0])
    if chosen.json:
        print(
            json.dumps({"model": [_plain(it) for it in found], "real": [_plain(it) for it in real]}, indent=2)
        )
        return 0
    print(table(found))
    print("\nreal renderings of the same prompts, which the reader ought to find right:")
    print(table(real))
    return 0


def _plain(score: ShapesScore) -> dict[str, Any]:
    return {**attrs.asdict(score), "share": score.share, "interval": score.interval}
