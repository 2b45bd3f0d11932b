"""DPM-Solver++: several of the last predictions of x_0 are one polynomial, whose integral is exact."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, State
from glidepath.plugins.samplers.grid import GridSampler
from glidepath.plugins.samplers.multistep_configs import DpmppConfig, DpmppSdeConfig
from glidepath.plugins.samplers.solver import denoiser_on, log_snr_halves, weighted_sum

FEW_STEPS = 15
"""Below so many steps the last ones are of a lower order (Lu et al. 2022, section 4, "++")."""


class DpmppSampler(GridSampler):
    """x_s = sigma_s / sigma_t x_t + alpha_s (1 - e^-h) D, with h the growth of lambda = log(alpha / sigma).

    D is a combination of the last `order` predictions of x_0 (Lu et al. 2022, "DPM-Solver++", equation 8 and
    algorithm 2). One prediction for each step. With eta above 0 it solves the stochastic equation instead:
    e^-h becomes e^-(1 + eta) h, and noise of deviation sigma_s sqrt(1 - e^(-2 eta h)) is added; eta 1 is the
    paper's SDE-DPM-Solver++.
    """

    order = 2
    eta = 0.0

    def __init__(self, config: DpmppConfig | DpmppSdeConfig) -> None:
        super().__init__(config)
        self.solver = config.solver
        self.lower_order_final = config.lower_order_final

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`; noise is drawn only where eta is above 0 and the step does not end clean."""
        weights, deviation = self.coefficients(levels)
        rows = levels.to_device(x.device, deviation, *weights.unbind(1))
        adds_noise = (deviation > 0).tolist()
        denoise = denoiser_on(levels, predict, x.device, self.clip)
        x_0s: list[Tensor] = []  # newest first
        for index, (d, of_x, *of_x_0s) in enumerate(rows):
            x_0s = [denoise(x, index), *x_0s[: self.order - 1]]
            x = weighted_sum((of_x, *of_x_0s), (x, *x_0s))
            if adds_noise[index]:
                x = torch.addcmul(x, d, noise.step(index, x))
            else:
                noise.skip(index, x)
            yield State(index + 1, len(levels), x, x_0s[0])

    def coefficients(self, levels: NoiseLevels) -> tuple[Tensor, Tensor]:
        """[N, 1 + order] the weights of x_t and of each x_0, newest first; [N] the deviation of the noise."""
        alpha, sigma = levels.alpha.tolist(), levels.sigma.tolist()
        half_log_snr = log_snr_halves(levels)
        rows, deviations = [], []
        for index in range(len(levels)):
            past = half_log_snr[max(0, index - self.order + 1) : index + 1][::-1]
            h = half_log_snr[index + 1] - past[0]
            order = self._order(index, levels, past)
            kept = math.exp(-self.eta * h) if self.eta else 1.0
            of_x = sigma[index + 1] / sigma[index] * kept
            of_samples = _of_samples(h, past[:order], (1 + self.eta) * h, self.solver) if h else [0.0]
            row = [of_x, *(alpha[index + 1] * weight for weight in of_samples)]
            rows.append(row + [0.0] * (1 + self.order - len(row)))
            deviations.append(sigma[index + 1] * math.sqrt(1 - kept**2))
        return torch.tensor(rows, dtype=torch.float64), torch.tensor(deviations, dtype=torch.float64)

    def _order(self, index: int, levels: NoiseLevels, past: list[float]) -> int:
        """How many predictions the step takes in: those that there are, fewer at the end of a walk."""
        if index + 1 == len(levels) and levels.sigma[-1] == 0:
            return 1  # the polynomial cannot reach lambda = infinity
        steps = levels.before + len(levels) + levels.after
        left = len(levels) + levels.after - index
        final = left if self.lower_order_final and steps < FEW_STEPS else self.order
        # a point without signal stands at lambda = -infinity, and no polynomial goes through it
        return max(1, min(self.order, final, sum(map(math.isfinite, past))))


class Dpmpp3Sampler(DpmppSampler):
    """Three predictions for each step, as the program published with DPM-Solver++ has it ("multistep, 3").

    Its second divided difference stands where half the second derivative times the square of the step would,
    without the 2 of the paper's expansion: better than the second order in use, not of the third by proof.
    """

    order = 3


class DpmppSdeSampler(DpmppSampler):
    """The second order of SDE-DPM-Solver++ (Lu et al. 2022, "DPM-Solver++", equations 18 and 19)."""

    def __init__(self, config: DpmppSdeConfig) -> None:
        super().__init__(config)
        self.eta = config.eta


def _of_samples(h: float, past: list[float], decay: float, solver: str) -> list[float]:
    """What multiplies each x_0, newest first, over alpha_s; `past` are their lambdas.

    The integral of e^(lambda - lambda_s) times a polynomial of x_0 in lambda, whose derivatives are divided
    differences; for `midpoint`, the first one weighs half of what x_0 does.

    decay: (1 + eta) h.
    """
    whole = -math.expm1(-decay)
    if len(past) == 1:
        return [whole]
    gap = (past[0] - past[1]) / h
    slope = 1 - whole / decay
    if len(past) == 2:
        slope = whole / 2 if solver == "midpoint" else slope
        return [whole + slope / gap, -slope / gap]
    earlier = (past[1] - past[2]) / h
    bend = (0.5 - slope / decay) / (gap + earlier)
    share = slope * gap / (gap + earlier)
    newer, older = slope + share + bend, share + bend
    return [whole + newer / gap, -newer / gap - older / earlier, older / earlier]
