"""Weights that lie in several files, or in a folder: which files those are, and their tensors together."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry.files.mapped import Pages
from glidepath.registry.files.reading import read_bytes
from glidepath.registry.files.tensor_file import WeightsError as WeightsError
from glidepath.registry.files.tensor_file import list_names, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

WEIGHT_EXTENSIONS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
"""Of files of weights. Of several in a folder, the first of these is read."""

_EXTENSION = "|".join(re.escape(extension) for extension in WEIGHT_EXTENSIONS)
_FILE = re.compile(rf"[^.]+(?:\.(?P<variant>[\w-]+))?(?P<end>{_EXTENSION})")
_INDEX = re.compile(
    rf"[^.]+(?:\.(?P<old>[\w-]+))?(?P<end>{_EXTENSION})\.index(?:\.(?P<variant>[\w-]+))?\.json"
)
_SHARD = re.compile(r"-\d+-of-\d+(?=\.)")
_LARGEST_INDEX = 64 * 2**20


def is_index(name: str) -> bool:
    """Whether a file is, by its name, an index that says which tensor is in which file."""
    return re.fullmatch(r".+\.index(\.[\w-]+)?\.json", name) is not None


def weight_files(path: Path, variant: str = "") -> Mapping[Path, frozenset[str]]:
    """The files behind a file of weights, an index or a folder, with the tensors that each must hold.

    Those are none where no index names them. Reads no tensor. variant: of several sets in a folder ("fp16").

    Raises:
        WeightsError: there is no such file, or it is not to be told which of a folder's files is meant.
    """
    if os.path.isdir(path):
        return weight_files(path / choose_weights(os.listdir(path), variant, str(path)))
    if is_index(path.name):
        return {path.with_name(name): names for name, names in read_index(path).items()}
    _require_file(path)
    return {path: frozenset()}


def choose_weights(names: Collection[str], variant: str, where: str) -> str:
    """The file of weights, or the index of several, among the names of files in a folder.

    Raises:
        WeightsError: there is none, or there are several. where: the folder, for the message.
    """
    found: dict[str, tuple[int, bool]] = {}
    variants: set[str] = set()
    for name in sorted(names):
        match = _INDEX.fullmatch(name) or (None if _SHARD.search(name) else _FILE.fullmatch(name))
        if match is None:
            continue
        own = match["variant"] or match.groupdict().get("old") or ""
        if own == variant:
            found[name] = (WEIGHT_EXTENSIONS.index(match["end"]), is_index(name))
        elif own:
            variants.add(own)
    best = [name for name, rank in found.items() if rank == min(found.values())]
    if len(best) == 1:
        return best[0]
    if best:
        raise WeightsError(
            f"{where} has several files of weights: {list_names(best)}; name the one that is meant"
        )
    what = f"{where} has no file of weights" + (f" of the variant {variant!r}" if variant else "")
    if variants:
        what += f"; it has those of the variant {list_names(sorted(variants))}: {{path: ..., variant: ...}}"
    raise WeightsError(what)


def read_index(path: Path) -> dict[str, frozenset[str]]:
    """The files that an index names, which are beside it, with the names of the tensors in each.

    Raises:
        WeightsError: it cannot be read, or names none, or one that is elsewhere.
    """
    _require_file(path)
    files: dict[str, set[str]] = {}
    try:
        for key, name in json.loads(read_bytes(path, _LARGEST_INDEX))["weight_map"].items():
            if not isinstance(name, str) or name in ("", "..") or Path(name).name != name or "\\" in name:
                raise ValueError(f"{name!r} is not the name of a file beside it")
            files.setdefault(name, set()).add(key)
        if not files:
            raise ValueError("it names no file")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what = f"it has no {error}" if isinstance(error, LookupError) else error
        raise WeightsError(f"{path} is no index of a checkpoint: {what}") from error
    return {name: frozenset(keys) for name, keys in files.items()}


def read_together(files: Mapping[Path, Collection[str]], pages: Pages | None = None) -> dict[str, Tensor]:
    """The tensors of all files. Those of safetensors files are mapped into memory, and join `pages`.

    files: with the names of tensors that each must hold, beside others.

    Raises:
        WeightsError: one is not there, is damaged, lacks what it must hold, or holds what another does.
    """
    joined: dict[str, Tensor] = {}
    for path, names in files.items():
        _require_file(path)
        tensors = read_tensors(path, pages)
        if twice := joined.keys() & tensors.keys():
            raise WeightsError(f"{path} holds what another of the files holds: {list_names(sorted(twice))}")
        if lacking := set(names) - tensors.keys():
            raise WeightsError(f"{path} lacks what its index names: {list_names(sorted(lacking))}")
        joined |= tensors
    return joined


def _require_file(path: Path) -> None:
    if os.path.isdir(path):
        raise WeightsError(f"{path} is a folder; name the checkpoint in it")
    if not os.path.isfile(path):
        raise WeightsError(f"there is no weights file {path}")
