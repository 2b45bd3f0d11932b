"""Guidance by a worse denoiser, the guide."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from glidepath.core import (
    Bind,
    Conditioning,
    Denoiser,
    Extrapolate,
    ExtrapolatedGuidance,
    PartError,
    Prediction,
    Step,
)
from glidepath.plugins.guidance.configs import AutoguidanceConfig


class Autoguidance(ExtrapolatedGuidance):
    """D = D_guide + scale (D_main - D_guide), under the same prompt (Karras et al. 2024).

    D_main is the pipeline's denoiser; they are combined as it predicts. The guide may predict another form,
    and need not learn its variance. It is given what it reads of the same conditioning.

    Args:
        denoiser: the guide, for x of the same shape and the same schedule.
    """

    def __init__(self, config: AutoguidanceConfig, *, denoiser: Denoiser) -> None:
        super().__init__(config.scale)
        self.config = config
        self.denoiser = denoiser
        self.reads, self.num_classes = denoiser.reads, denoiser.num_classes

    def networks(self) -> Mapping[str, nn.Module]:
        """The guide."""
        return {"denoiser": self.denoiser}

    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        """Bind both denoisers to a batch.

        Raises:
            PartError: the noise levels are not known (`for_levels`).
        """
        if self.levels is None:
            raise PartError("autoguidance prepares a denoiser, and needs the noise levels for it")
        for_guide = conditioning.only(self.denoiser.reads)
        predict_main, predict_guide = bind(conditioning), self.denoiser.prepare(for_guide, self.levels)

        def guided(x: Tensor, step: Step, scale: float) -> Prediction:
            main = predict_main(x, step)
            guide = predict_guide(x, step).as_kind(main.kind)
            # guide + scale * (main - guide), rounded once
            return main.guided(torch.add(guide, main.value - guide, alpha=scale))

        return guided
