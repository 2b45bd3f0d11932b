"""Metrics that compare families: a part of the prompts, modes that appear, operations for an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from glidepath.core import PartError
from glidepath_families_metrics.config import AmongConfig, OperationsConfig, WaysConfig
from glidepath_families_metrics.counting import counting


class Judge(Protocol):
    """A metric that judges image by image."""

    name: str
    direction: str
    unit: str

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> Sequence[float]:
        """A number for each image, NaN where there is no answer."""


class Drawn(Protocol):
    """What is read of an arm."""

    @property
    def pipeline(self) -> Callable[[], Any] | None:
        """Builds it, with its weights."""


class Among:
    """What another metric says of the images of some prompts."""

    def __init__(self, config: AmongConfig, *, metric: Judge) -> None:
        """Raises PartError where the metric does not judge image by image."""
        self.config, self.metric = config, _judging(metric)
        self.name = f"{metric.name}, {config.called}"
        self.direction, self.unit = metric.direction, metric.unit

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """NaN for images of other prompts."""
        rows = [row for row, prompt in enumerate(prompts) if prompt in self.config.prompts]
        scores = [math.nan] * len(prompts)
        if rows:
            found = self.metric.per_prompt(images[rows], [prompts[row] for row in rows])
            for row, score in zip(rows, found, strict=True):
                scores[row] = float(score)
        return scores


class Ways:
    """The share of the ways to show a prompt that appear among its images.

    An image that does not show its prompt shows no way. With N images of M ways that are equally frequent,
    a model that is always right and drops none shows 1 - (1 - 1 / M)^N of them.
    """

    direction, unit = "higher", "share"

    def __init__(self, config: WaysConfig, *, metric: Judge) -> None:
        """Raises PartError where the metric does not judge image by image."""
        self.config, self.metric = config, _judging(metric)
        self.name = f"ways shown, of {len(config.ways)}"

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """The share of each image's prompt, [N]."""
        shown: dict[str, set[str]] = {prompt: set() for prompt in prompts}
        left = [row for row, right in enumerate(self.metric.per_prompt(images, prompts)) if right == 1]
        for way in self.config.ways:
            if not left:
                break
            said = [way.format(prompts[row].partition(" ")[2]) for row in left]
            found = self.metric.per_prompt(images[left], said)
            for row, score in zip(left, found, strict=True):
                if score == 1:
                    shown[prompts[row]].add(way)
            left = [row for row, score in zip(left, found, strict=True) if score != 1]
        return [len(shown[prompt]) / len(self.config.ways) for prompt in prompts]


class Operations:
    """Floating-point operations for an image: of matrix products, convolutions and attention."""

    name, direction, unit = "operations per image", "lower", "GFLOP"

    def __init__(self, config: OperationsConfig) -> None:
        self.config = config

    def whole_set(self, drawn: Drawn) -> float:
        """10^9 operations; the reading of the prompt is among them."""
        if drawn.pipeline is None:
            return math.nan
        pipeline, count = drawn.pipeline(), self.config.images
        with counting() as counter, torch.no_grad():
            pipeline([self.config.prompt] * count, seed=0)
        return counter.total / count / 1e9


def _judging(metric: Judge) -> Judge:
    if not hasattr(metric, "per_prompt"):
        raise PartError(f"metric {metric.name} does not judge image by image")
    return metric
