"""What raters said, as a metric of studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.judge.analysis.analysis import grouped
from glidepath.plugins.judge.analysis.votes import excluded, votes
from glidepath.plugins.judge.configs import JudgedConfig
from glidepath.plugins.judge.protocol.folder import open_judgement, pixels_digest
from glidepath.registry import load_catalogue, to_pil


class Judged:
    """The share of its comparisons that a picture won, ties as halves; of ratings, their mean.

    A picture is found by its pixels and its prompt. Who is left out by the rules of the judgement does not
    count here either. One that nobody was asked about has no score.
    """

    direction: Literal["higher", "lower"] = "higher"

    def __init__(self, config: JudgedConfig) -> None:
        """Raises GlidepathError where the judgement has no such raters, or is damaged."""
        judgement = open_judgement(config.folder, load_catalogue(no_plugins=True))
        about = judgement.rules.judgement
        self.name = f"judged by {config.by}: {about.question}"
        self.unit = "share" if about.kind == "pairs" else ""
        raters = judgement.raters()
        answers, _ = judgement.answers()
        groups = grouped(raters, answers)
        if config.by not in groups:
            known = ", ".join(groups) or "nobody yet"
            raise GlidepathError(f"{config.folder} was judged by {known}, and not by {config.by!r}")
        out = excluded(judgement, raters, answers)
        found = votes(judgement, [it for it in groups[config.by] if it.name not in out], answers)
        said: dict[tuple[str, str], list[float]] = {}
        for place, value in zip(found.items, found.value, strict=True):
            item = judgement.items[int(place)]
            for picture, worth in zip(item.pictures, (value, 1 - value), strict=False):
                shown = judgement.pictures[picture]
                said.setdefault((shown.pixels, shown.prompt), []).append(float(worth))
        self._said = {key: float(np.mean(values)) for key, values in said.items()}

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """A score for each image [N, 3, H, W] uint8; NaN for one that was not judged."""
        return [
            self._said.get((pixels_digest(to_pil(image)), prompt), math.nan)
            for image, prompt in zip(images, prompts, strict=True)
        ]
