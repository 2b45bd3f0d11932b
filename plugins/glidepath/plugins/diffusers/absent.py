"""What an imported spec names and is not there. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from glidepath.plugins.diffusers.contracts import WORDS, without_words
from glidepath.registry import WeightsError, weight_files

_WEIGHTS = "weights"
_FILES = ("config", "processor", "tokenizer", _WEIGHTS)
_ELSEWHERE = ("package:", "${")


def absent(spec: Mapping[str, Any], located: Callable[[str], Path]) -> Iterator[str]:
    """A line for each file or folder that a part of the spec reads, and that is not there.

    located: where one is that the spec names.
    """
    for path, part in _parts(spec, ""):
        told = set[Path]()
        for key in (key for key in _FILES if part.get(key) is not None):
            given = part[key] if isinstance(part[key], Mapping) else {"path": part[key]}
            if given["path"].startswith(_ELSEWHERE):
                continue
            place = located(given["path"])
            if not place.exists():
                missing = place if place.parent.is_dir() else place.parent
                if missing not in told:
                    told.add(missing)
                    yield f"{path}.{key}: there is no file or folder {missing}"
            elif part["use"] in WORDS and key == "tokenizer":
                if fault := without_words(place, part["use"]):
                    yield f"{path}.{key}: {fault}"
            elif key == _WEIGHTS:
                yield from (f"{path}.{key}: {what}" for what in _lacks(place, given.get("variant", "")))


def _lacks(place: Path, variant: str) -> Iterator[str]:
    """What of weights is not at a place that is there: all of them, or some shards."""
    try:
        yield from (f"there is no file {file}" for file in weight_files(place, variant) if not file.is_file())
    except WeightsError as error:
        yield str(error)


def _parts(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parts in a spec, with their dotted paths."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _parts(item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        if "use" in value:
            yield path, value
        for key, item in value.items():
            yield from _parts(item, f"{path}.{key}" if path else key)
