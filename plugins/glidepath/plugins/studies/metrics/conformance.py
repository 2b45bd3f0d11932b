"""How the conformance kit uses a metric: `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.studies.interface import Drawn
from glidepath.testing import (
    PROMPTS,
    Attempt,
    CannotRun,
    Trial,
    cannot_read,
    random_rows,
    require,
    small_pipeline,
)

PROMPTS_KEY = "metric.prompts"
"""Texts that a metric can judge, where it provides them: for one that does not know those of the kit."""

_SIZE = 32
_PER_PROMPT = 2
_PROMPTS = 4


class MetricTrial(Trial):
    """Judges the images of a prompt for each row; or a set of them, where a metric has one number for all."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "metric.whole_set": lambda built: not hasattr(built, "per_prompt")
    }
    on_host = True

    def use(self, built: Any, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The scores: of each image of a row's prompt, or of each row's set."""
        if hasattr(built, "per_prompt"):
            scores = self.scores(built, images(rows), self.texts(rows))
            return [torch.from_numpy(scores.reshape(len(rows), -1))]
        return [torch.tensor([float(built.whole_set(self.drawn(row))) for row in rows])]

    def require_shapes(self, built: Any) -> None:
        """It says what it measures, gives a number for each image or one for all, and changes no image."""
        for name in ("name", "unit"):
            require(isinstance(getattr(built, name), str), f"{name} is {getattr(built, name)!r}, and no text")
        require(bool(built.name.strip()), "name is empty, and must say in tables what it measures")
        require(
            built.direction in ("higher", "lower"),
            f"direction is {built.direction!r}, and must say what is better: 'higher' or 'lower'",
        )
        if hasattr(built, "per_prompt"):
            given, texts = images((0, 1)), self.texts((0, 1))
            before = given.clone()
            found = self.scores(built, given, texts).shape
            require(found == (len(texts),), f"{len(texts)} images have scores of shape {list(found)}")
        else:
            require(hasattr(built, "whole_set"), "it has neither per_prompt nor whole_set")
            require(
                self.part.provided("metric.whole_set") is True,
                "it judges a set as a whole (whole_set), and its descriptor does not say so: write "
                "provides=lambda config: {'metric.whole_set': True}, by which a plan counts its numbers",
            )
            drawn = self.drawn(0)
            given, before = drawn.images, drawn.images.clone()
            found = np.shape(built.whole_set(drawn))
            require(found == (), f"whole_set gives numbers of shape {list(found)}, and must give one")
        require(torch.equal(given, before), "it writes on the images, which other metrics judge after it")

    def require_dtypes(self, built: Any) -> None:
        """Numbers; NaN where an image has no answer."""
        (scores,) = self.use(built, (0, 1))
        require(not bool(scores.isinf().any()), "a score is infinite: no mean could be taken over the images")

    def bad_inputs(self, built: Any) -> Iterator[Attempt]:
        """What a study may come with: a prompt that says nothing, a spec without data."""
        if hasattr(built, "per_prompt"):
            said = images((0,))[:1]
            yield "an empty prompt", lambda: built.per_prompt(said, [""]), False
        else:
            yield "a spec without data", lambda: built.whole_set(self.drawn(0, bare=True)), False

    def scores(self, built: Any, given: Tensor, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """What `per_prompt` gives, as float64.

        Raises:
            CannotRun: it does not know the prompts.
        """
        try:
            return np.asarray(built.per_prompt(given, texts), dtype=np.float64)
        except GlidepathError as error:
            why = cannot_read(texts[0], error)
            raise CannotRun(f"{why}; or let its descriptor provide texts as {PROMPTS_KEY}") from error

    def texts(self, rows: Sequence[int]) -> list[str]:
        """A prompt for each row, said of each of its images."""
        known = self.part.provided(PROMPTS_KEY) or PROMPTS
        return [known[row % len(known)] for row in rows for _ in range(_PER_PROMPT)]

    def drawn(self, row: int, *, bare: bool = False) -> Drawn:
        """What an arm might have drawn, decided by the row. bare: by a spec that names no data."""
        rows = range(_PROMPTS * row, _PROMPTS * (row + 1))
        return Drawn(
            images=images(rows)[: 0 if self.part.provided("metric.reads") else None],
            prompts=[] if self.part.provided("metric.reads") else self.texts(rows),
            per_prompt=_PER_PROMPT,
            seconds=1.5 + row,
            peak_bytes=(1 + row) * 2**20,
            evaluations=10.0 + row,
            dataset=None if bare else Pictures,
            pipeline=None if bare else small_pipeline,
            seed=row,
        )


class Pictures:
    """A dataset: clouds of colour, each decided by (seed, step) and its place in the batch."""

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """As training asks for it: images [size, 3, 32, 32] float32 in [-1, 1], and captions."""
        rows = [1000 * seed + 100 * step + index for index in range(size)]
        return clouds(rows, 1), [PROMPTS[index % len(PROMPTS)] for index in range(size)]


def images(rows: Sequence[int]) -> Tensor:
    """The images of some rows, [rows * 2, 3, 32, 32] uint8: those of a row follow one another."""
    each = [_PER_PROMPT * row + index for row in rows for index in range(_PER_PROMPT)]
    return ((clouds(each) + 1) * 127.5).round().to(torch.uint8)


def clouds(rows: Sequence[int], stream: int = 0) -> Tensor:
    """Smooth noise in [-1, 1], each decided by its number: [rows, 3, 32, 32] float32."""
    coarse = random_rows(rows, (3, 5, 5), stream)
    return torch.nn.functional.interpolate(coarse, (_SIZE, _SIZE), mode="bilinear").clamp(-1, 1)
