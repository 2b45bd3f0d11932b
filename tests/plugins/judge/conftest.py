"""Folders of small pictures, and judgements of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from glidepath.plugins.judge.protocol.folder import Judgement, open_judgement
from glidepath.registry import Catalogue, load_catalogue
from glidepath.registry.cli import main

ARMS = {"brave": 90, "careful": 160}
"""Two arms, and how bright their pictures are."""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each arm with 12 pictures, each with its prompt beside it."""
    folder = tmp_path_factory.mktemp("drawn")
    for arm, bright in ARMS.items():
        (folder / arm).mkdir()
        for number in range(12):
            pixels = bytes(it for at in range(16 * 12) for it in (bright, (number * 20 + at) % 256, at))
            note = PngImagePlugin.PngInfo()
            note.add_itxt("Comment", f"made by {arm}")
            Image.frombytes("RGB", (16, 12), pixels).save(folder / arm / f"{number:02d}.png", pnginfo=note)
            text = f"scene {number // 2} <script>alert(1)</script>"
            (folder / arm / f"{number:02d}.txt").write_text(text)
    return folder


@pytest.fixture
def folders(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with these folders."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def made() -> dict[tuple[str, ...], Path]:
    """Judgements that were made before, by the words of the command."""
    return {}


@pytest.fixture
def make(
    folders: Path, made: dict[tuple[str, ...], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Judgement]:
    """Makes a judgement of them in `j` by the command, with more words."""

    def make(*words: str) -> Judgement:
        if words not in made:
            out = tmp_path_factory.mktemp("judgement") / "j"
            assert main(["judge", "new", *ARMS, "--question", "faithful", "--out", str(out), *words]) == 0
            made[words] = out
        shutil.copytree(made[words], "j")
        return reopened(Path("j"))

    return make


@cache
def catalogue() -> Catalogue:
    """What comes with glidepath."""
    return load_catalogue(no_plugins=True)


def reopened(folder: Path) -> Judgement:
    """A judgement, read from its folder."""
    return open_judgement(folder, catalogue())
