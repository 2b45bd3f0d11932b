"""PNDM: multistep methods of the fourth order, whose steps stay among noisy images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, NoiseSchedule, PartError, Predict, State
from glidepath.plugins.samplers.clipping import ClippingSampler
from glidepath.plugins.samplers.configs import PndmConfig
from glidepath.plugins.samplers.solver import denoiser_on, has_signal, weighted_sum

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""The weights of the last epsilons, newest first: the last row is equation 12 of Liu et al. 2022."""

RUNGE_KUTTA = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
"""The weights of the four epsilons of a warm-up step (Liu et al. 2022, equation 13)."""

WARM_UP_STEPS = 3


class PndmSampler(ClippingSampler):
    """DDIM's step along a combination of the last four epsilons (Liu et al. 2022, algorithm 2).

    The first steps have no such past. `runge-kutta` takes three pseudo Runge-Kutta steps of four predictions
    each, over timesteps half way between, which the grid then holds too; `heun` corrects the first step with
    the epsilon at its end, which is one prediction more (PLMS, as Stable Diffusion's program has it). The
    weights are those of steps that are even in time.
    """

    def __init__(self, config: PndmConfig) -> None:
        super().__init__(config)
        self.warm_up = config.warm_up
        self.end = config.end

    def levels(self, schedule: NoiseSchedule, strength: float = 1.0) -> NoiseLevels:
        """The grid of the steps; where Runge-Kutta warms up, with the middles of the first three."""
        t = schedule.times(self.steps)
        t = t[-max(1, round(strength * len(t))) :]
        if self.warm_up == "runge-kutta":
            first = t[: WARM_UP_STEPS + 1]
            pairs = first[:-1] + first[1:]
            middles = pairs / 2 if schedule.continuous else (pairs + 1) // 2
            t = torch.tensor(sorted({*t.tolist(), *middles.tolist()}, reverse=True), dtype=t.dtype)
        levels = schedule.levels_at(t) if schedule.continuous else schedule.levels(t.tolist())
        if self.end == "clean":
            return levels
        return levels.with_end(*schedule.alpha_sigma(torch.zeros(1, dtype=t.dtype)))

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`; a state for each of its points, the middles of the first steps too.

        Raises:
            PartError: there is no signal at the first point (sigma / alpha above 1,000), where epsilon alone
                says nothing of x_0.
        """
        if not bool(has_signal(levels)[0]):
            raise PartError(
                "sampler pndm cannot begin at noise alone, as this schedule does at its last timestep; "
                "steps such as leading50 begin before it, and dpmpp-2m or ddim can begin there"
            )
        count, ddim = len(levels), _Ddim(levels, predict, x.device, self.clip)
        past: list[Tensor] = []
        warmed = 2 * min(WARM_UP_STEPS, (count - 1) // 2) if self.warm_up == "runge-kutta" else 0
        for start in range(0, warmed, 2):
            middle, end = start + 1, start + 2
            e_1, _ = ddim.epsilon(x, start)
            e_2, x_0 = ddim.epsilon(ddim.step(x, e_1, start, middle), middle)
            half_way = ddim.step(x, e_2, start, middle)
            noise.skip(start, half_way)
            yield State(middle, count, half_way, x_0)
            e_3, _ = ddim.epsilon(half_way, middle)
            e_4, x_0 = ddim.epsilon(ddim.step(x, e_3, start, end), end)
            x = ddim.step(x, _combined(RUNGE_KUTTA, (e_1, e_2, e_3, e_4)), start, end)
            past = [e_1, *past]
            noise.skip(middle, x)
            yield State(end, count, x, x_0)
        for index in range(warmed, count):
            epsilon, x_0 = ddim.epsilon(x, index)
            past = [epsilon, *past][: len(ADAMS_BASHFORTH)]
            combined = _combined(ADAMS_BASHFORTH[len(past) - 1], past)
            if index == 0 and count > 1:
                following, x_0 = ddim.epsilon(ddim.step(x, epsilon, 0, 1), 1)
                combined = (epsilon + following) / 2
            x = ddim.step(x, combined, index, index + 1)
            noise.skip(index, x)
            yield State(index + 1, count, x, x_0)


class _Ddim:
    """A denoiser seen as epsilon along a grid, and DDIM's step along an epsilon, over one or two points."""

    def __init__(
        self, levels: NoiseLevels, predict: Predict, device: torch.device, clip: float | None
    ) -> None:
        self._denoise = denoiser_on(levels, predict, device, clip)
        sigma, alpha = levels.sigma[:-1], levels.alpha[:-1]
        self._of_epsilon = levels.to_device(device, 1 / sigma, -alpha / sigma)
        self._of_step = {}
        for span in (1, 2):
            of_x = levels.alpha[span:] / levels.alpha[:-span]
            of_epsilon = levels.sigma[span:] - of_x * levels.sigma[:-span]
            self._of_step[span] = levels.to_device(device, of_x, of_epsilon) if len(of_x) else []

    def epsilon(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """epsilon and x_0, predicted from x at a point."""
        x_0 = self._denoise(x, index)
        return weighted_sum(self._of_epsilon[index], (x, x_0)), x_0

    def step(self, x: Tensor, epsilon: Tensor, start: int, end: int) -> Tensor:
        """From a point to a later one along epsilon (Liu et al. 2022, equation 11)."""
        return weighted_sum(self._of_step[end - start][start], (x, epsilon))


def _combined(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    total = weights[0] * tensors[0]
    for weight, tensor in zip(weights[1:], tensors[1:], strict=True):
        total = torch.add(total, tensor, alpha=weight)
    return total
