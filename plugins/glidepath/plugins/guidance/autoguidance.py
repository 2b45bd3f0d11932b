"""Guidance by a worse denoiser."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from torch import Tensor, nn

from glidepath.core import Bind, Conditioning, Contrast, Denoiser, Pair, PartError, Prediction, Step
from glidepath.plugins.guidance.configs import AutoguidanceConfig


class Autoguidance(Contrast):
    """D = D_worse + scale (D - D_worse), under the same prompt (Karras et al. 2024).

    Combined in the form in which the pipeline's denoiser predicts; the other may predict another form, and
    need not learn its variance. It hears what that one hears, without class labels if it knows none.

    Args:
        denoiser: the worse one, for x of the same shape and the same schedule.
    """

    def __init__(self, config: AutoguidanceConfig, *, denoiser: Denoiser) -> None:
        super().__init__(config.scale)
        self.config = config
        self.denoiser = denoiser
        self.num_classes = denoiser.num_classes

    def networks(self) -> Mapping[str, nn.Module]:
        """The worse denoiser."""
        return {"denoiser": self.denoiser}

    def pair(self, bind: Bind, conditioning: Conditioning) -> Pair:
        """The predictions of both denoisers.

        Raises:
            PartError: it was not said for which levels (`along`).
        """
        if self.levels is None:
            raise PartError("autoguidance prepares a denoiser, and needs the noise levels of the walk for it")
        heard = conditioning
        if self.denoiser.num_classes is None:
            heard = attrs.evolve(conditioning, labels=None, null_labels=None)
        wanted, worse = bind(conditioning), self.denoiser.prepare(heard, self.levels)

        def predict(x: Tensor, step: Step) -> tuple[Prediction, Prediction]:
            return wanted(x, step), worse(x, step)

        return predict
