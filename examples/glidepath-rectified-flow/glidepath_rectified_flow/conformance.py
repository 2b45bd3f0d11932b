"""What every warp has to keep, whoever supplies it; `glidepath test-plugin` runs it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glidepath.testing import Trial, require
from glidepath_rectified_flow.warps import Warp

U = torch.linspace(0, 1, 101, dtype=torch.float64)


class WarpTrial(Trial):
    """How a warp is used: with it, all that glidepath checks of any use of any part is checked of warps."""

    def use(self, built: Warp, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """sigma for a u of each row, and back."""
        sigma = built(U[list(rows)].to(device))
        return [sigma, built.inverse(sigma)]

    def require_shapes(self, built: Warp) -> None:
        """Any shape."""
        for shape in ((), (1,), (2, 3)):
            found = tuple(built(torch.zeros(shape, dtype=torch.float64)).shape)
            require(found == shape, f"sigma for u of shape {shape} has shape {found}")

    def require_dtypes(self, built: Warp) -> None:
        """float64: neighbours differ by little."""
        found = built(U).dtype
        require(found == torch.float64, f"sigma is {found}, and must be float64")


def keeps_the_ends(warp: Warp) -> None:
    """The image stays the image, and noise stays noise."""
    ends = warp(U[[0, -1]]).tolist()
    require(ends == [0, 1], f"0 and 1 are mapped to {ends}")


def rises(warp: Warp) -> None:
    """More of the timesteps is more noise."""
    require(bool((warp(U).diff() > 0).all()), "sigma does not rise everywhere")


def keeps_its_inverse(warp: Warp) -> None:
    """`inverse` undoes it."""
    worst = float((warp.inverse(warp(U)) - U).abs().max())
    require(worst < 1e-12, f"inverse(warp(u)) differs from u by {worst:.1e}")
