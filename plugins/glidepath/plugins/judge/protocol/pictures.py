"""The pictures that are judged: of a study, or of folders, by their records and names."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.registry import (
    PICTURE_SUFFIXES,
    Catalogue,
    ImageError,
    files_of,
    read_lines,
    read_manifest,
    read_text,
)

LIST = "pictures.jsonl"
"""A list of the pictures in a folder, as `glidepath study export --pictures` writes it."""
GRAPH = "graph.json"
"""What the folder of a study's results has."""

_MOST_TEXT = 2**16


@attrs.frozen
class Source:
    """A picture before it is judged.

    noise: what it started from, the same text for pictures of several arms that started alike; "" where that
        is not known.
    """

    file: Path
    arm: str
    prompt: str
    noise: str


def collect(paths: Sequence[Path], scratch: Path, catalogue: Catalogue) -> list[Source]:
    """The pictures of studies and folders; those of a study are written below `scratch`.

    A folder is an arm, named like it. Of a picture that glidepath made, its record says prompt, seed and
    sample. Of another, the text beside it (`NAME.txt`) is its prompt, or that beside the one of its name in
    another folder, and those of one name in several folders belong together.

    Raises:
        GlidepathError: a path has no pictures, or is no study and no folder.
    """
    found: list[Source] = []
    for number, path in enumerate(paths):
        if not path.exists():
            raise GlidepathError(f"there is no study and no folder {path}")
        if path.is_dir() and not (path / GRAPH).is_file():
            some = list(_listed(path) if (path / LIST).is_file() else _named(path, paths))
        else:
            some = _of_study(path, scratch / str(number), catalogue)
        if not some:
            raise GlidepathError(f"{path} has no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        found += some
    return found


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Where the pictures of studies are until they are copied."""
    return tempfile.TemporaryDirectory(prefix="glidepath-judge-")


def _of_study(path: Path, folder: Path, catalogue: Catalogue) -> list[Source]:
    """By the command of the plugin that knows how studies are kept; it names a folder that will be gone."""
    command = catalogue.command_source("glidepath-diffusion/study").item.target
    module, _, name = command.partition(":")
    run = getattr(import_module(module), name)
    with contextlib.redirect_stderr(io.StringIO()):
        run(["export", str(path), "--pictures", str(folder)])
    found = list(_listed(folder))
    print(f"{len(found)} images of {path}", file=sys.stderr)
    return found


def _listed(folder: Path) -> Iterator[Source]:
    path = folder / LIST
    try:
        lines = read_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise GlidepathError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        said = _json(line)
        texts = [said.get(key) for key in ("file", "arm", "prompt")]
        if not all(isinstance(it, str) for it in texts):
            raise GlidepathError(
                f'{path}:{number} is no picture: a line is {{"file": ..., "arm": ..., "prompt": ...}}, with '
                '"train_seed", "seed" and "sample" where they are known'
            )
        file, arm, prompt = map(str, texts)
        seeds = [said.get(key) for key in ("train_seed", "seed", "sample")]
        noise = "/".join(str(it) for it in seeds) if seeds[1] is not None else ""
        yield Source(_inside(folder, file, f"{path}:{number}"), arm, prompt, noise)


def _inside(folder: Path, name: str, place: str) -> Path:
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise GlidepathError(f"{place} names {name}, which is not in the folder")
    return file


def _named(folder: Path, others: Sequence[Path]) -> Iterator[Source]:
    alone = [it.resolve().name for it in others].count(folder.resolve().name) == 1
    arm = folder.resolve().name if alone else str(folder)
    for name, file in files_of(folder).items():
        if file.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        record = _record(file)
        if record is not None:
            yield Source(file, arm, record["prompt"], f"{record['seed']}/{record['sample']}")
            continue
        stem = name.rpartition(".")[0]
        yield Source(file, arm, _text(folder, stem) or _text_elsewhere(others, stem), stem)


def _text_elsewhere(folders: Sequence[Path], stem: str) -> str:
    """The prompt that the folders have for pictures of a name; "" where they have none, or several."""
    said = {_text(folder, stem) for folder in folders} - {""}
    return said.pop() if len(said) == 1 else ""


def _text(folder: Path, stem: str) -> str:
    """What stands in NAME.txt; "" where there is none."""
    file = folder / f"{stem}.txt"
    try:
        return " ".join(read_text(file, _MOST_TEXT).split()) if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise GlidepathError(f"cannot read {file}: {error}") from error


def _record(file: Path) -> dict[str, Any] | None:
    """What a picture of glidepath says of itself; None of another, and of one that shows several."""
    if file.suffix.lower() != ".png":
        return None
    try:
        _, manifest = read_manifest(file)
    except ImageError:
        return None
    shots = manifest.get("shots")
    if not isinstance(shots, list) or len(shots) != 1 or not isinstance(shots[0], dict):
        return None
    shot: dict[str, Any] = shots[0]
    known = isinstance(shot.get("prompt"), str) and {"seed", "sample"} <= shot.keys()
    return shot if known else None


def _json(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
