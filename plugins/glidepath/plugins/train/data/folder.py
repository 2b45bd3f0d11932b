"""A dataset: a folder of images, each with its caption."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glidepath.plugins.train.configs import CaptionedFolderConfig
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Entry
from glidepath.plugins.train.data.listing import Example, composed, list_folder
from glidepath.registry import ImageError, decode_picture, picture_bytes, read_picture

_SIDE = re.compile(r"\b(left|right)(most|ward|wards)?\b", re.IGNORECASE)
_CHUNK = 256
_MOST_THREADS = 8


class CaptionedFolder:
    """Every example once in an epoch, in an order that (seed, epoch) decide; a batch may span two epochs.

    Images are read when they are asked for: those of a step cost what their decoding costs.
    """

    def __init__(self, config: CaptionedFolderConfig) -> None:
        """Read the captions.

        Raises:
            PartError: the folder has no images, or an image and a caption do not find each other.
        """
        self.config = config
        self.examples, self.notes = list_folder(config.folder)
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a training step: images [size, 3, S, S] float32 in [-1, 1], and their captions.

        Raises:
            ImageError: an image cannot be read.
        """
        chosen = [self._at(seed, position) for position in range(step * size, (step + 1) * size)]
        images = torch.stack(
            [load_image(self.config.folder / example.name, self.config.size) for example in chosen]
        )
        if self.config.flip:
            flipped = torch.rand(size, generator=draws.generator(seed, step, draws.FLIP)) < 0.5
            flipped &= torch.tensor([not _SIDE.search(example.caption) for example in chosen])
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        return images, [example.caption for example in chosen]

    def captions(self) -> Iterator[tuple[str, str]]:
        """Every caption, after the file or line where it is written."""
        return ((str(self.config.folder / example.place), example.caption) for example in self.examples)

    def contents(self, known: Mapping[str, Entry]) -> Iterator[Entry]:
        """Every example, in the order of the folder, with the hash of its image and whether it can be read.

        known: of an earlier check, by name. An image is not read again whose file has the size and the times
        that it had, and not decoded again whose hash is known.
        """
        sound = {entry.sha256 for entry in known.values()}

        def checked(example: Example) -> Entry:
            return _checked(self.config.folder / example.name, example, known, sound)

        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
            for first in range(0, len(self.examples), _CHUNK):
                yield from pool.map(checked, self.examples[first : first + _CHUNK])

    def _at(self, seed: int, position: int) -> Example:
        epoch, index = divmod(position, len(self.examples))
        return self.examples[self._order(seed, epoch)[index]]

    def _order_of_epoch(self, seed: int, epoch: int) -> list[int]:
        generator = draws.generator(seed, epoch, draws.ORDER)
        order: list[int] = torch.randperm(len(self.examples), generator=generator).tolist()
        return order


def load_image(path: Path, size: int) -> Tensor:
    """The largest square in the middle of an image, resized: [3, size, size] float32 in [-1, 1].

    It is what `read_picture` sees: upright, and white where it is transparent.

    Raises:
        ImageError: the file is no image, or is damaged.
    """
    picture = read_picture(path)
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    resized = square.resize((size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    return pixels.to(torch.float32) / 127.5 - 1


def _checked(path: Path, example: Example, known: Mapping[str, Entry], sound: Collection[str]) -> Entry:
    name = composed(example.name)
    before = known.get(name)
    stamp: tuple[int, ...] = ()
    digest = problem = ""
    try:
        stat = path.stat()
        stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if before is not None and before.stamp == stamp:
            return Entry(name, example.caption, before.sha256, stamp)
        data = picture_bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in sound:
            decode_picture(data, str(path))
    except (OSError, ImageError) as error:
        problem = str(error)
    return Entry(name, example.caption, digest, stamp, problem)
