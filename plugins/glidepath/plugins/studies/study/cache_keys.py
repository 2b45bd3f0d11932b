"""What decides the result of a part, as values that can be hashed: its parameters, its files, its code.

The key of a node is made of these in graph.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from glidepath.core import GlidepathError
from glidepath.registry import (
    Address,
    Catalogue,
    PartPlan,
    file_sha256,
    files_of,
    flat_parts,
    part_tree,
    weights_sha256,
)

CORE = "glidepath.core"


def digest(value: object) -> str:
    """SHA-256 of a value that JSON has, the same for the same value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def described(part: PartPlan | tuple[PartPlan, ...], catalogue: Catalogue) -> Any:
    """A part with every default written out, files by their contents, and the code that is behind it."""
    tree = part_tree(part, _contents)
    for inner, written in _beside(part, tree):
        if inner.weights is not None:
            written["weights"] = weights_digest(inner.weights, catalogue)
        # which the tree has by their addresses
        elsewhere = [(path, it) for path, it in inner.assets.items() if it.scheme != "file"]
        if elsewhere:
            written["assets"] = {str(it): _contents(path) for path, it in elsewhere}
    code = {}
    for inner in flat_parts({"": part}):
        owner = inner.registered
        code[f"{owner.distribution}/{owner.plugin}"] = code_of(owner.version, owner.file)
    return {"spec": tree, "code": code}


def code_of(version: str, file: str) -> dict[str, str]:
    """The version of a plugin, and the digest of the Python files beside its module."""
    return {"version": version, "source": source_digest(Path(file).parent)}


@cache
def source_digest(folder: Path) -> str:
    """The digest of the Python files in a package, by name and content; read once in a process."""
    files = sorted(folder.rglob("*.py"))
    return digest({file.relative_to(folder).as_posix(): file_sha256(file) for file in files})


@cache
def core_digest() -> str:
    """The digest of the interfaces and the pipeline, which have a part in every image."""
    import importlib.util

    spec = importlib.util.find_spec(CORE)
    assert spec is not None
    assert spec.origin is not None  # it is a package, and imported already
    return source_digest(Path(spec.origin).parent)


def weights_digest(address: Address, catalogue: Catalogue) -> str:
    """The SHA-256 of a file of weights; of one that is not there, or on a hub, what is known of it."""
    if address.sha256:
        return address.sha256.lower()
    if address.scheme == "hub":
        return f"{address}@{address.revision or 'main'}"
    try:
        return weights_sha256(address, catalogue)
    except (GlidepathError, OSError):
        return f"absent: {address}"


def differences(one: Any, other: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Where two preimages differ: (dotted path, in the one, in the other); a missing value is None."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found = []
        for key in dict.fromkeys([*one, *other]):
            inner = f"{path}.{key}" if path else str(key)
            found += differences(one.get(key), other.get(key), inner)
        return found
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            it
            for index, pair in enumerate(zip(one, other, strict=True))
            for it in differences(*pair, f"{path}[{index}]")
        ]
    return [] if one == other else [(path, one, other)]


def _contents(path: PurePath) -> str:
    """The digest of a file, or of all that is in a folder."""
    place = Path(path)
    if place.is_file():
        return f"sha256:{file_sha256(place)}"
    if place.is_dir():
        return f"sha256:{digest({name: file_sha256(file) for name, file in files_of(place).items()})}"
    return f"absent: {path}"


def _beside(part: PartPlan | tuple[PartPlan, ...], tree: Any) -> Iterator[tuple[PartPlan, dict[str, Any]]]:
    """Each part, those inside parts too, with its piece of the resolved tree."""
    if isinstance(part, tuple):
        for one, piece in zip(part, tree, strict=True):
            yield from _beside(one, piece)
        return
    yield part, tree
    for name, inner in part.parts.items():
        yield from _beside(inner, tree[name])
