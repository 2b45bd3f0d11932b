"""Classifier-free guidance."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import (
    Bind,
    Conditioning,
    Extrapolate,
    ExtrapolatedGuidance,
    Prediction,
    Step,
    cond_and_uncond,
)
from glidepath.plugins.guidance.configs import ClassifierFreeConfig


class ClassifierFreeGuidance(ExtrapolatedGuidance):
    """epsilon = epsilon_uncond + scale (epsilon_cond - epsilon_uncond) (Nichol et al. 2021, section 2.3).

    Both are predicted in one batch of 2B, conditional half first. They are combined as the denoiser predicts
    them: epsilon, x_0 and velocity are affine in each other at one x_t and the weights sum to 1, so that each
    gives the same epsilon. At scale 1 only the conditional half is predicted.
    """

    def __init__(self, config: ClassifierFreeConfig) -> None:
        super().__init__(config.scale)
        self.config = config

    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        """Bind the prompt and its absence to a batch."""
        predict_pair = cond_and_uncond(bind, conditioning)

        def guided(x: Tensor, step: Step, scale: float) -> Prediction:
            main, null = predict_pair(x, step)
            cond, uncond = main.value, null.value
            # uncond + scale * (cond - uncond), rounded once
            value = torch.add(uncond, cond - uncond, alpha=scale)
            if self.config.channels is not None:
                value = torch.cat([value[:, : self.config.channels], cond[:, self.config.channels :]], dim=1)
            return main.guided(value)

        return guided
