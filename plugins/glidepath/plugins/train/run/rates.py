"""How fast the weights, and their moving average, move at each step."""

from __future__ import annotations


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
