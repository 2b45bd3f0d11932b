"""How a stage of a cascade takes over what the stage before it made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from glidepath.core.codec import Codec


class Handover(ABC):
    """Makes the x_0 from which a stage begins: it refines, as SDEdit does (Meng et al. 2022).

    An upsampler begins from noise, and reads it as its "low_res", in place of images in 8 bits.

    strength: the share of its steps that a stage that refines takes, above 0 to 1: those nearest the image.
        The x_0 is noised to the level of the first of them.
    level: in place of it, a sigma / alpha: the stage before stops at the first of this stage's levels that is
        not above it, and this stage goes on from its x, noise included. The schedules of both are one.
    """

    strength: float
    level: float | None = None

    @abstractmethod
    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        """The last x of the stage before, [B, C, *spatial], as the x_0 of this one, on the same device.

        With a `level`, the x of this stage at its first level.
        before, codec: of the stage before, and of this one.
        size: (H, W) in pixels of this stage's images.
        noise: of this stage's x_0, from which `Codec.encode` draws.
        """
