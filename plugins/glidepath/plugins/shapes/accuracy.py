"""Whether images show what their prompts say, as a metric of studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.shapes.configs import AccuracyConfig
from glidepath.plugins.shapes.judge import judge


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
        return [self._score(image, prompt) for image, prompt in zip(images, prompts, strict=True)]

    def _score(self, image: Tensor, prompt: str) -> float:
        try:
            judgement = judge(image, prompt)
        except ValueError as error:
            raise GlidepathError(f"shapes-accuracy cannot judge {prompt!r}: {error}") from error
        if self.config.of == "all":
            return float(judgement.all_right)
        right: bool | None = getattr(judgement, self.config.of)
        return math.nan if right is None else float(right)
