"""Whether images show what their prompts say, as a metric of studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.shapes.captions import Claim, parse
from glidepath.plugins.shapes.configs import AccuracyConfig
from glidepath.plugins.shapes.judge import judge_reading
from glidepath.plugins.shapes.reader import Reading, read


class ShapesAccuracy:
    """The share of images on which the pixel reader finds what the prompt says."""

    direction: Literal["higher", "lower"] = "higher"
    unit = "share"

    def __init__(self, config: AccuracyConfig) -> None:
        self.config = config
        self.name = "all right" if config.of == "all" else f"{config.of} right"

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """1 for each image that is right and 0 for each that is not; NaN where the prompt does not say.

        Raises:
            GlidepathError: a prompt is none that the reader knows.
        """
        claims = [self._claim(prompt) for prompt in prompts]
        return [self._score(*both) for both in zip(read(images), claims, strict=True)]

    def _claim(self, prompt: str) -> Claim:
        try:
            return parse(prompt)
        except ValueError as error:
            raise GlidepathError(f"shapes-accuracy cannot judge {prompt!r}: {error}") from error

    def _score(self, reading: Reading, claim: Claim) -> float:
        judgement = judge_reading(reading, claim)
        if self.config.of == "all":
            return float(judgement.all_right)
        right: bool | None = getattr(judgement, self.config.of)
        return math.nan if right is None else float(right)
