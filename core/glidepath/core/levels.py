"""The grid of noise levels that a sampler visits, noisy to clean."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import torch
from torch import Tensor

from glidepath.core.errors import PartError


@attrs.frozen(eq=False)
class Step:
    """One row of the grid: a Python index, and scalars that live on the device.

    index: 0 for the noisiest point, counting up. Python decides with it; it never reads the scalars back.
    t: [] what the denoiser receives as its timestep (integer or float).
    alpha, sigma: [] float32, of this point: x_t = alpha x_0 + sigma epsilon.
    num_steps: how many points the grid has.
    sigma_over_alpha: the noise level as a Python float, for what Python decides by it: the sigma of Karras et
        al. 2022. nan where the step was made outside a grid.
    row: which of `NoiseLevels.asked` t is, for what was prepared for each of them: the index, unless a
        sampler asks between the points of its grid.
    """

    index: int
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    num_steps: int = 1
    sigma_over_alpha: float = math.nan
    row: int = attrs.field(default=attrs.Factory(lambda self: self.index, takes_self=True))


_NEAR = 1e-9  # by how much of themselves two noise levels may differ that are one


def _float64(value: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64, device="cpu")


@attrs.frozen(eq=False)
class NoiseLevels:
    """N points of decreasing noise and the end point, as float64 tables made once on the host.

    Point i is q(x_t | x_0) = N(alpha x_0, sigma^2 I); its cleaner neighbour, point i + 1, is called s below.

    t: [N], what the denoiser receives (int64, or float64 for a schedule in continuous time).
    alpha, sigma: [N + 1] float64, with the end point last (alpha 1, sigma 0 for a clean image).
    beta: [N] float64, the variance of q(x_t | x_s) = N(alpha_t / alpha_s x_s, beta I). By default
        sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2, where digits cancel: a schedule that knows it gives it.
    before, after: how many points of a longer walk, of which this is a part, come before it and after it.
    """

    t: Tensor
    alpha: Tensor = attrs.field(converter=_float64)
    sigma: Tensor = attrs.field(converter=_float64)
    beta: Tensor = attrs.field(converter=_float64)
    before: int = attrs.field(default=0, kw_only=True)
    after: int = attrs.field(default=0, kw_only=True)

    @beta.default
    def _forward_variance(self) -> Tensor:
        ratio = self.alpha[:-1] / self.alpha[1:]
        return self.sigma[:-1] ** 2 - (ratio * self.sigma[1:]) ** 2

    def __attrs_post_init__(self) -> None:
        count = len(self.t)
        shapes = [tuple(table.shape) for table in (self.t, self.alpha, self.sigma, self.beta)]
        if count == 0 or shapes != [(count,), (count + 1,), (count + 1,), (count,)]:
            raise PartError(
                "noise levels need N timesteps, N + 1 values of alpha and of sigma and N of beta; "
                f"got tables of shape {shapes}"
            )
        wrong = ~(self.alpha.isfinite() & self.sigma.isfinite())
        if bool(wrong.any()):
            index = int(wrong.int().argmax())
            raise PartError(
                f"noise levels need numbers, and at point {index}{self._time(index)} alpha is "
                f"{float(self.alpha[index]):g} and sigma {float(self.sigma[index]):g}; where they are roots "
                "of alpha_bar and 1 - alpha_bar, keep alpha_bar within 0 and 1, as by capping beta at 0.999, "
                "which the cosine schedule does"
            )

    def _time(self, index: int) -> str:
        return f" (t = {float(self.t[index]):g})" if index < len(self.t) else ""

    def __len__(self) -> int:
        return self.t.shape[0]

    @property
    def asked(self) -> Tensor:
        """[M] every t that a predictor of these levels is asked at: those of its points, in order, first."""
        return self.t

    @property
    def init_noise_sigma(self) -> float:
        """The standard deviation of x_T for data of unit variance: what the first noise is multiplied by.

        1 for a variance-preserving schedule, which starts from N(0, I) as Ho et al. 2020 do.
        """
        return float((self.alpha[0] ** 2 + self.sigma[0] ** 2).sqrt())

    @property
    def posterior_mean_coef1(self) -> Tensor:
        """[N] what multiplies x_0 in the mean of q(x_s | x_t, x_0) (Ho et al. 2020, equation 7)."""
        return self.alpha[1:] * self.beta / self.sigma[:-1] ** 2

    @property
    def posterior_mean_coef2(self) -> Tensor:
        """[N] what multiplies x_t in the mean of q(x_s | x_t, x_0) (Ho et al. 2020, equation 7)."""
        return self.alpha[:-1] / self.alpha[1:] * (self.sigma[1:] / self.sigma[:-1]) ** 2

    @property
    def posterior_variance(self) -> Tensor:
        """[N] the variance of q(x_s | x_t, x_0) (Ho et al. 2020, equation 7); 0 before a clean end point."""
        return self.beta * self.sigma[1:] ** 2 / self.sigma[:-1] ** 2

    @property
    def posterior_log_variance_clipped(self) -> Tensor:
        """[N] its logarithm; where it is 0, that of the point before, or of beta when there is none."""
        return _replace_zero(self.posterior_variance, self.beta).log()

    @property
    def fixed_large_variance(self) -> Tensor:
        """[N] beta, except before a clean end point: there, the posterior variance of the point before.

        The larger of the two variances of Ho et al. 2020, section 3.2, as their code has it.
        """
        variance = self.posterior_variance
        return torch.where(variance == 0, _replace_zero(variance, self.beta), self.beta)

    def to_device(self, device: torch.device | str, *columns: Tensor) -> list[tuple[Tensor, ...]]:
        """Columns of [N] float64 as N tuples of float32 scalars on the device, uploaded in one copy."""
        table = torch.stack(columns, dim=1).to(torch.float32).to(device, non_blocking=True)
        return [row.unbind() for row in table.unbind()]

    def steps(self, device: torch.device | str) -> Iterator[Step]:
        """The rows, noisy to clean, uploaded in one copy."""
        rows = self.to_device(device, self.alpha[:-1], self.sigma[:-1])
        t = (self.t.to(torch.float32) if self.t.is_floating_point() else self.t).to(device, non_blocking=True)
        ratios = (self.sigma[:-1] / self.alpha[:-1]).tolist()
        for index, (t_i, (alpha, sigma), ratio) in enumerate(zip(t.unbind(), rows, ratios, strict=True)):
            yield Step(index, t_i, alpha, sigma, len(self), ratio)

    def last(self, count: int) -> NoiseLevels:
        """The last `count` points, 1 to N, and the end point: for sampling from a noised image."""
        if not 1 <= count <= len(self):
            raise PartError(f"a grid of {len(self)} points has no last {count}")
        return self.part(len(self) - count, len(self))

    def below(self, level: float) -> NoiseLevels:
        """The points whose sigma / alpha is at most `level`, and the end point: for going on from there.

        Raises:
            PartError: there are none.
        """
        count = int((self.sigma[:-1] / self.alpha[:-1] <= level).sum())
        if not count:
            raise PartError(
                f"none of its steps begins at a sigma / alpha of {level:g} or below; the least is "
                f"{float(self.sigma[-2] / self.alpha[-2]):.4g}"
            )
        return self.last(count)

    def until(self, following: NoiseLevels) -> NoiseLevels:
        """The points with more noise than the first of others that go on from there, which is their end.

        Raises:
            PartError: there are none.
        """
        end = following.sigma[0] / following.alpha[0]
        count = int((self.sigma[:-1] / self.alpha[:-1] > end * (1 + _NEAR)).sum())
        if not count:
            raise PartError(f"none of its steps begins above a sigma / alpha of {float(end):.4g}")
        return self.part(0, count).with_end(following.alpha[0], following.sigma[0])

    def part(self, first: int, stop: int) -> NoiseLevels:
        """The points from `first` to before `stop`, with the one at `stop` as their end point."""
        return NoiseLevels(
            self.t[first:stop],
            self.alpha[first : stop + 1],
            self.sigma[first : stop + 1],
            self.beta[first:stop],
            before=self.before + first,
            after=self.after + len(self) - stop,
        )

    def with_end(self, alpha: Tensor, sigma: Tensor) -> NoiseLevels:
        """The same points, with q(x | x_0) = N(alpha x_0, sigma^2 I) as the end point in place of theirs.

        alpha, sigma: [] or [1].
        """
        alpha, sigma = (
            torch.cat([table[:-1], _float64(end).reshape(1)])
            for table, end in ((self.alpha, alpha), (self.sigma, sigma))
        )
        last = NoiseLevels(self.t[-1:], alpha[-2:], sigma[-2:])
        beta = torch.cat([self.beta[:-1], last.beta])
        return NoiseLevels(self.t, alpha, sigma, beta, before=self.before, after=self.after)


def _replace_zero(variance: Tensor, beta: Tensor) -> Tensor:
    before = torch.cat([beta[:1], variance[:-1]])
    return torch.where(variance == 0, before, variance)
