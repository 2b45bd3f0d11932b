"""How generators and objectives are tried; `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.core import Condition, Conditioning, PerSampleNoise, TextEmbedding
from glidepath.testing import NotApplicable, Trial, random_rows, require
from glidepath_families.generator import ImageGenerator

_POSITIONS = 4


class GeneratorTrial(Trial):
    """Makes x_0 of a text and a seed for each row."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "image.channels": lambda built: built.image_shape[0],
        "image.size": lambda built: built.image_shape[-1],
    }

    def use(self, built: ImageGenerator, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The x of every state."""
        noise = PerSampleNoise([(row, 0) for row in rows])
        x = noise.initial((len(rows), *built.image_shape), device)
        states = list(built.states(self.conditioning(built, rows, device), x, noise))
        require(len(states) == built.steps, f"{len(states)} states, and `steps` says {built.steps}")
        return [state.x for state in states]

    def conditioning(self, built: ImageGenerator, rows: Sequence[int], device: str = "cpu") -> Conditioning:
        """A text, where one is read, and what stands for its absence."""
        if "text" not in built.reads:
            return Conditioning(len(rows), {})
        width = int(self.part.needed("text.width"))
        return Conditioning(
            len(rows), {"text": Condition(_text(rows, width), _text([99], width))}, ("",) * len(rows)
        ).to(device)

    def require_shapes(self, built: ImageGenerator) -> None:
        """x_0 has the announced shape."""
        for x in self.use(built, (0, 1)):
            require(tuple(x.shape) == (2, *built.image_shape), f"x has shape {tuple(x.shape)}")

    def require_dtypes(self, built: ImageGenerator) -> None:
        """float32."""
        for x in self.use(built, (0, 1)):
            require(x.dtype == torch.float32, f"x is {x.dtype}")


class ObjectiveTrial(Trial):
    """An objective is of a family's generator: its own tests try it with one."""

    def use(self, built: Any, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """Not here."""
        raise NotApplicable("an objective is tried with a generator of its family")

    def require_shapes(self, built: Any) -> None:
        """It says its name."""
        require(bool(built.name), "name is empty, and must name its stage")

    def require_dtypes(self, built: Any) -> None:
        """There is nothing to see."""


def _text(rows: Sequence[int], width: int) -> TextEmbedding:
    mask = torch.tensor([[position <= row % _POSITIONS for position in range(_POSITIONS)] for row in rows])
    return TextEmbedding(None, random_rows(rows, (_POSITIONS, width), 2), mask)
