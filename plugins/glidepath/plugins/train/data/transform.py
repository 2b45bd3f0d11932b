"""What is done with a picture before it is trained on: the interface, and the transforms that come along."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image, ImageEnhance

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import (
        ColourJitterConfig,
        CropConfig,
        FlipConfig,
        ResizeConfig,
    )

Size = tuple[int, int]
"""(height, width) in pixels."""

_SIDE = re.compile(r"\b(left|right)(?=(most|ward|wards|hand)?\b)", re.IGNORECASE)
_METHODS = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Transform(ABC):
    """Changes a picture, and its caption where that has to change with it.

    draws: whether it draws anything. What it draws comes from the generator that it is given, and it has no
        state, so that a picture is the same whichever process makes it.
    """

    draws: ClassVar[bool] = True

    @abstractmethod
    def apply(
        self, picture: Image.Image, caption: str, size: Size, rng: np.random.Generator
    ) -> tuple[Image.Image, str]:
        """The picture, in RGB, and its caption as they are afterwards.

        size: of the images of the batch. After all transforms the largest part in the middle that has its
            proportions is cut out and resized to it.
        """

    def outcomes(
        self, picture: Image.Image, caption: str, size: Size
    ) -> Iterator[tuple[Image.Image, str]] | None:
        """Everything that `apply` may give; None where that has no end. A cache holds all of it."""
        return None if self.draws else iter([self.apply(picture, caption, size, np.random.default_rng(0))])


class Crop(Transform):
    """Cuts out a part with the proportions of the batch."""

    def __init__(self, config: CropConfig) -> None:
        self.config = config

    def apply(
        self, picture: Image.Image, caption: str, size: Size, rng: np.random.Generator
    ) -> tuple[Image.Image, str]:
        """Two draws for its place, one for how large it is."""
        share, across, down = rng.uniform([self.config.least, 0, 0], 1)
        width, height = (max(1, round(side * share)) for side in largest(picture.size, size))
        left, top = round((picture.width - width) * across), round((picture.height - height) * down)
        return picture.crop((left, top, left + width, top + height)), caption


class Resize(Transform):
    """Resizes to the batch's size or to a given one, keeping the proportions."""

    draws = False

    def __init__(self, config: ResizeConfig) -> None:
        self.config = config

    def apply(
        self, picture: Image.Image, caption: str, size: Size, rng: np.random.Generator
    ) -> tuple[Image.Image, str]:
        """The shorter side as given, or the smallest picture that covers the batch's size."""
        height, width = size
        if self.config.side is not None:
            factor = self.config.side / min(picture.size)
        else:
            factor = max(width / picture.width, height / picture.height)
        sides = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        return picture.resize(sides, _METHODS[self.config.method]), caption


class Flip(Transform):
    """Mirrors left and right."""

    def __init__(self, config: FlipConfig) -> None:
        self.config = config

    def apply(
        self, picture: Image.Image, caption: str, size: Size, rng: np.random.Generator
    ) -> tuple[Image.Image, str]:
        """One draw; a caption that says left or right keeps its picture as it is, or is turned with it."""
        flips = rng.random() < self.config.share
        return self._flipped(picture, caption) if flips else (picture, caption)

    def outcomes(
        self, picture: Image.Image, caption: str, size: Size
    ) -> Iterator[tuple[Image.Image, str]] | None:
        """Both."""
        return iter([(picture, caption), self._flipped(picture, caption)])

    def _flipped(self, picture: Image.Image, caption: str) -> tuple[Image.Image, str]:
        if self.config.words == "keep" and _SIDE.search(caption):
            return picture, caption
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), _SIDE.sub(_other_side, caption)


class ColourJitter(Transform):
    """Brightness, contrast, saturation and hue, each by a factor or a turn that is drawn."""

    def __init__(self, config: ColourJitterConfig) -> None:
        self.config = config

    def apply(
        self, picture: Image.Image, caption: str, size: Size, rng: np.random.Generator
    ) -> tuple[Image.Image, str]:
        """Four draws."""
        config = self.config
        most = np.array([config.brightness, config.contrast, config.saturation, config.hue])
        *factors, turn = rng.uniform(-most, most)
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for enhancer, factor in zip(enhancers, factors, strict=True):
            if factor:
                picture = enhancer(picture).enhance(max(0.0, 1 + factor))
        if turn:
            hue, saturation, value = picture.convert("HSV").split()
            turned = hue.point([(level + round(turn * 256)) % 256 for level in range(256)])
            picture = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
        return picture, caption


def fitted(picture: Image.Image, size: Size) -> Image.Image:
    """The largest part in the middle of a picture with the proportions of a size, resized to it."""
    height, width = size
    if picture.size == (width, height):
        return picture
    across, down = largest(picture.size, size)
    left, top = (picture.width - across) // 2, (picture.height - down) // 2
    part = picture.crop((left, top, left + across, top + down))
    return part.resize((width, height), Image.Resampling.BICUBIC)


def largest(sides: tuple[int, int], size: Size) -> tuple[int, int]:
    """(width, height) of the largest part of (width, height) with the proportions of a size."""
    (width, height), (down, across) = sides, size
    if width * down > height * across:
        return max(1, round(height * across / down)), height
    return width, max(1, round(width * down / across))


def _other_side(match: re.Match[str]) -> str:
    word = match[0]
    other = "right" if word.lower() == "left" else "left"
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
