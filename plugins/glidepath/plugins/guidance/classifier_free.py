"""Guidance by the difference that the prompt makes."""

from __future__ import annotations

from glidepath.core import Bind, Conditioning, Contrast, Pair, with_and_without_prompt
from glidepath.plugins.guidance.configs import ClassifierFreeConfig


class ClassifierFreeGuidance(Contrast):
    """epsilon = epsilon_uncond + scale (epsilon_cond - epsilon_uncond) (Nichol et al. 2021, section 2.3).

    Both are predicted in one batch of 2B, conditional half first, and combined in the form in which the
    denoiser predicts. A learned variance, and a gradient that an inner guidance added, are those of the
    conditional half. At scale 1 only that half is predicted.
    """

    def __init__(self, config: ClassifierFreeConfig) -> None:
        super().__init__(config.scale)
        self.config = config

    def pair(self, bind: Bind, conditioning: Conditioning) -> Pair:
        """The predictions with and without the prompt."""
        return with_and_without_prompt(bind, conditioning)
