"""What is recorded of how images are made. An image carries it; a lock is the same without images.

A manifest is one JSON document, which is read from strangers: it is data, and is checked as it is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core.errors import GlidepathError, PartError
from glidepath.core.size import checked_size
from glidepath.registry.files.pictures import MOST_PIXELS, ImageError, picture_bytes
from glidepath.registry.records.images import manifest_in
from glidepath.registry.records.pictures import Carried, Inputs, carried_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = "glidepath-manifest-1"

_INPUT = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_CLASSES = 2**31
_LARGEST_SEED = 2**1024
_MOST_IMAGES = 10_000
_LARGEST_SCALE = 64


class ManifestError(GlidepathError):
    """A manifest cannot be read."""


@attrs.frozen
class ImageKey:
    """Which image: a prompt, a seed, the how-manieth image of that prompt and seed.

    label: its class. negative: its negative prompt. None for none.
    texts: what else its text encoders read, by name ("prompt_2").
    """

    prompt: str
    seed: int
    sample: int
    label: int | None = None
    negative: str | None = None
    texts: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those that are absent."""
        plain = attrs.asdict(self, filter=lambda _, value: value not in (None, ()))
        return {**plain, "texts": dict(self.texts)} if self.texts else plain


@attrs.frozen(kw_only=True)
class Release:
    """A distribution. None stands for what is not recorded.

    requires: which versions of glidepath and of other plugins it is made for.
    files: the SHA-256 of each of its files, by the name below a folder of sys.path.
    """

    version: str
    requires: Sequence[str] | None = None
    files: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those that are not recorded."""
        return attrs.asdict(self, filter=lambda _, value: value is not None)


@attrs.frozen(kw_only=True)
class Images:
    """Which images were made, and how they lie in their file.

    keys: in the order of the grid. columns, scale: how the grid was laid out.
    pictures: what the images started from, by what it was for. strength: how far from it (`Pipeline.states`).
    size: (H, W) in pixels that was asked for; None: the model's own.
    batch: the images that were drawn at one time, these and others, where there were others: in a batch of
        another size a network rounds otherwise, and so may a pixel come out.
    """

    keys: Sequence[ImageKey]
    columns: int = 1
    scale: int = 1
    pictures: Mapping[str, Carried] = attrs.field(factory=dict)
    strength: float | None = None
    size: tuple[int, ...] | None = None
    batch: Sequence[ImageKey] = ()

    def inputs(self) -> Inputs:
        """What the images started from beside their prompts.

        Raises:
            GlidepathError: the manifest carries not all of it.
        """
        return Inputs(pictures=carried_pictures(self.pictures), strength=self.strength, size=self.size)

    def first(self, count: int) -> Images:
        """The first images alone."""
        return attrs.evolve(self, keys=list(self.keys[:count]))

    def alone(self, index: int, batch: int) -> Images:
        """One of these images in a file of its own, with those that were drawn with it, `batch` at a time."""
        first = index // batch * batch
        drawn = self.keys[first : first + batch]
        return attrs.evolve(self, keys=[self.keys[index]], columns=1, batch=drawn if len(drawn) > 1 else ())


@attrs.frozen(kw_only=True)
class Manifest:
    """What decides the images of a pipeline, as far as it is recorded.

    spec: the resolved spec, every default written out.
    distributions: those that supply its parts.
    weights: the SHA-256 of each file of weights, by the dotted path of the part; "" is the whole spec's.
    environment: torch and Python; of images also device, dtype, and how many threads, which decides how sums
        are rounded.
    files: the SHA-256 of each file that a part reads beside weights, by dotted path, of one in a folder with
        "/NAME" behind it; None where there are none in an image, or that is not recorded.
    images: None in a lock.
    """

    spec: Mapping[str, Any]
    distributions: Mapping[str, Release]
    weights: Mapping[str, str]
    environment: Mapping[str, str]
    files: Mapping[str, str] | None = None
    images: Images | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those that are absent."""
        values = {
            "format": FORMAT,
            "spec": self.spec,
            "environment": dict(self.environment),
            "distributions": {name: release.to_json() for name, release in self.distributions.items()},
            "weights": dict(self.weights),
        }
        if self.files is not None:
            values["files"] = dict(self.files)
        if self.images is not None:
            absent: tuple[object, ...] = (None, {}, [])
            values |= {key: value for key, value in _images_json(self.images).items() if value not in absent}
        return values

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Manifest:
        """Read plain values from a stranger.

        Raises:
            ManifestError: they are not a manifest that this version reads.
        """
        if data.get("format") != FORMAT:
            raise ManifestError(f"its format is {data.get('format')!r}, and this version reads {FORMAT!r}")
        try:
            if not isinstance(data["spec"], dict):
                raise ValueError("its spec is no mapping")
            return Manifest(
                spec=data["spec"],
                distributions={str(name): _release(entry) for name, entry in data["distributions"].items()},
                weights=_texts(data["weights"]),
                environment=_texts(data["environment"]),
                files=_texts(data["files"]) if "files" in data else None,
                images=_images(data) if "shots" in data else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, PartError) as error:
            raise ManifestError(f"it is damaged: {type(error).__name__}: {error}") from error


