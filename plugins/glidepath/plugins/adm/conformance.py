"""How the conformance kit uses a classifier: `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.plugins.adm.classifier import Classifier
from glidepath.testing import Trial, random_rows, require


class ClassifierTrial(Trial):
    """Classifies a noisy image for each row, each at another timestep."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "classifier.num_classes": lambda built: built.num_classes
    }

    def use(self, built: Classifier, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The logits."""
        t = torch.tensor([100 * row for row in rows])
        return [built(random_rows(rows, self.shape).to(device), t.to(device))]

    @property
    def shape(self) -> tuple[int, ...]:
        """[C, H, W] of the images that it reads."""
        config = self.part.planned.config
        size = getattr(config, "image_size", 64)
        return (getattr(config, "in_channels", 3), size, size)

    def require_shapes(self, built: Classifier) -> None:
        """[B, K]."""
        (logits,) = self.use(built, (0, 1))
        wanted = (2, built.num_classes)
        require(logits.shape == wanted, f"logits are {list(logits.shape)}, and must be {list(wanted)}")

    def require_dtypes(self, built: Classifier) -> None:
        """Floating point, and finite."""
        (logits,) = self.use(built, (0,))
        require(
            logits.is_floating_point() and bool(logits.isfinite().all()),
            f"logits are {logits.dtype}, and must be finite and floating point",
        )
