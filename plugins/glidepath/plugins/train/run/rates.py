"""How fast the weights, and their moving average, move at each step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import TrainingConfig


def rate_share(config: TrainingConfig, done: int, total: int) -> float:
    """The share of the learning rate after `done` of `total` steps: a linear rise, then by `config.rate`.

    constant: all of it. linear, cosine: to 0 at the end (Loshchilov & Hutter 2017, "SGDR", equation 5).
    inverse-sqrt: 1 / sqrt(max(done / constant_steps, 1)) (Karras et al. 2024, arXiv:2312.02696, equation 67).
    """
    if config.rate == "rise-and-fall":
        return rise_and_fall(done, total, config.warmup_steps, config.decay_share)
    rise = min(1.0, (done + 1) / max(config.warmup_steps, 1))
    if config.rate == "inverse-sqrt":
        return rise / math.sqrt(max(done / config.constant_steps, 1.0))
    if config.rate == "constant":
        return rise
    first = min(config.warmup_steps, total)
    passed = max(done - first, 0) / max(total - first, 1)
    return rise * (1 - passed if config.rate == "linear" else (1 + math.cos(math.pi * passed)) / 2)


def rise_and_fall(done: int, total: int, warmup_steps: int, decay_share: float) -> float:
    """The share of the learning rate after `done` of `total` steps: a linear rise, a constant, a linear fall.

    Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", section
    3.
    """
    rise = min(1.0, (done + 1) / max(warmup_steps, 1))
    fall = min(1.0, (total - done) / max(decay_share * total, 1))
    return rise * fall


def ema_decay(limit: float, done: int) -> float:
    """The decay of the moving average after `done` steps; it grows to `limit`, to forget the start sooner.

    min(limit, (1 + done) / (10 + done)), as TensorFlow's ExponentialMovingAverage has it.
    """
    return min(limit, (1 + done) / (10 + done))
