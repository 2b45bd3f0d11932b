"""The dataset `captioned-folder`: images in a folder, each with its caption."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from glidepath.plugins.train.data.configs import CaptionedFolderConfig
from glidepath.plugins.train.data.examples import Example
from glidepath.plugins.train.data.listing import list_folder
from glidepath.plugins.train.data.pictured import ListedDataset
from glidepath.plugins.train.data.transform import Transform
from glidepath.registry import ImageError, open_file, picture_bytes, picture_sides


class CaptionedFolder(ListedDataset):
    """Every example once in an epoch, in an order that (seed, epoch) decide."""

    config: CaptionedFolderConfig

    def __init__(self, config: CaptionedFolderConfig, transforms: Sequence[Transform] = ()) -> None:
        """Read the captions.

        Raises:
            PartError: the folder has no images, or an image and a caption do not find each other.
        """
        super().__init__(config, config.folder, *list_folder(config), FilePictures(config.folder), transforms)


class FilePictures:
    """Pictures in files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, example: Example) -> str:
        """The path of its file."""
        return os.path.join(self.folder, example.name)

    def stamp(self, example: Example) -> tuple[int, ...]:
        """Size and times of its file."""
        stat = (self.folder / example.name).stat()
        return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def read(self, example: Example) -> bytes:
        """The bytes of its file."""
        return picture_bytes(self.folder / example.name)

    def sides(self, example: Example) -> tuple[int, int]:
        """Its width and height."""
        try:
            with open_file(self.folder / example.name) as file:
                return picture_sides(file, self.place(example))
        except OSError as error:
            raise ImageError(f"cannot read {self.place(example)} as an image: {error}") from error
