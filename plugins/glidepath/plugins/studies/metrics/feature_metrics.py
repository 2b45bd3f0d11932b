"""Metrics on features of images: distances from real ones (KID, Frechet), precision, recall, diversity.

The functions take features [N, D]; the classes are components of the kind `metric`, on the features of the
probe (features.py). `on_real` of each gives its value on real images: the floor of a distance, the ceiling of
a share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.studies.interface import Direction, Drawn
from glidepath.plugins.studies.metrics.configs import DiversityConfig, FeatureConfig, NeighbourConfig
from glidepath.plugins.studies.metrics.features import features, load_probe, probe_name
from glidepath.plugins.studies.metrics.own_code import run_file
from glidepath.registry import file_sha256

Array = npt.NDArray[np.float64]

_BATCH = 256


def kid(first: Array, second: Array) -> float:
    """Kernel inception distance: the squared maximum mean discrepancy, unbiased, of [N, D] and [M, D].

    With the kernel (x y / D + 1)^3 (Binkowski et al. 2018, equations 3 and 4). Near 0, and as often below as
    above, for two samples of one distribution.

    Raises:
        ValueError: fewer than 2 rows, or widths that differ.
    """
    _check(first, second, least=2)
    own = _kernel(first, first), _kernel(second, second)
    within = [(it.sum() - np.trace(it)) / (len(it) * (len(it) - 1)) for it in own]
    return float(within[0] + within[1] - 2 * _kernel(first, second).mean())


def frechet(first: Array, second: Array) -> float:
    """The Frechet distance of Gaussians fitted to [N, D] and [M, D] (Heusel et al. 2017, equation 6).

    |mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)). Biased upwards for few rows, so compare at equal N;
    N should be many times D.

    Raises:
        ValueError: fewer than 2 rows, or widths that differ.
    """
    _check(first, second, least=2)
    means = first.mean(0) - second.mean(0)
    covariances = [np.atleast_2d(np.cov(it, rowvar=False)) for it in (first, second)]
    # tr (C_1 C_2)^(1/2) is the sum of the roots of the eigenvalues of R C_2 R, with R the root of C_1:
    # symmetric, so that no complex numbers arise where a matrix is singular
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ covariances[1] @ root)
    overlap = np.sqrt(np.maximum(mixed, 0.0)).sum()
    return float(means @ means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * overlap)


def covered(points: Array, support: Array, neighbours: int = 3) -> float:
    """The share of points [N, D] within the support of [M, D] (Kynkaanniemi et al. 2019, equation 2).

    The support is the union of balls around its points, each as wide as the way to the point's k-th
    neighbour. Of drawn points in the real support it is precision; of real points in the drawn, recall.

    Raises:
        ValueError: widths differ, or the support has no k-th neighbour.
    """
    _check(points, support, least=1)
    if len(support) <= neighbours:
        raise ValueError(
            f"a support with {neighbours} neighbours has more than {neighbours} points, not {len(support)}"
        )
    within = torch.cdist(*(2 * (torch.from_numpy(support),)))
    # the nearest is the point itself, at distance 0
    radii = within.kthvalue(neighbours + 1, dim=1).values
    distances = torch.cdist(torch.from_numpy(points), torch.from_numpy(support))
    return float((distances <= radii).any(1).double().mean())


def spread(points: Array) -> Array:
    """For each of [N, D] the mean distance to the others, [N]; NaN for N = 1."""
    if len(points) < 2:
        return np.full(len(points), np.nan)
    distances = torch.cdist(*(2 * (torch.from_numpy(points),)))
    means: Array = (distances.sum(1) / (len(points) - 1)).numpy()
    return means


def _looking(config: DiversityConfig) -> tuple[Callable[[Tensor], Array], str]:
    """Images [N, 3, H, W] uint8 to features [N, D] float64, and what these are called."""
    if config.features is None:
        probe = load_probe()
        return lambda images: features(images, probe), probe_name()
    found = run_file(config.features).features
    name = f"{config.features.stem}-{file_sha256(config.features)[:12]}"

    def own(images: Tensor) -> Array:
        numbers = np.asarray(found(images), dtype=np.float64)
        if numbers.ndim != 2 or len(numbers) != len(images) or not np.isfinite(numbers).all():
            raise GlidepathError(
                f"{config.features}: features(images) is to give [N, D] finite numbers of {len(images)} "
                f"images, not {list(numbers.shape)}"
            )
        return numbers

    return own, name


class _AgainstReal:
    """A number for a set of images and a set of real ones."""

    unit = ""
    direction: Direction = "lower"
    title = ""

    def __init__(self, config: FeatureConfig) -> None:
        self.config = config
        self._features, source = _looking(config)
        # features of another network are another metric
        self.name = f"{self.title} ({source})"

    def whole_set(self, drawn: Drawn) -> float:
        """The value of what was drawn, against real images of the spec's dataset.

        Raises:
            GlidepathError: the spec has no `data`, or too few images were drawn.
        """
        if drawn.dataset is None:
            raise GlidepathError(
                f"{self.title} compares with real images, and this spec has no `data`; name the dataset that "
                "the model was trained on"
            )
        if len(drawn.images) < self.least:
            raise GlidepathError(
                f"{self.title} needs {self.least} images or more of an arm and a sampling seed, not "
                f"{len(drawn.images)}"
            )
        dataset = drawn.dataset()
        held_out = getattr(dataset, "validation", None) or dataset
        real = self._real(held_out, self.config.images, self.config.seed)
        return self.between(self._features(drawn.images), real)

    def on_real(self, dataset: Any, count: int) -> float:
        """The value of `count` other real images, drawn anew: what a perfect model has."""
        other = self._real(dataset, count, self.config.seed + 1)
        held_out = getattr(dataset, "validation", None) or dataset
        return self.between(other, self._real(held_out, self.config.images, self.config.seed))

    @property
    def least(self) -> int:
        """The fewest images that it can be of."""
        return 2

    def between(self, drawn: Array, real: Array) -> float:
        """The value for features."""
        raise NotImplementedError

    def _real(self, dataset: Any, count: int, seed: int) -> Array:
        sizes = [min(_BATCH, count - first) for first in range(0, count, _BATCH)]
        images = [dataset.batch(seed, step, size)[0] for step, size in enumerate(sizes)]
        pixels = ((torch.cat(images) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return self._features(pixels)


class KernelDistance(_AgainstReal):
    """KID."""

    title = "KID"

    def between(self, drawn: Array, real: Array) -> float:
        """`kid`."""
        return kid(drawn, real)


class FrechetDistance(_AgainstReal):
    """Frechet distance."""

    title = "Frechet distance"

    def between(self, drawn: Array, real: Array) -> float:
        """`frechet`."""
        return frechet(drawn, real)


class Precision(_AgainstReal):
    """Share of what was drawn that lies in the support of the real."""

    title = "precision"
    direction: Direction = "higher"
    unit = "share"

    def __init__(self, config: NeighbourConfig) -> None:
        super().__init__(config)
        self.neighbours = config.neighbours

    @property
    def least(self) -> int:
        """One image will do."""
        return 1

    def between(self, drawn: Array, real: Array) -> float:
        """`covered` of the drawn."""
        return covered(drawn, real, self.neighbours)


class Recall(_AgainstReal):
    """Share of the real that lies in the support of what was drawn. It falls with fewer images."""

    title = "recall"
    direction: Direction = "higher"
    unit = "share"

    def __init__(self, config: NeighbourConfig) -> None:
        super().__init__(config)
        self.neighbours = config.neighbours

    @property
    def least(self) -> int:
        """Each needs its neighbours."""
        return self.neighbours + 1

    def between(self, drawn: Array, real: Array) -> float:
        """`covered` of the real."""
        return covered(real, drawn, self.neighbours)


class Diversity:
    """How different the images of one prompt are: for each the mean distance of features to the others."""

    direction: Direction = "higher"
    unit = ""

    def __init__(self, config: DiversityConfig) -> None:
        self.config = config
        self._features, source = _looking(config)
        self.name = f"diversity ({source})"

    def per_prompt(self, images: Tensor, prompts: list[str]) -> Array:
        """[N]: NaN where a prompt has one image."""
        found = self._features(images)
        result = np.full(len(prompts), np.nan)
        said = np.array(prompts, dtype=object)
        for prompt in dict.fromkeys(prompts):
            rows = np.flatnonzero(said == prompt)
            result[rows] = spread(found[rows])
        return result


def _check(first: Array, second: Array, *, least: int) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features are [N, D] and [M, D], not {list(first.shape)} and {list(second.shape)}")
    if min(len(first), len(second)) < least:
        raise ValueError(f"sets of features have {least} rows or more, not {len(first)} and {len(second)}")


def _kernel(first: Array, second: Array) -> Array:
    kernel: Array = (first @ second.T / first.shape[1] + 1.0) ** 3
    return kernel
