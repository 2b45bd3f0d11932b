"""The interface of the networks that say which class a noisy image is of."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Classifier(nn.Module, ABC):
    """Says of x_t which class x_0 is of (Dhariwal & Nichol 2021, section 4).

    Subclasses set, in their constructor:
        num_classes: K, how many classes there are.
    """

    num_classes: int

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits [B, K] of x [B, C, *spatial] float32 at timesteps t [B], as the denoiser receives them."""
