"""The dataset `webdataset`: shards that are streamed, in an order that the seed decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.train.data.captions import CAPTION, in_template
from glidepath.plugins.train.data.dataset import Entry
from glidepath.plugins.train.data.examples import Example, RowError, example_of
from glidepath.plugins.train.data.order import Order
from glidepath.plugins.train.data.pictured import Chosen, PicturedDataset
from glidepath.plugins.train.data.shards import (
    PICTURE,
    Member,
    OpenShards,
    identity,
    open_shard,
    shards_of,
)
from glidepath.plugins.train.data.transform import Size, Transform
from glidepath.registry import ImageError

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import WebDatasetConfig

_BLOCK = 2**20


class WebDataset(PicturedDataset):
    """Every sample once in an epoch. Shards are shuffled, and samples within some shards at a time.

    What is remembered is how many samples each shard has, and what lies where in the shards that are open, so
    that a million samples take no more memory than a thousand.
    """

    config: WebDatasetConfig

    def __init__(
        self, config: WebDatasetConfig, transforms: Sequence[Transform] = (), *, held: bool = False
    ) -> None:
        """Look into every shard, once, for what it holds. held: of what is held out, and not of the rest.

        Raises:
            PartError: a shard is not there or cannot be read, or there are no samples.
        """
        self.config, self.transforms, self._held = config, transforms, held
        self.shards = shards_of(config.shards)
        self._open = OpenShards(self.shards, config.window + 1, config.held_out_share, held)
        self.counts = [sum(1 for _ in self._open.samples(shard)) for shard in range(len(self.shards))]
        if not sum(self.counts) and not held:
            raise PartError(f"webdataset: there are no pictures in {', '.join(config.shards)}")
        self.notes = [
            f"{shard}: passed over, it holds no pictures"
            for shard, count in zip(self.shards, self.counts, strict=True)
            if not count
        ]
        self.validation: WebDataset | None = None
        if not held and config.held_out_share:
            plain = attrs.evolve(config, part_dropout=0.0, templates=config.templates[:1])
            others = WebDataset(plain, held=True)
            self.validation = others if sum(others.counts) else None
        self._order = Order(self.counts, config.window)
        self._firsts = np.concatenate([[0], np.cumsum(self.counts)])
        self.pictures = ShardPictures(self._open)
        if config.label:
            self.labels = self._labels

    def chosen(self, seed: int, step: int, size: int) -> Chosen:
        """What the batch of a step is of."""
        positions = range(step * size, (step + 1) * size)
        examples = [self._example(self._order.at(seed, position)) for position in positions]
        return Chosen(
            dict(zip(((0, it) for it in positions), examples, strict=True)),
            (self.config.size, self.config.size),
        )

    def everything(self) -> Iterator[tuple[Example, Size]]:
        """Every sample, those that are held out too, and the size of the images."""
        size = (self.config.size, self.config.size)
        yield from ((self._example(index), size) for index in range(self._order.length))
        if self.validation is not None:
            yield from self.validation.everything()

    def captions(self) -> Iterator[tuple[str, str]]:
        """Every caption in its longest template, shard by shard."""
        longest = max(self.config.templates, key=len, default=CAPTION)
        for index in range(self._order.length):
            example = self._example(index)
            yield from ((example.place, in_template(caption, longest)) for caption in example.captions)

    def contents(self, known: Mapping[str, Entry]) -> Iterator[Entry]:
        """The shards, with their hashes; pictures are not decoded before they are trained on."""
        for shard in self.shards:
            name = shard.rpartition("/")[2]
            digest, stamp = identity(shard)
            before = known.get(name)
            if not digest and before is not None and before.stamp == stamp:
                digest = before.sha256
            yield Entry(name, "", digest or _hash(shard), stamp)

    def _labels(self, seed: int, step: int, size: int) -> Tensor:
        """The classes of the images of a batch: [size] int64."""
        labels = [it.label for it in self.chosen(seed, step, size).examples.values()]
        if not all(isinstance(label, int) for label in labels):
            raise PartError(f"webdataset: {self.config.label!r} is the number of a class, from 0")
        return torch.tensor(labels)

    def _example(self, index: int) -> Example:
        shard = int(np.searchsorted(self._firsts, index, side="right")) - 1
        sample = self._open.sample(shard, index - int(self._firsts[shard]))
        place = f"{self.shards[shard]}/{sample.key}"
        row: dict[str, Any] = {}
        try:
            if "json" in sample.members:
                row |= _object(self._open.read(shard, sample.members["json"]))
            for column in {self.config.text, self.config.label, "txt", "cls"} & {*sample.members}:
                row[column] = self._open.read(shard, sample.members[column]).decode("utf-8-sig")
            example = example_of(row, self.config, sample.key, place, shard)
        except (RowError, UnicodeDecodeError) as error:
            raise PartError(f"{place}: {error}") from error
        values = attrs.asdict(example, recurse=False) | {"held": self._held}
        return ShardExample(**values, picture=sample.members[PICTURE])


@attrs.frozen(kw_only=True)
class ShardExample(Example):
    """A sample of a shard, and where its picture lies."""

    picture: Member


class ShardPictures:
    """Pictures in shards."""

    def __init__(self, shards: OpenShards) -> None:
        self._shards = shards

    def place(self, example: Example) -> str:
        """Its shard and its name."""
        return example.place

    def stamp(self, example: Example) -> tuple[int, ...]:
        """Of its shard."""
        return identity(self._shards.shards[example.chunk])[1]

    def read(self, example: Example) -> bytes:
        """Its bytes."""
        assert isinstance(example, ShardExample)
        return self._shards.read(example.chunk, example.picture)


def _object(data: bytes) -> dict[str, Any]:
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RowError(f"its JSON cannot be read: {error}") from error
    if not isinstance(row, dict):
        raise RowError("its JSON is no object")
    return row


def _hash(shard: str) -> str:
    digest = hashlib.sha256()
    try:
        with open_shard(shard) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise ImageError(f"cannot read shard {shard}: {error}") from error
    return digest.hexdigest()
