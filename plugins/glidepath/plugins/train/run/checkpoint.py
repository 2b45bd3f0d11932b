"""Checkpoints of a training run: one safetensors file each, written whole or not at all.

A file holds the modules, their moving average and the optimizer's state as tensors, and everything else as
JSON in the header. Randomness needs no state: (seed, step) decide every draw of a step.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.registry import CannotWrite, list_names, utf_8_name, write_tensors

FORMAT = "glidepath-checkpoint-1"
_NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")


class CheckpointError(GlidepathError):
    """A checkpoint cannot be used; the message says which, and why."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint's file is cut short or garbled."""


@attrs.frozen(eq=False)
class TrainingCheckpoint:
    """Where a training run stood after `step` steps.

    tensors: by name, grouped by prefix: `model.`, `ema.`, `optimizer.`.
    meta: plain JSON: the resolved spec, the seed, the stage, the losses that were not logged yet, the steps
        that are left out, the newest figures of the log, and the versions of torch and of the distributions
        that supply parts.
    """

    step: int
    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Any]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix.`, without it."""
        start = prefix + "."
        return {
            name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)
        }


@attrs.frozen(eq=False)
class Newest:
    """What `newest` found.

    damaged: newer files that are not sound, each with the reason.
    """

    checkpoint: TrainingCheckpoint
    path: Path
    damaged: Mapping[Path, str]

    def set_damaged_aside(self) -> None:
        """Rename the damaged files, so that they do not count among those that are kept."""
        for path in self.damaged:
            path.replace(path.with_name(f"{path.name}.damaged"))


def save(
    folder: Path, checkpoint: TrainingCheckpoint, keep: int, *, hours: float = 0.0, best: str = ""
) -> Path:
    """Write a checkpoint and read it back, then delete those that are not kept.

    keep: so many of the newest are. hours: one of so many hours besides; 0: none.
    best: a figure of `meta["figures"]`; the one where it is lowest is kept besides. "": none.

    Raises:
        CheckpointError: it cannot be written, or is not on the disk what it was in memory; those before it
            are still there.
    """
    path = folder / f"checkpoint-{checkpoint.step:08d}.safetensors"
    header = {"format": FORMAT, "step": str(checkpoint.step), "meta": json.dumps(dict(checkpoint.meta))}
    try:
        write_tensors(path, checkpoint.tensors, header)
    except CannotWrite as error:
        raise CheckpointError(str(error)) from error
    _verify(path, checkpoint.tensors)
    for old in _surplus(folder, keep, hours, best):
        old.unlink()
    return path


def _verify(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Compare what is on the disk with what was to be written; a file that differs does not stay."""
    if hasattr(os, "posix_fadvise"):  # from the disk, and not from memory
        with suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        found = load(path).tensors
        wrong = [name for name, value in tensors.items() if not _same_bits(found[name], value.detach().cpu())]
        if found.keys() == tensors.keys() and not wrong:
            return
        why = f"{list_names(wrong)} differ" if wrong else "it has other tensors"
    except (CheckpointError, KeyError) as error:
        why = str(error)
    with suppress(OSError):
        path.unlink()
    raise CheckpointError(f"{path} was written, and what is on the disk is not what was to be there: {why}")


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether they are equal; NaN counts as itself."""
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())


def _surplus(folder: Path, keep: int, hours: float, best: str) -> list[Path]:
    """The checkpoints that are not kept."""
    there = existing(folder)
    kept = {*there[-keep:]}
    last = float("-inf")
    for path in there if hours else ():
        written = path.stat().st_mtime
        if written - last >= hours * 3600:
            kept.add(path)
            last = written
    if best:
        figures = {path: _figure(path, best) for path in there}
        kept.add(min(there, key=lambda path: figures[path]))
    return [path for path in there if path not in kept]


def _figure(path: Path, name: str) -> float:
    """A figure that a checkpoint carries; infinite where it has none, or cannot be read."""
    try:
        with utf_8_name(path) as text, safe_open(text, framework="pt") as file:
            return float(json.loads((file.metadata() or {})["meta"])["figures"][name])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return float("inf")


def load(path: Path) -> TrainingCheckpoint:
    """Read a checkpoint.

    Raises:
        DamagedCheckpoint: the file is cut short or garbled.
        CheckpointError: the file cannot be opened, or is no checkpoint of this version.
    """
    try:
        with utf_8_name(path) as name, safe_open(name, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise DamagedCheckpoint(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is no training checkpoint that this version reads: its header says "
            f"{header.get('format', 'no format')!r}, and not {FORMAT!r}"
        )
    try:
        step, meta = int(header["step"]), json.loads(header["meta"])
        losses = [*map(float, meta["unlogged"])]
        if not isinstance(meta["spec"], dict) or not isinstance(meta["stage"], str):
            raise TypeError("a spec is a mapping, and a stage a name")
        return TrainingCheckpoint(step, tensors, {**meta, "unlogged": losses})
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: its header does not describe a run ({error})") from error


def newest(folder: Path) -> Newest | None:
    """The newest checkpoint that can be read, or None where there are none at all.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged; or one is of another version.
    """
    damaged: dict[Path, str] = {}
    for path in reversed(existing(folder)):
        try:
            return Newest(load(path), path, damaged)
        except DamagedCheckpoint as error:
            damaged[path] = str(error)
    if damaged:
        said = ["no checkpoint can be read; delete them all to start anew:", *damaged.values()]
        raise CheckpointError("\n    ".join(said))
    return None


def existing(folder: Path) -> list[Path]:
    """The files of a folder that are named as checkpoints, oldest first."""
    return sorted((path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)), key=_step)


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None  # `existing` names only those
    return int(match[1])
