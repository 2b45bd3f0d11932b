"""Power-function averages, and those of any length made of them afterwards.

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", arXiv:2312.02696,
section 3 and appendix C. The average at time t weighs the weights of time s by s^gamma. Its length is the
standard deviation of that profile, relative to t: 0.1 reaches back over about a tenth of the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from glidepath.plugins.train.scale.shards import placed

LONGEST = 0.28
"""A profile that weighs no time less than another has the length 1 / sqrt(12)."""


def gamma_of(length: float) -> float:
    """The exponent of a length: the root of (gamma + 2)^2 (gamma + 3) length^2 = gamma + 1."""
    inverse = length**-2
    companion = torch.tensor([[-7.0, inverse - 16, inverse - 12], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    return float(torch.linalg.eigvals(companion).real.max())


def decay_of(gamma: float, done: float, steps: float = 1) -> float:
    """beta, by which an average decays when the last `steps` of `done` are averaged in.

    (1 - steps / done)^(gamma + 1); 0 at first: the average begins as the weights.
    """
    return float((1 - steps / done) ** (gamma + 1))


def products(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
    """[N, M] the inner products of N profiles and M others, each at its time with its gamma."""
    t_a, gamma_a = one["t"][:, None], one["gamma"][:, None]
    t_b, gamma_b = other["t"][None], other["gamma"][None]
    ratio: Tensor = (t_a / t_b) ** torch.where(t_a < t_b, gamma_b, -gamma_a)
    numerator = (gamma_a + 1) * (gamma_b + 1) * ratio
    return numerator / ((gamma_a + gamma_b + 1) * torch.maximum(t_a, t_b))


def shares_of(kept: Sequence[tuple[float, float]], wanted: Sequence[tuple[float, float]]) -> Tensor:
    """[N, M] float64: by how much each of N averages that were kept makes each of M wanted ones.

    kept, wanted: the step and the length of each. The shares minimise the squared distance of the profiles
    (appendix C), and those of each wanted average sum to 1.
    """
    have, want = profiles(kept), profiles(wanted)
    shares = torch.linalg.solve(products(have, have), products(have, want))
    normed: Tensor = shares / shares.sum(0)
    return normed


def profiles(averages: Sequence[tuple[float, float]]) -> dict[str, Tensor]:
    """t and gamma of averages, each given by its step and its length; float64."""
    steps, lengths = zip(*averages, strict=True)
    gammas = [gamma_of(length) for length in lengths]
    return {
        "t": torch.tensor(steps, dtype=torch.float64),
        "gamma": torch.tensor(gammas, dtype=torch.float64),
    }


class PowerAverages:
    """Averages of some lengths of parameters that learn."""

    def __init__(self, lengths: Sequence[float], learning: Mapping[str, Tensor]) -> None:
        self.lengths, self._learning = tuple(lengths), dict(learning)
        self._gammas = [gamma_of(length) for length in lengths]
        self.averages = [{name: it.detach().clone() for name, it in learning.items()} for _ in lengths]

    def update(self, done: int) -> None:
        """Average the weights in that they have after `done` steps."""
        with torch.no_grad():
            for gamma, average in zip(self._gammas, self.averages, strict=True):
                share = 1 - decay_of(gamma, done)
                torch._foreach_lerp_(list(average.values()), list(self._learning.values()), share)

    def tensors(self) -> dict[str, Tensor]:
        """All of them, as checkpoints name them: by their number and the parameter."""
        return {
            f"average.{index}.{name}": value
            for index, average in enumerate(self.averages)
            for name, value in average.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take them over, without the `average.` of their names.

        Raises:
            KeyError: one is not there.
        """
        for index, average in enumerate(self.averages):
            for name, value in average.items():
                value.copy_(placed(tensors[f"{index}.{name}"], value))
