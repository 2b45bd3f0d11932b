"""The dataset `mixture`: several datasets as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import CaptionedDataset, Entry, contents_of, notes_of

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import MixtureConfig

Places = list[tuple[int, int]]

_ROUND = 1000  # positions in which each dataset comes as often as its share says, rounded


class Mixture:
    """Datasets whose samples come in their proportions.

    Each is asked for its samples one by one, in its own order: it is gone through as it would be alone.
    """

    def __init__(self, config: MixtureConfig, datasets: Sequence[CaptionedDataset]) -> None:
        """Raises PartError where there are not as many proportions as datasets."""
        shares = np.asarray(config.proportions or [1.0] * len(datasets))
        if len(shares) != len(datasets) or not datasets:
            raise PartError(f"mixture: there are {len(datasets)} datasets, and {len(shares)} proportions")
        self.datasets: Sequence[Any] = datasets
        ends = np.rint(np.cumsum(shares / shares.sum()) * _ROUND).astype(int)
        self._counts = np.diff(ends, prepend=0)
        if not self._counts.all():
            raise PartError(f"mixture: a proportion is less than 1 / {_ROUND} of all")
        self._order: tuple[tuple[int, int], Places] | None = None
        self.notes = [note for dataset in datasets for note in notes_of(dataset)]
        for name, needed in (
            ("captions", any),
            ("contents", any),
            ("labels", all),
            ("outcomes", all),
            ("texts", all),
        ):
            if needed(hasattr(dataset, name) for dataset in datasets):
                setattr(self, name, getattr(self, f"_{name}"))
        held = [getattr(dataset, "validation", None) for dataset in datasets]
        own = tuple(float(share) for share, kept in zip(shares, held, strict=True) if kept is not None)
        self.validation: Mixture | None = None
        if own:
            self.validation = Mixture(attrs.evolve(config, proportions=own), [*filter(None, held)])

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a step.

        Raises:
            PartError: the images of two datasets are not of one shape.
        """
        return self.part(seed, step, size, slice(size))

    def part(self, seed: int, step: int, size: int, rows: slice) -> tuple[Tensor, list[str]]:
        """Some rows of the batch of a step; the others are not made.

        Raises:
            PartError: the images of two datasets are not of one shape.
        """
        chosen = [*self._chosen(seed, step, size)][rows]
        made = [dataset.batch(seed, place, 1) for dataset, place in chosen]
        shapes = {tuple(images.shape[1:]) for images, _ in made}
        if len(shapes) > 1:
            raise PartError(f"mixture: images are of one shape, and these are of {sorted(shapes)}")
        return torch.cat([images for images, _ in made]), [caption for _, [caption] in made]

    def _labels(self, seed: int, step: int, size: int) -> Tensor:
        """The classes of the images of a batch."""
        return torch.cat(
            [dataset.labels(seed, place, 1) for dataset, place in self._chosen(seed, step, size)]
        )

    def names(self, seed: int, step: int, size: int) -> list[str]:
        """What the images of a batch are called, of datasets that know."""
        return [
            name
            for dataset, place in self._chosen(seed, step, size)
            for name in (dataset.names(seed, place, 1) if hasattr(dataset, "names") else [""])
        ]

    def _captions(self) -> Iterator[tuple[str, str]]:
        for dataset in self.datasets:
            yield from getattr(dataset, "captions", lambda: ())()

    def _outcomes(self) -> Iterator[Tensor]:
        """All images that there may be, for a cache."""
        return chain.from_iterable(dataset.outcomes() for dataset in self.datasets)

    def _texts(self) -> Iterator[str]:
        """All captions that there may be, for a cache."""
        return chain.from_iterable(dataset.texts() for dataset in self.datasets)

    def _contents(self, known: Mapping[str, Entry]) -> Iterator[Entry]:
        for number, dataset in enumerate(self.datasets):
            prefix = f"{number}/"
            own = {
                name.removeprefix(prefix): entry._replace(name=name.removeprefix(prefix))
                for name, entry in known.items()
                if name.startswith(prefix)
            }
            for entry in contents_of(dataset, own) or ():
                yield entry._replace(name=prefix + entry.name)

    def _chosen(self, seed: int, step: int, size: int) -> Iterator[tuple[Any, int]]:
        """Each sample of a batch: its dataset, and its position there."""
        for position in range(step * size, (step + 1) * size):
            turn, place = divmod(position, _ROUND)
            number, before = self._round(seed, turn)[place]
            yield self.datasets[number], turn * int(self._counts[number]) + before

    def _round(self, seed: int, turn: int) -> Places:
        """The dataset of each sample of a round, and how many samples of it come before."""
        if self._order is None or self._order[0] != (seed, turn):
            numbers = np.repeat(np.arange(len(self._counts)), self._counts)
            before = [0] * len(self._counts)
            places = []
            for number in np.random.default_rng((seed, turn, draws.MIXTURE)).permutation(numbers).tolist():
                places.append((number, before[number]))
                before[number] += 1
            self._order = (seed, turn), places
        return self._order[1]
