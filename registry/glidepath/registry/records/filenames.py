"""What the files of images are called: after what is drawn, and so that none is overwritten."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

IMAGES = Path("images")
"""The folder of images that are given no name, in the current directory."""


def free_names(
    prompts: Sequence[str], labels: Sequence[int], seed: int, count: int, *, film: bool, separate: bool
) -> Iterator[Path]:
    """Names for the PNG of `count` images under which nothing is overwritten: with -2, -3, ... if need be.

    film, separate: whether a strip of states and a file for each image are written too.
    """
    for out in numbered(IMAGES / f"{_slug(prompts, labels)}-seed{seed}.png"):
        if not any(path.exists() for path in written(out, count, film=film, separate=separate)):
            yield out


def written(out: Path, count: int, *, film: bool, separate: bool) -> list[Path]:
    """All files that are written for `count` images."""
    films = [film_name(out)] if film else []
    return [out, *films, *(separate_names(out, count) if separate else ())]


def numbered(path: Path) -> Iterator[Path]:
    """A path, then the same with -2, -3, ... behind its stem."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def film_name(out: Path) -> Path:
    """Where the strip of states goes."""
    return out.with_name(f"{out.stem}-film.png")


def separate_names(out: Path, count: int) -> list[Path]:
    """Where single images go."""
    digits = len(str(count - 1))
    return [out.with_name(f"{out.stem}-{index:0{digits}d}.png") for index in range(count)]


def _slug(prompts: Sequence[str], labels: Sequence[int]) -> str:
    text = prompts[0] if prompts else " ".join(map("class {}".format, labels))
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "image"


def picture_option(name: str) -> str:
    """How a picture is given to `glidepath sample`: "--low-res", "--input control"."""
    own = name in ("image", "mask", "low_res")
    return f"--{name.replace('_', '-')}" if own else f"--input {name}"
