"""The datasets that come with glidepath, described. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry import Component, Extra, Inner, Need

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import ListedConfig, MixtureConfig, PicturesConfig

_HERE = "glidepath.plugins.train.data"


def datasets() -> Iterable[Component]:
    """Those of pictures that lie in files."""
    yield Component(
        kind="dataset",
        name="captioned-folder",
        target=f"{_HERE}.folder:CaptionedFolder",
        config=f"{_HERE}.configs:CaptionedFolderConfig",
        summary="a folder of images and their captions",
        provides=_provides_of_list,
        needs=_needs_of_pictures,
        example=_folder,
    )
    yield Component(
        kind="dataset",
        name="table",
        target=f"{_HERE}.table:CaptionedTable",
        config=f"{_HERE}.configs:TableConfig",
        summary="a table of images and their captions: CSV, lines of JSON, or Parquet with paths or bytes",
        provides=_provides_of_list,
        needs=_needs_of_pictures,
        example=_table,
    )

    yield Component(
        kind="dataset",
        name="webdataset",
        target=f"{_HERE}.webdataset:WebDataset",
        config=f"{_HERE}.configs:WebDatasetConfig",
        summary="shards of images and their captions (tar files, here or by fsspec), streamed",
        provides=_provides_of_pictures,
        needs=_needs_of_pictures,
        example=_shards,
    )
    yield Component(
        kind="dataset",
        name="huggingface",
        target=f"{_HERE}.huggingface:HuggingfaceDataset",
        config=f"{_HERE}.configs:HuggingfaceConfig",
        summary="images and their captions as the package datasets saves them",
        requires=(Extra(module="datasets", install="pip install 'glidepath-diffusion[datasets]'"),),
        provides=_provides_of_list,
        needs=_needs_of_pictures,
        example="it reads a folder that the package datasets has written, and none comes with it",
    )
    yield Component(
        kind="dataset",
        name="mixture",
        target=f"{_HERE}.mixture:Mixture",
        config=f"{_HERE}.configs:MixtureConfig",
        summary="several datasets as one, in proportions",
        provides=_mixed,
        example=_mixture,
    )


def _mixed(_config: MixtureConfig, inner: Inner) -> dict[str, object]:
    """What all of them provide alike."""
    first, *others = inner.get("datasets") or ({"data.size": None},)
    keys = ("data.channels", "data.size")
    return {
        key: first[key] for key in keys if key in first and all(it.get(key) == first[key] for it in others)
    }


def transforms() -> Iterable[Component]:
    """What may be done with a picture before it is trained on."""
    for name, target, config, summary in (
        ("crop", "Crop", "CropConfig", "a part of the picture, with the proportions of the batch, drawn"),
        ("resize", "Resize", "ResizeConfig", "another size, by a method of choice"),
        ("flip", "Flip", "FlipConfig", "mirrored pictures, not of captions that say left or right"),
        ("colour-jitter", "ColourJitter", "ColourJitterConfig", "brightness, contrast, saturation and hue"),
    ):
        yield Component(
            kind="transform",
            name=name,
            target=f"{_HERE}.transform:{target}",
            config=f"{_HERE}.configs:{config}",
            summary=summary,
        )


def _provides_of_pictures(config: PicturesConfig) -> dict[str, object]:
    return {"data.channels": 3, "data.size": config.size}


def _provides_of_list(config: ListedConfig) -> dict[str, object]:
    return _provides_of_pictures(config) | ({"data.facts": True} if config.facts else {})


def _needs_of_pictures(config: PicturesConfig) -> dict[str, Need]:
    return {
        "pixels.size": Need(
            value=config.size,
            field="size",
            optional=True,
            why="a denoiser is trained at the size it is made for",
        ),
    }


def _folder(folder: Path) -> dict[str, object]:
    """Two pictures with their captions."""
    from PIL import Image

    for name in ("red", "blue"):
        Image.new("RGB", (12, 8), name).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(name)
    return {"folder": str(folder), "size": 8}


def _table(folder: Path) -> dict[str, object]:
    """Two pictures with their captions."""
    _folder(folder)
    (folder / "table.csv").write_text("file_name,text\nred.png,a red picture\nblue.png,a blue one\n")
    return {"file": str(folder / "table.csv"), "size": 8}


def _shards(folder: Path) -> dict[str, object]:
    """A shard of two pictures."""
    import tarfile

    _folder(folder)
    with tarfile.open(folder / "0.tar", "w") as archive:
        for name in ("blue.png", "blue.txt", "red.png", "red.txt"):
            archive.add(folder / name, name)
    return {"shards": [str(folder / "*.tar")], "size": 8}


def _mixture(folder: Path) -> dict[str, object]:
    """A table and a folder."""
    return {"datasets": [{"use": "table", **_table(folder)}, {"use": "captioned-folder", **_folder(folder)}]}
