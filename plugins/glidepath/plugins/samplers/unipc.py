"""UniPC: a predictor of any order, and a corrector that costs no prediction of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate

import attrs
import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, State
from glidepath.plugins.samplers.grid import GridSampler
from glidepath.plugins.samplers.multistep_configs import UniPcConfig
from glidepath.plugins.samplers.solver import denoiser_on, log_snr_halves, weighted_sum


class UniPcSampler(GridSampler):
    """Predict x_s, predict x_0 there, and correct x_s by it (Zhao et al. 2023, algorithms 5 and 6).

    In the form that predicts x_0 (their appendix A), or in that of epsilon (algorithms 1 and 2), each without
    the corrector too. The prediction that corrects a step is the one that the next step begins with, so that
    there is one for each step. A state holds x_s as it was predicted.
    """

    def __init__(self, config: UniPcConfig) -> None:
        super().__init__(config)
        self.order = config.order
        self.solver = config.solver
        self.predict_x0 = config.predict_x0
        self.corrector = config.corrector

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`."""
        rows = [self._row(index, levels, log_snr_halves(levels)) for index in range(len(levels))]
        forward = _uploaded(levels, x.device, [row.predictor for row in rows])
        corrected = _uploaded(levels, x.device, [row.corrector for row in rows])
        denoise = denoiser_on(levels, predict, x.device, self.clip)
        to_epsilon = levels.to_device(x.device, 1 / levels.sigma[:-1], -levels.alpha[:-1] / levels.sigma[:-1])
        start, values = x, list[Tensor]()  # x_0s or epsilons, newest first
        for index, row in enumerate(rows):
            x_0 = denoise(x, index)
            newest = x_0 if self.predict_x0 else weighted_sum(to_epsilon[index], (x, x_0))
            if index and self.corrector:
                # the corrector of the step that led here: its start, its predictions, and the new one
                start = weighted_sum(corrected[index - 1], (start, newest, *values))
            elif index:
                start = x
            values = [newest, *values][: self.order]
            x = weighted_sum(forward[index], (start, *values))
            noise.skip(index, x)
            yield State(index + 1, len(levels), x, x_0)
            values = values[: row.order]

    def _row(self, index: int, levels: NoiseLevels, half_log_snr: list[float]) -> _Row:
        """The weights of a step, of the order that its past and what is left of the walk allow."""
        alpha, sigma = levels.alpha[index : index + 2].tolist(), levels.sigma[index : index + 2].tolist()
        # of_x x_t + scale * whole * (the newest prediction) is a step of the first order
        of_x, scale = (sigma[1] / sigma[0], alpha[1]) if self.predict_x0 else (alpha[1] / alpha[0], sigma[1])
        past = half_log_snr[max(0, index - self.order + 1) : index + 1][::-1]
        h = half_log_snr[index + 1] - past[0]
        if not h:
            return _Row([1.0, 0.0], [1.0, 0.0, 0.0], 1)
        # a point without signal stands at lambda = -infinity, and no polynomial goes through it
        order = max(1, min(self.order, len(levels) + levels.after - index, sum(map(math.isfinite, past))))
        gaps = [(other - past[0]) / h for other in past[1:order]]
        if not math.isfinite(h):
            newest = alpha[1] if self.predict_x0 else sigma[1] - of_x * sigma[0]
            return _Row([of_x, newest], [of_x, 0.0, newest], 1)
        signed = -h if self.predict_x0 else h
        whole = -math.expm1(signed)
        factor = -signed if self.solver == "bh1" else whole
        ahead = _shares(gaps, signed, factor) if order != 2 else [0.5]
        back = _shares([*gaps, 1.0], signed, factor) if order != 1 else [0.5]
        predictor = _differences(ahead, gaps, factor)
        newest, corrector = back[-1] * factor, _differences(back, gaps, factor)
        corrector[0] += whole - newest
        predictor[0] += whole
        return _Row(
            [of_x, *(scale * weight for weight in predictor)],
            [of_x, scale * newest, *(scale * weight for weight in corrector)],
            order,
        )


@attrs.frozen
class _Row:
    """The weights of a step.

    predictor: of x_t, then of each x_0 (or epsilon), newest first.
    corrector: of x_t, of the x_0 predicted from x_s, then of each x_0 before it, newest first.
    """

    predictor: list[float]
    corrector: list[float]
    order: int


def _differences(shares: list[float], gaps: list[float], factor: float) -> list[float]:
    """The weights of x_0 in factor * sum of share * (x_0 at the gap - newest x_0) / gap, newest first."""
    weights = [factor * share / gap for share, gap in zip(shares, gaps, strict=False)]
    return [-sum(weights), *weights]


def _shares(gaps: list[float], h: float, factor: float) -> list[float]:
    """Solve R a = b (Zhao et al. 2023, theorem 3.1) for as many unknowns as there are gaps.

    Row k of R holds the gaps to the power k - 1; b_k is k! phi_(k+1)(h) h / B(h), where `factor` is -B(h).

    h: signed: the growth of lambda for epsilon, less than 0 for x_0.
    """
    if not gaps:
        return []
    orders = range(1, len(gaps) + 1)
    # phi_1 h, then phi_k = (phi_(k-1) - 1 / (k - 1)!) / h
    steps = accumulate(orders, lambda phi, order: phi / h - 1 / math.factorial(order), initial=math.expm1(h))
    values = list(steps)[1:]
    b = [value * math.factorial(order) / -factor for order, value in zip(orders, values, strict=True)]
    matrix = [[gap ** (order - 1) for gap in gaps] for order in orders]
    solved: list[float] = torch.linalg.solve(
        torch.tensor(matrix, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    ).tolist()
    return solved


def _uploaded(levels: NoiseLevels, device: torch.device, rows: list[list[float]]) -> list[tuple[Tensor, ...]]:
    """Rows of unequal length as scalars on the device."""
    width = max(map(len, rows))
    table = torch.tensor([row + [0.0] * (width - len(row)) for row in rows], dtype=torch.float64)
    uploaded = levels.to_device(device, *table.unbind(1))
    return [values[: len(row)] for values, row in zip(uploaded, rows, strict=True)]
