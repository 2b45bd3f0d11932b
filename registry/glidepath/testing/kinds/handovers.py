"""Handovers: what a stage made, as what the next begins from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.core.codec import IdentityCodec
from glidepath.core.handover import Handover
from glidepath.testing.check import require
from glidepath.testing.trial import Trial, random_rows

_MADE = (16, 16)
_NEXT = (24, 32)


class HandoverTrial(Trial):
    """Hands over images in pixels, to a stage of a larger size; or of the same, in the midst of a walk."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {"handover.level": lambda built: built.level}

    def use(self, built: Handover, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """What the next stage begins from."""
        size, codec = _size(built), IdentityCodec().to(device)
        x, noise = (
            random_rows(rows, (3, *sides), stream).to(device)
            for stream, sides in enumerate((_MADE, size), start=1)
        )
        return [built.x_0(x / 2, codec, codec, size, noise)]

    def require_shapes(self, built: Handover) -> None:
        """[B, C, *spatial] of the next stage, for a share of its steps, or from a noise level on."""
        share = f"its strength is {built.strength}, and a share of steps is above 0 and at most 1"
        require(0 < built.strength <= 1, share)
        is_level = built.level is None or built.level > 0
        require(is_level, f"its level is {built.level}, and a noise level is above 0")
        (x_0,) = self.use(built, (0, 1))
        wanted = [2, 3, *_size(built)]
        require(list(x_0.shape) == wanted, f"it hands over {list(x_0.shape)}, and the stage takes {wanted}")

    def require_dtypes(self, built: Handover) -> None:
        """float32, which x_t is whatever the networks run in."""
        (x_0,) = self.use(built, (0,))
        require(x_0.dtype == torch.float32, f"it hands over {x_0.dtype}, and must be float32")


def _size(built: Handover) -> tuple[int, int]:
    """(H, W) of the next stage; where noise is handed over, which cannot be resized, that of the first."""
    return _NEXT if built.level is None else _MADE
