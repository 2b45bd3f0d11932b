"""Guidance by the difference that the prompt makes."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.guidance import Guidance
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction
from glidepath.plugins.diffusion.plugin import ClassifierFreeConfig


class ClassifierFreeGuidance(Guidance):
    """epsilon = epsilon_uncond + scale (epsilon_cond - epsilon_uncond) (Nichol et al. 2021, section 2.3).

    Combined in the form in which the denoiser predicts: at one x_t, epsilon, x_0 and velocity are affine in
    each other and the two weights sum to 1, so that each form gives the same epsilon, and none loses digits
    to a conversion. Both are predicted in one batch of 2B, conditional half first. A learned variance, and a
    gradient that an inner guidance added, are those of the conditional half. At scale 1 only that half is
    predicted.
    """

    def __init__(self, config: ClassifierFreeConfig) -> None:
        self.scale = config.scale

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""
        if self.scale == 1:
            return bind

        def bind_both(conditioning: Conditioning) -> Predict:
            predict = bind(Conditioning.cat([conditioning, conditioning.null()]))

            def guided(x: Tensor, step: Step) -> Prediction:
                both = predict(torch.cat([x, x]), step)
                with_prompt, without = both.value.chunk(2)
                return Prediction(
                    torch.add(without, with_prompt - without, alpha=self.scale),
                    both.kind,
                    x,
                    step,
                    variance_fraction=_first_half(both.variance_fraction),
                    gradient=_first_half(both.gradient),
                )

            return guided

        return bind_both


def _first_half(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.chunk(2)[0]
