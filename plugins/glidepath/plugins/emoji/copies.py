"""Whether a model draws its training pictures by heart: where one lies that is too near to be chance."""

from __future__ import annotations

from typing import Final

import attrs
import torch
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.emoji.table import Table

_BATCH: Final = 256


@attrs.frozen(eq=False)
class Nearest:
    """Of N images the nearest picture that was trained on.

    row: [N] int64, of the table. distance: [N], root of the mean squared difference, of 255.
    copied: [N] bool; whether the image lies nearer to it than half of the way to that picture's own nearest
        neighbour among those that were trained on.
    """

    row: Tensor
    distance: Tensor
    copied: Tensor


def nearest(images: Tensor, table: Table) -> Nearest:
    """The nearest trained pictures of images [N, 3, S, S] uint8, of the table's size.

    Raises:
        GlidepathError: the images are of another size.
    """
    if images.shape[1:] != table.pictures.shape[1:]:
        raise GlidepathError(
            f"copies are looked for among pictures of one size with the images: those of the table are "
            f"{table.pictures.shape[-1]} pixels wide, and the images {images.shape[-1]}"
        )
    trained = (table.listing.held == 0).nonzero().flatten()
    pictures = _flat(table.pictures[trained])
    distances, rows = _distances(_flat(images), pictures).min(dim=1)
    own = _distances(pictures[rows], pictures)
    own[torch.arange(len(rows)), rows] = torch.inf
    return Nearest(trained[rows], distances, distances < own.min(dim=1).values / 2)


def _flat(images: Tensor) -> Tensor:
    # torch takes squares apart: in float32 equal pictures lie 0.2 apart
    flat: Tensor = images.cpu().double().flatten(1)
    return flat


def _distances(images: Tensor, pictures: Tensor) -> Tensor:
    """[images, pictures], root mean square over pixels and channels."""
    euclidean = torch.cat([torch.cdist(batch, pictures) for batch in torch.split(images, _BATCH)])
    distances: Tensor = (euclidean / images.shape[1] ** 0.5).float()
    return distances
