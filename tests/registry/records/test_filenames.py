"""What the files of images are called."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from glidepath.registry.records.filenames import film_name, free_names, numbered, separate_names


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def free(*prompts: str, film: bool = False, separate: bool = False) -> str:
    return next(free_names(prompts, [7, 12], 3, 11, film=film, separate=separate)).as_posix()


def test_a_file_is_called_after_its_prompt_and_seed() -> None:
    assert free("A red star, on the left!", "another") == "images/a-red-star-on-the-left-seed3.png"
    assert free("") == "images/image-seed3.png"
    assert free() == "images/class-7-class-12-seed3.png"
    assert len(free("word " * 100)) < 90


def test_a_name_is_free_when_nothing_that_goes_with_it_is_there(images: Path) -> None:
    (images / "star-seed3.png").touch()
    assert free("star") == "images/star-seed3-2.png"
    (images / "star-seed3-2-film.png").touch()
    assert free("star") == "images/star-seed3-2.png"
    assert free("star", film=True) == "images/star-seed3-3.png"
    (images / "star-seed3-3-10.png").touch()
    assert free("star", film=True, separate=True) == "images/star-seed3-4.png"


def test_names_go_with_the_image() -> None:
    out = Path("a/x.png")
    assert list(islice(numbered(out), 3)) == [out, Path("a/x-2.png"), Path("a/x-3.png")]
    assert film_name(out) == Path("a/x-film.png")
    assert separate_names(out, 2) == [Path("a/x-0.png"), Path("a/x-1.png")]
    assert separate_names(out, 11)[10] == Path("a/x-10.png")
    assert separate_names(out, 11)[3] == Path("a/x-03.png")