def read_image(path: Path) -> tuple[Image, Manifest, bool]:
    """A picture that `glidepath sample` wrote, its manifest, and whether it is a film of states.

    Raises:
        ImageError: the file is no such picture, or is a film of noise, which no spec made.
        ManifestError: its manifest is not one that this version reads.
    """
    return image_in(picture_bytes(path), str(path))


def image_in(content: bytes, path: str) -> tuple[Image, Manifest, bool]:
    """The same of the bytes of a file. path: as messages call it."""
    picture, data = manifest_in(content, path)
    if "timesteps" in data:
        raise ImageError(f"{path} is a noise film: `glidepath sample --noise-film` makes it again")
    is_film = isinstance(data.get("film"), dict)
    try:
        manifest = Manifest.from_json(data["film"] if is_film else data)
        if manifest.images is None:
            raise ManifestError("it tells of no images")
    except ManifestError as error:
        raise ManifestError(f"cannot read the manifest of {path}: {error}") from error
    return picture, manifest, is_film


def _images_json(images: Images) -> dict[str, Any]:
    return {
        "shots": [key.to_json() for key in images.keys],
        "columns": images.columns,
        "scale": images.scale,
        "pictures": {name: attrs.asdict(picture) for name, picture in images.pictures.items()},
        "strength": images.strength,
        "size": None if images.size is None else list(images.size),
        "batch": [key.to_json() for key in images.batch],
    }


def _images(data: Mapping[str, Any]) -> Images:
    keys = [_key(entry) for entry in data["shots"]]
    strength = data.get("strength")
    images = Images(
        keys=keys,
        columns=_whole(data, "columns", 1, _MOST_IMAGES),
        scale=_whole(data, "scale", 1, _LARGEST_SCALE),
        pictures={str(name): _carried(entry) for name, entry in data.get("pictures", {}).items()},
        strength=None if strength is None else float(strength),
        size=None if data.get("size") is None else _size(data["size"]),
        batch=[_key(entry) for entry in data.get("batch", [])],
    )
    if not all(_INPUT.fullmatch(name) for name in images.pictures):
        raise ValueError("it holds pictures whose names are none")
    if len({tuple(name for name, _ in key.texts) for key in (*keys, *images.batch)}) > 1:
        raise ValueError("its images do not have the same texts")
    if images.batch and not (set(keys) <= set(images.batch) and len(images.batch) <= _MOST_IMAGES):
        raise ValueError("its images are not of the batch that it names")
    if not 0 < len(keys) <= _MOST_IMAGES:
        raise ValueError("its number of images makes no sense")
    return images


def _key(data: Mapping[str, Any]) -> ImageKey:
    return ImageKey(
        prompt=str(data["prompt"]),
        seed=_whole(data, "seed", -_LARGEST_SEED, _LARGEST_SEED),
        sample=_whole(data, "sample", -_LARGEST_SEED, _LARGEST_SEED),
        label=None if data.get("label") is None else _whole(data, "label", 0, _MOST_CLASSES - 1),
        negative=None if data.get("negative") is None else str(data["negative"]),
        texts=tuple(_texts(data.get("texts", {})).items()),
    )


def _whole(data: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = data[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"its {name} is no whole number, or none that makes sense")
    return value


def _size(value: Any) -> tuple[int, ...]:
    size = checked_size(value)
    if math.prod(size) > MOST_PIXELS:
        raise ValueError(f"its images would have more than {MOST_PIXELS} pixels")
    return size


def _release(data: Mapping[str, Any]) -> Release:
    requires = data.get("requires")
    return Release(
        version=str(data["version"]),
        requires=None if requires is None else [str(requirement) for requirement in requires],
        files=_texts(data["files"]) if "files" in data else None,
    )


def _carried(data: Mapping[str, Any]) -> Carried:
    png = data.get("png")
    return Carried(str(data["sha256"]), None if png is None else str(png))


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in data.items()}
