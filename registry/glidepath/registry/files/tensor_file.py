"""Files of tensors: how they are read without running code, and what is wrong with one that cannot be."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core.errors import GlidepathError
from glidepath.registry.files.mapped import LENGTH_BYTES, Pages, map_tensors
from glidepath.registry.files.reading import open_file

if TYPE_CHECKING:
    from torch import Tensor

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_MOST_NAMES = 5
_DEEPEST = 8  # no training run nests its state dicts as deep
_LEAST_BYTES = 2  # of a number: in 8 bits it needs a scale, which a state dict does not have
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
_CUT_SHORT = re.compile(r"unexpected EOF|ran out of input|expected \d+ more bytes|central directory", re.I)


class WeightsError(GlidepathError):
    """A weights file cannot be found or read, or does not fit the parts."""


def read_tensors(path: Path, pages: Pages | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a PyTorch file read with weights_only, whatever it is called.

    pages: those of a safetensors file join it.

    Raises:
        WeightsError: the file is damaged, is something else, or holds something else than tensors.
    """
    state_dicts = read_state_dicts(path, pages=pages)
    if len(state_dicts) == 1:
        return next(iter(state_dicts.values()))
    raise WeightsError(
        f"{path} does not hold a flat mapping of names to tensors (a state dict): it holds state dicts under "
        f"{list_state_dicts(state_dicts)}; save the one that is meant in a file of its own"
    )


def read_state_dicts(
    path: Path, *, lists: bool = False, pages: Pages | None = None
) -> dict[str, dict[str, Tensor]]:
    """The flat mappings of names to tensors (state dicts) in a file, at least one, by where they are.

    That is "" for one that is all of the file, and the keys above the others, such as "model.state_dict".

    lists: lists of tensors below a key too, as averages are kept; the names are "0", "1" and so on.
    pages: those of a safetensors file join it.

    Raises:
        WeightsError: the file is damaged, is something else, or holds something else than tensors.
    """
    start = _start(path)
    # first: a header may be 128 bytes long, or so many more that its length begins as a pickle does
    if start[LENGTH_BYTES:].startswith(b"{"):
        return {"": _read_safetensors(path, pages or Pages())}
    if start.startswith((_ZIP, _PICKLE)):
        return _state_dicts(_read_pytorch(path, mapped=start.startswith(_ZIP)), path, lists)
    if path.suffix == ".safetensors":
        return {"": _read_safetensors(path, pages or Pages())}
    raise WeightsError(
        f"cannot read weights from {path}: it is no checkpoint: it begins neither as a safetensors file "
        "nor as one that PyTorch saved"
    )


def require_numbers(
    tensors: Mapping[str, Tensor], file: Path, part: str = "", pages: Pages | None = None
) -> None:
    """Refuse tensors that no network can hold. pages: of mapped ones, whose memory is given back.

    A sum shows at once whether all of a tensor is finite; where it is not, as it also may overflow, each
    element is looked at.

    Raises:
        WeightsError: some are of integers or of 8 bits, are sparse, are shapes alone, or hold NaN or infinite
            values; the first are named.
    """
    wrong = [f"{name} ({_dtype(value)})" for name, value in tensors.items() if not value.is_floating_point()]
    if wrong:
        raise WeightsError(
            f"{_of(file, part)} {_are(wrong, 'not of floating-point numbers')}: {list_names(wrong)}"
        )
    odd = [f"{name} ({oddity})" for name, value in tensors.items() if (oddity := _oddity(value))]
    if odd:
        raise WeightsError(
            f"{_of(file, part)} {_are(odd, 'not plainly of numbers of 16 bits or more')}: {list_names(odd)}"
        )
    bad = {}
    for name, value in tensors.items():
        if not bool(value.sum().isfinite()):
            bad[name] = value
        if pages is not None:
            pages(value)
    broken = [
        f"{name} ({count} of {value.numel()})"
        for name, value in bad.items()
        if (count := value.numel() - int(value.isfinite().sum()))
    ]
    if broken:
        raise WeightsError(
            f"{_of(file, part)} {_are(broken, 'NaN or infinite')}: {list_names(broken)}; "
            "it was saved from a training run that diverged, or is damaged"
        )


def list_names(names: Iterable[str], most: int = _MOST_NAMES) -> str:
    """The first of some names, and how many more there are."""
    listed = list(names)
    more = f", and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def list_state_dicts(state_dicts: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Where some state dicts are, and of how many tensors: "'model' (783 tensors), 'ema' (783 tensors)"."""
    return list_names(f"{name!r} ({len(tensors)} tensors)" for name, tensors in state_dicts.items())


def format_bytes(count: int) -> str:
    """A number of bytes in words: "96 bytes", "1.5 GB"."""
    size, units = float(count), ["kB", "MB", "GB", "TB"]
    if count < 1000:
        return f"{count} bytes"
    while size >= 999.5 and units:
        size /= 1000
        unit = units.pop(0)
    return f"{size:.3g} {unit}"


