"""Checkpoints of a training run: one safetensors file each, written whole or not at all.

A file holds the modules, their moving average and the optimizer's state as tensors, and everything else as
JSON in the header. Randomness needs no state: (seed, step) decide every draw of a step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.registry import CannotWrite, utf_8_name, write_tensors

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
    meta: plain JSON: the resolved spec, the seed, the stage, the losses that were not logged yet, and the
        versions of torch and of the distributions that supply parts.
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


def save(folder: Path, checkpoint: TrainingCheckpoint, keep: int) -> Path:
    """Write a checkpoint, then delete all but the newest `keep`.

    Raises:
        CheckpointError: it cannot be written; those before it are still there.
    """
    path = folder / f"checkpoint-{checkpoint.step:08d}.safetensors"
    header = {"format": FORMAT, "step": str(checkpoint.step), "meta": json.dumps(dict(checkpoint.meta))}
    try:
        write_tensors(path, checkpoint.tensors, header)
    except CannotWrite as error:
        raise CheckpointError(str(error)) from error
    for old in existing(folder)[:-keep]:
        old.unlink()
    return path


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
