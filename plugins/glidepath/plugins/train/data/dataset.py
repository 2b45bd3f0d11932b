"""The interface of what is trained on: images and their captions, by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, runtime_checkable

import attrs
import torch
from torch import Tensor

from glidepath.core import Conditioner, PartError, map_tensors

#: In place of an answer: the caption leaves the question open.
OPEN: Final = -1

_SOME = 64


class Entry(NamedTuple):
    """A captioned image of a dataset that lies in files.

    name: of the image's file, from the folder of the dataset on; "/" divides it on every system.
    caption: "" where captions are drawn anew for each batch.
    sha256: of the image's file.
    stamp: size and times of that file; while they stay, so does its hash.
    problem: why its image cannot be read; "" where it can.
    """

    name: str
    caption: str
    sha256: str
    stamp: tuple[int, ...] = ()
    problem: str = ""


@attrs.frozen(eq=False)
class Batch:
    """What one step is trained on; all on the host.

    images: [B, C, *spatial] float32 in [-1, 1].
    captions: B texts.
    inputs: the pictures that conditioners take, each [B, 3, h, w] uint8.
    labels: [B] int64 class labels; None of a dataset without.
    weights: [B] float32, of the loss of each; None where all are 1.
    """

    images: Tensor
    captions: list[str]
    inputs: Mapping[str, Tensor] = MappingProxyType({})
    labels: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.captions)

    def taken(self, rows: slice) -> Batch:
        """Some rows of it."""
        part = map_tensors(lambda tensor: tensor[rows], self)
        return attrs.evolve(part, captions=self.captions[rows])


@runtime_checkable
class CaptionedDataset(Protocol):
    """Captioned images.

    `batch` is a pure function of its arguments, so that a training run resumes without any state of the
    dataset.

    A dataset may also have `near_misses(captions, seed) -> list[str]`: for each caption one that is nearly
    right and wrong, a pure function of its arguments. Contrastive training then tells these apart too.

    One whose images come with pictures for conditioners (edges, palettes) has
    `inputs(seed, step, size) -> Mapping[str, Tensor]`: those of the images of that batch by name, each
    [size, 3, h, w] uint8 on the host, as `Request.inputs` of glidepath has them.

    One whose images are of classes has `labels(seed, step, size) -> Tensor`: those of the images of that
    batch, [size] int64 from 0 on, on the host. One whose rows do not count alike has
    `loss_weights(size) -> Tensor`, [size] float32: what their losses are multiplied by.

    One whose batches are not all of one size says which they have, `sizes: Sequence[tuple[int, int]]`, each
    (height, width).

    One that can read some rows of a batch alone has `part(seed, step, size, rows: slice)`, which returns
    those of `batch(seed, step, size)`: several processes that train together then read each image once.

    One that knows its images by names has `names(seed, step, size) -> Sequence[str]`, those of a batch: a bad
    step is told with them.

    One that keeps some from training has `validation`, a dataset of these of which `batch` draws nothing but
    the order; or None.

    One that can list all it may ever give, for a cache, has `outcomes() -> Iterable[Tensor]`, images
    [C, H, W], and `texts() -> Iterable[str]`, captions. Each raises PartError where there is no end of them.

    One that lies in files is checked before the first step, and known again when a run is resumed, by what it
    has of these:

    - `notes: Sequence[str]`: what lies there and is not trained on, a sentence for each sort;
    - `captions() -> Iterable[tuple[str, str]]`: every caption, after the place where it is written;
    - `contents(known: Mapping[str, Entry]) -> Iterator[tuple]`: all that is trained on, always in one order:
      the values of an `Entry` each, the first three at least. `known` are the entries of a check before, by
      name, so that a file that is as it was is not read again.
    """

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a step: images and captions, `size` of each.

        Images are [size, C, *spatial] float32 in [-1, 1], on the host.
        """


@runtime_checkable
class FactualDataset(CaptionedDataset, Protocol):
    """A dataset that knows what its captions say, as answers to the same few questions.

    answers: how many answers each question has.
    """

    answers: tuple[int, ...]

    def facts(self, captions: Sequence[str]) -> Tensor:
        """What captions say: [captions, questions] int64, on the host, in [0, answers) or `OPEN`."""


def batch_at(
    dataset: CaptionedDataset,
    conditioners: Iterable[Conditioner],
    seed: int,
    step: int,
    size: int,
    rows: slice | None = None,
) -> Batch:
    """The batch of a step, with its class labels and the pictures that conditioners take.

    rows: which of it; None: all.

    Raises:
        PartError: the dataset has not all that the conditioners need.
    """
    rows = rows or slice(0, size)
    if rows != slice(0, size) and hasattr(dataset, "part"):
        images, captions = dataset.part(seed, step, size, rows)
    else:
        images, captions = (some[rows] for some in dataset.batch(seed, step, size))
    labels = dataset.labels(seed, step, size)[rows] if hasattr(dataset, "labels") else None
    inputs = inputs_of(dataset, conditioners, seed, step, size)
    weights = dataset.loss_weights(size)[rows] if hasattr(dataset, "loss_weights") else None
    return Batch(images, captions, {name: value[rows] for name, value in inputs.items()}, labels, weights)


def inputs_of(
    dataset: CaptionedDataset, conditioners: Iterable[Conditioner], seed: int, step: int, size: int
) -> dict[str, Tensor]:
    """The pictures of a batch that conditioners take.

    Raises:
        PartError: the dataset has not all that they need.
    """
    wanted = {name: input for made in conditioners for name, input in made.inputs.items()}
    if not wanted:
        return {}
    given = dataset.inputs(seed, step, size) if hasattr(dataset, "inputs") else {}
    for name, input in wanted.items():
        if input.required and name not in given:
            raise PartError(
                f"a conditioner is trained with {name}, {input.summary}, and the dataset gives no such "
                "picture of its images (`inputs`)"
            )
    return {name: given[name] for name in wanted if name in given}


def notes_of(dataset: CaptionedDataset) -> Sequence[str]:
    """What a dataset leaves out of its files."""
    return tuple(getattr(dataset, "notes", ()))


def captions_of(dataset: CaptionedDataset, seed: int) -> Iterable[tuple[str, str]]:
    """Every caption, after where it is written; of a dataset that draws them anew, those of some images."""
    written = getattr(dataset, "captions", None)
    if written is not None:
        return written()  # type: ignore[no-any-return]
    return [("a caption that is drawn", caption) for caption in dataset.batch(seed, 0, _SOME)[1]]


def contents_of(dataset: CaptionedDataset, known: Mapping[str, Entry]) -> Iterator[Entry] | None:
    """All that is trained on; None of a dataset that does not lie in files."""
    listed = getattr(dataset, "contents", None)
    return None if listed is None else (Entry(*values) for values in listed(known))


def near_misses(
    dataset: CaptionedDataset, captions: Sequence[str], generator: torch.Generator
) -> list[str] | None:
    """Captions that are nearly right and wrong, drawn by `generator`; None of a dataset that has none."""
    written = getattr(dataset, "near_misses", None)
    if written is None:
        return None
    seed = int(torch.randint(2**31, (1,), generator=generator))
    return list(written(captions, seed))
