"""Euler's method along the flow (Liu et al. 2023, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, Sampler, State
from glidepath_rectified_flow.config import EulerConfig


class EulerSampler(Sampler):
    """z += (u_s - u_t) v, where v = epsilon - x_0, z = x / (alpha + sigma), u = sigma / (alpha + sigma).

    On a flow alpha + sigma is 1, and z is x. Any other schedule is a flow in z and u, so that this sampler
    walks those too. v follows from whatever the denoiser predicts, and whatever guidance made of it.
    """

    def __init__(self, config: EulerConfig) -> None:
        self.steps = config.steps
        self.clip = config.clip

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Walk along `levels`; no noise is drawn."""
        scale = levels.alpha + levels.sigma
        u = levels.sigma / scale
        rows = levels.to_device(x.device, scale[:-1], scale[1:], u.diff())
        for step in levels.steps(x.device):
            here, there, du = rows[step.index]
            prediction = predict(x, step)
            if self.clip:
                prediction = prediction.with_sample(prediction.sample.clamp(-1, 1))
            if prediction.gradient is not None:  # Dhariwal & Nichol 2021, algorithm 2
                prediction = prediction.with_epsilon(prediction.epsilon - step.sigma * prediction.gradient)
            velocity = prediction.epsilon - prediction.sample
            x = there * (x / here + du * velocity)
            noise.skip(step.index, x)
            yield State(step.index + 1, len(levels), x, prediction.sample)
