"""A dataset: a folder of images, each with its caption."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import attrs
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.train.configs import CaptionedFolderConfig
from glidepath.plugins.train.data import draws
from glidepath.registry import read_picture

METADATA = "metadata.jsonl"
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_SIDE = re.compile(r"\b(left|right)(most|ward|wards)?\b", re.IGNORECASE)


@attrs.frozen
class Example:
    """An image file and what it shows."""

    path: Path
    caption: str


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
        self.examples = tuple(_examples(config.folder))
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a training step: images [size, 3, S, S] float32 in [-1, 1], and their captions.

        Raises:
            ImageError: an image cannot be read.
        """
        chosen = [self._at(seed, position) for position in range(step * size, (step + 1) * size)]
        images = torch.stack([load_image(example.path, self.config.size) for example in chosen])
        if self.config.flip:
            flipped = torch.rand(size, generator=draws.generator(seed, step, draws.FLIP)) < 0.5
            flipped &= torch.tensor([not _SIDE.search(example.caption) for example in chosen])
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        return images, [example.caption for example in chosen]

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


def _examples(folder: Path) -> list[Example]:
    if not folder.is_dir():
        raise PartError(f"captioned-folder: {folder} is not a folder")
    metadata = folder / METADATA
    found = list(_from_metadata(metadata) if metadata.exists() else _from_texts(folder))
    if not found:
        raise PartError(f"captioned-folder: {folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return found


def _from_metadata(metadata: Path) -> Iterator[Example]:
    root = metadata.parent.resolve()
    for number, line in enumerate(_text(metadata).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            name, caption = entry["file_name"], entry["text"]
        except (ValueError, KeyError, TypeError):
            name = caption = None
        if not isinstance(name, str) or not isinstance(caption, str):
            raise PartError(f'{metadata}:{number}: a line is {{"file_name": "a.png", "text": "a caption"}}')
        path = metadata.parent / name
        if not path.resolve().is_relative_to(root):
            raise PartError(f"{metadata}:{number}: {name} is outside of {metadata.parent}")
        if not path.is_file():
            raise PartError(f"{metadata}:{number}: there is no image {path}")
        yield Example(path, caption.strip())


def _from_texts(folder: Path) -> Iterator[Example]:
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    alone = [path for path in images if not path.with_suffix(".txt").is_file()]
    if alone:
        first = ", ".join(str(path) for path in alone[:3])
        raise PartError(
            f"captioned-folder: {len(alone)} of {len(images)} images have no caption (such as {first}): "
            f"write it into a .txt file of the same name, or all captions into {folder / METADATA}"
        )
    for path in images:
        yield Example(path, _text(path.with_suffix(".txt")).strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PartError(f"cannot read captions from {path}: {error}") from error
