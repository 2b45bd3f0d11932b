"""Files of an image, found again in folders of models: by their names there, and by what is in them."""

from __future__ import annotations

import copy
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import attrs

from glidepath.registry.files.hashing import file_sha256, together_sha256
from glidepath.registry.files.reading import files_of
from glidepath.registry.files.shards import weight_files
from glidepath.registry.files.tensor_file import WeightsError
from glidepath.registry.records.manifest import Manifest
from glidepath.registry.spec.overrides import Override, option_override
from glidepath.registry.text.tree import join_path


def find_again(then: Manifest, beside: Path, models: Sequence[Path]) -> list[Override]:
    """Overrides of a manifest's spec: for each file or folder that it names, where in `models` that is.

    What has the recorded content comes before what has the name. Nothing is overridden that is found, with
    that content, below the current folder or `beside`, or that is nowhere.
    """
    if not models:
        return []
    search = _Search([folder.absolute() for folder in models])
    overrides = []
    for wanted in _wanted(then):
        here = [path for path in _own(wanted.name, beside) if path.exists()]
        if any(map(wanted.is_it, here)):
            continue
        candidates = list(search.candidates(wanted.name))
        found = next(filter(wanted.is_it, candidates), None if here else next(iter(candidates), None))
        if found is not None:
            overrides.append(option_override(wanted.key, "--models", str(found)))
    return overrides


def absent(then: Manifest, beside: Path) -> list[str]:
    """What a manifest names that is neither below the current folder nor `beside`."""
    names = dict.fromkeys(wanted.name for wanted in _wanted(then))
    return [name for name in names if not any(map(Path.exists, _own(name, beside)))]


def _own(name: str, beside: Path) -> list[Path]:
    return [Path(name), beside / name, beside / Path(name).name]


def pinned(then: Manifest) -> Mapping[str, Any]:
    """The spec of a manifest in which each address of a hub has its sha256, which says what is fetched."""
    spec = copy.deepcopy(dict(then.spec))
    for key, hashes, _ in _recorded(then):
        written = _at(spec, key)
        entry = dict(written) if isinstance(written, dict) else {"path": written}
        if str(entry.get("path")).startswith("hub:"):
            holder, _, name = key.rpartition(".")
            place = _at(spec, holder)
            if isinstance(place, dict):
                place[name] = {"sha256": together_sha256(hashes), **entry}
    return spec


@attrs.frozen
class _Wanted:
    """A file or folder that a spec names. key: where it does. hashes: of its files, by their names in it.

    variant: which of the weights in a folder; None for what are no weights.
    """

    key: str
    name: str
    hashes: Mapping[str, str]
    variant: str | None = None

    def is_it(self, path: Path) -> bool:
        """Whether a path has the recorded content."""
        try:
            if self.variant is None:
                return {name: file_sha256(file) for name, file in files_of(path).items()} == self.hashes
            files = weight_files(path, self.variant)
            return together_sha256({file.name: file_sha256(file) for file in files}) == self.hashes[""]
        except (OSError, WeightsError):
            return False


@attrs.define
class _Search:
    """What is below some folders, by the last name; they are walked through once, where they must be."""

    folders: Sequence[Path]
    _by_name: dict[str, list[Path]] | None = None

    def candidates(self, name: str) -> Iterator[Path]:
        """What the name may mean: as it is, without its first folders, then anything with its last name."""
        parts = PurePosixPath(name).parts
        for folder in self.folders:
            for start in range(len(parts)):
                path = folder.joinpath(*parts[start:])
                if path.exists():
                    yield path
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for folder in self.folders:
                for base, folders, files in os.walk(folder):
                    folders[:] = sorted(name for name in folders if not name.startswith("."))
                    for entry in (*folders, *sorted(files)):
                        self._by_name[entry].append(Path(base, entry))
        yield from self._by_name.get(parts[-1], [])


def _wanted(then: Manifest) -> Iterator[_Wanted]:
    for key, hashes, are_weights in _recorded(then):
        written, variant = _at(then.spec, key), ""
        if isinstance(written, dict):
            key, variant, written = (
                join_path(key, "path"),
                str(written.get("variant", "")),
                written.get("path"),
            )
        if not isinstance(written, str) or ":" in written:
            continue
        path = PureWindowsPath(written)  # splits at both kinds of slash
        if path.parts and not path.root and ".." not in path.parts and written.isprintable():
            yield _Wanted(key, written, hashes, variant if are_weights else None)


def _recorded(then: Manifest) -> Iterator[tuple[str, Mapping[str, str], bool]]:
    """Where the spec names what is recorded, the hashes of its files by name, and whether it is weights."""
    for path, hash_ in then.weights.items():
        yield join_path(path, "weights"), {"": hash_}, True
    assets: dict[str, dict[str, str]] = defaultdict(dict)
    for path, hash_ in (then.files or {}).items():
        key, _, name = path.partition("/")
        assets[key][name] = hash_
    for key, hashes in assets.items():
        yield key, hashes, False


def _at(tree: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    try:
        for step in filter(None, re.split(r"[.\[\]]", path)):
            tree = tree[int(step) if isinstance(tree, list) else step]
    except (LookupError, TypeError, ValueError):
        return None
    return tree