@contextmanager
def utf_8_name(path: Path) -> Iterator[Path]:
    """A name of a file for safetensors, which opens no other than UTF-8: its own, where that is so.

    Raises:
        OSError: the file cannot be opened.
    """
    if str(path).encode(errors="replace") == os.fsencode(path):
        yield path
    else:
        with path.open("rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")


def _start(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"cannot read weights from {path}: {error.strerror or error}") from error
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    reasons = {
        "it is empty": not start,
        "it is a web page (HTML), not a checkpoint; download the file itself": text.startswith(
            (b"<!doctype", b"<html", b"<head", b"<?xml")
        ),
        "it is a Git LFS pointer, which stands for the file; get the file itself with `git lfs pull`": (
            text.startswith(b"version https://git-lfs")
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise WeightsError(f"cannot read weights from {path}: {reason}")
    return start


def _read_safetensors(path: Path, pages: Pages) -> dict[str, Tensor]:
    from safetensors import safe_open

    try:
        with utf_8_name(path) as name, safe_open(name, framework="pt") as file:
            return map_tensors(path, file.keys(), pages)
    except Exception as error:
        raise WeightsError(
            f"cannot read weights from {path}: it is cut short or damaged ({error}); get it again"
        ) from error


def _read_pytorch(path: Path, *, mapped: bool) -> Any:
    import torch

    try:
        if mapped:
            if not zipfile.is_zipfile(path):  # it raises what ZipFile does
                size = format_bytes(path.stat().st_size)
                what = "and the directory that ends such a file is missing; get it again"
                raise ValueError(f"it is cut short: {size}, {what}")
            with zipfile.ZipFile(path) as archive:
                if packed := [it.filename for it in archive.infolist() if it.compress_type]:
                    raise ValueError(f"{packed[0]} in it is compressed, as nothing is that PyTorch saves")
        if path.suffix == ".safetensors":  # torch would believe the name
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:
        raise WeightsError(f"cannot read weights from {path}: {_pytorch_problem(error)}") from error


def _pytorch_problem(error: Exception) -> str:
    message = str(error)
    refused = _REFUSED.search(message)
    if refused or "Weights only load failed" in message:
        what = f"such as {refused[1]}" if refused else "which weights_only refuses"
        return (
            f"it holds Python objects beside tensors, {what}; reading those can run code, so nothing of it "
            "was read. Whoever made it can save the tensors alone: torch.save(model.state_dict(), ...)"
        )
    if _CUT_SHORT.search(message) or isinstance(error, EOFError):
        return f"it is cut short or damaged ({message.splitlines()[0] if message else 'it ends too early'})"
    return message.splitlines()[0] if message else type(error).__name__


def _state_dicts(content: Any, path: Path, lists: bool) -> dict[str, dict[str, Tensor]]:
    """The state dicts in what a file holds, by where they are: below mappings that hold no tensors."""
    import torch

    dicts: dict[str, dict[str, Tensor]] = {}
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), content)]
    seen = set[int]()
    for keys, value in waiting:
        if lists and keys and isinstance(value, list | tuple):
            value = {str(index): item for index, item in enumerate(value)}
            if _is_state_dict(value):
                dicts[".".join(map(str, keys))] = value
            continue
        if id(value) in seen or not isinstance(value, Mapping) or _is_optimizer(value):
            continue
        seen.add(id(value))  # a pickle may hold a mapping that holds itself
        if _is_state_dict(value):
            dicts[".".join(map(str, keys))] = dict(value)
        elif len(keys) < _DEEPEST and not any(isinstance(inner, torch.Tensor) for inner in value.values()):
            waiting += [((*keys, key), inner) for key, inner in value.items()]
    if not dicts:
        raise WeightsError(
            f"{path} does not hold a flat mapping of names to tensors (a state dict): {_holds(content)}"
        )
    return dicts


def _is_optimizer(content: Mapping[Any, Any]) -> bool:
    return {"state", "param_groups"} <= content.keys()


def _is_state_dict(content: Any) -> bool:
    import torch

    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items())
    )


def _holds(content: Any) -> str:
    """What a PyTorch file holds in place of a state dict."""
    import torch

    if not isinstance(content, Mapping):
        return f"it holds a {type(content).__name__}"
    if not content:
        return "it holds nothing"
    if _is_optimizer(content):
        return "it holds the state of an optimizer; the weights are in another file"
    others = [
        f"{name!r} ({type(value).__name__})"
        for name, value in content.items()
        if not isinstance(value, torch.Tensor)
    ]
    if others:
        return f"it {'also ' if len(others) < len(content) else ''}holds {list_names(others)}"
    return f"it holds tensors under keys that are no text, such as {next(iter(content))!r}"


def _of(file: Path, part: str) -> str:
    return f"the weights of {part} in {file}:" if part else f"{file}:"


def _are(names: list[str], what: str) -> str:
    return f"1 tensor is {what}" if len(names) == 1 else f"{len(names)} tensors are {what}"


def _oddity(tensor: Tensor) -> str:
    """What keeps a tensor from being plain numbers that a network computes with; "" where nothing does."""
    import torch

    if tensor.is_meta:
        return "a shape alone, of the device meta"
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return _dtype(tensor) if tensor.itemsize < _LEAST_BYTES else ""


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
