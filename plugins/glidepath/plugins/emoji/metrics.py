"""The judge as metrics of studies: whether images show the object, style and tone of their prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.emoji.captions import Claim, parse
from glidepath.plugins.emoji.configs import ObjectConfig
from glidepath.plugins.emoji.judge import load_judge, top
from glidepath.plugins.emoji.styles import STYLES, TONES


class ObjectRight:
    """1 where the judge sees the object that the prompt names, among its likeliest; 0 where not."""

    direction: Literal["higher", "lower"] = "higher"
    unit = "share"

    def __init__(self, config: ObjectConfig) -> None:
        self.config = config
        self.name = "object right" if config.within == 1 else f"object within {config.within}"
        self._judge = load_judge()
        self._things = {thing.name: index for index, thing in enumerate(self._judge.listing.things)}

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """A number for each image [N, 3, S, S] uint8.

        Raises:
            GlidepathError: a prompt names no object that the judge knows.
        """
        right = [self._thing(prompt) for prompt in prompts]
        return top(self._judge.look(images).thing, right, self.config.within).float().tolist()

    def _thing(self, prompt: str) -> int:
        subject = parse(prompt, self._things).subject
        if subject not in self._things:
            raise GlidepathError(
                f"emoji-object cannot judge {prompt!r}: its judge knows no {subject!r}; it knows "
                f"{len(self._things)} objects by their names, such as 'a red apple, 3d'"
            )
        return self._things[subject]


class _AttributeRight:
    """1 where the judge sees what the prompt says, 0 where not; NaN where the prompt does not say it."""

    direction: Literal["higher", "lower"] = "higher"
    unit = "share"
    head = ""
    words: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.name = f"{self.head} right"
        self._judge = load_judge()
        self._names = {thing.name for thing in self._judge.listing.things}

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """A number for each image [N, 3, S, S] uint8."""
        words = [self._word(parse(prompt, self._names)) for prompt in prompts]
        right = [self.words.index(word) if word else 0 for word in words]
        scores = top(getattr(self._judge.look(images), self.head), right).float().tolist()
        return [score if word else math.nan for score, word in zip(scores, words, strict=True)]

    def _word(self, claim: Claim) -> str:
        word: str = getattr(claim, self.head)
        return word


class StyleRight(_AttributeRight):
    """The style: flat, noto or 3d."""

    head = "style"
    words = STYLES


class ToneRight(_AttributeRight):
    """The skin tone, of prompts that say one."""

    head = "tone"
    words = TONES
