"""Keeping what is known of an image while the rest is made."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.errors import PartError
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import State


def keep_known(bind: Bind, noise: Tensor | None = None) -> Bind:
    """Restore the known pixels in each predicted x_0, before the sampler clips it.

    x_0 = mask image + (1 - mask) x_0: as GLIDE inpaints (Nichol et al. 2021, section 4).

    noise: [B, C, *spatial], that of the first x, with which the known pixels are restored in each x_t too but
        the first: x_t = mask (alpha image + sigma noise) + (1 - mask) x_t (Lugmayr et al. 2022, "RePaint",
        equation 8, whose noise is drawn anew). None: they are not.
    """

    def bound(conditioning: Conditioning) -> Predict:
        image, mask = conditioning.get("image"), conditioning.get("mask")
        if image is None or mask is None:
            raise PartError("to keep known pixels, a conditioning needs both image and mask")
        predict = bind(conditioning)
        unknown: Tensor = 1 - mask
        known = image * mask

        def restored(x: Tensor, step: Step) -> Prediction:
            if noise is not None and step.index > 0:
                x = torch.where(mask > 0, step.alpha * image + step.sigma * noise, x)
            prediction = predict(x, step)
            kept = prediction.with_sample(known + unknown * prediction.sample)
            if (before := prediction.unclipped) is None:
                return kept
            return attrs.evolve(kept, unclipped=before.with_sample(known + unknown * before.sample))

        return restored

    return bound


def put_back(states: Iterator[State], conditioning: Conditioning) -> Iterator[State]:
    """The states, the last with the known pixels of the image, also where the walk leaves noise in it."""
    image, mask = conditioning.get("image"), conditioning.get("mask")
    for state in states:
        if image is None or mask is None or state.index < state.total:
            yield state
        else:
            yield attrs.evolve(state, x=torch.where(mask > 0, image, state.x))
