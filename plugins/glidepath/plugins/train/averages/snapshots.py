"""Averages that a run kept, in files, and an average of another length made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.train.averages.power import LONGEST, PowerAverages, shares_of
from glidepath.plugins.train.scale.shards import gathered
from glidepath.registry import utf_8_name, write_tensors

FOLDER = "averages"
_NAME = re.compile(r"average-(0\.\d+)-step-(\d+)\.safetensors")


@attrs.frozen(order=True)
class Snapshot:
    """The file of an average of a `length` after `step` steps."""

    step: int
    length: float
    path: Path


def keep(
    folder: Path,
    step: int,
    averages: PowerAverages,
    exported: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    *,
    writes: bool = True,
) -> None:
    """Write what a run of this folder averaged until a step; every process of the run has to ask.

    exported: which weights are kept, and under which names. writes: whether this process writes.

    Raises:
        CannotWrite: a file cannot be written.
    """
    for length, average in zip(averages.lengths, averages.averages, strict=True):
        whole = gathered(average, kept=writes)
        if writes:
            path = folder / FOLDER / f"average-{length:g}-step-{step:08d}.safetensors"
            path.parent.mkdir(exist_ok=True)
            header = {"format": "glidepath-average-1", "step": str(step), "length": f"{length:g}"}
            write_tensors(path, exported(whole), header)


def snapshots(folder: Path) -> list[Snapshot]:
    """Those of a run's folder, by step and length."""
    found = [(_NAME.fullmatch(path.name), path) for path in (folder / FOLDER).glob("average-*")]
    return sorted(Snapshot(int(it[2]), float(it[1]), path) for it, path in found if it)


def averaged(folder: Path, length: float, step: int | None, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a run as an average of a length at a step (None: the last that was kept).

    whole: all of its weights; what did not learn is as it is there, and so is every dtype.

    Raises:
        GlidepathError: the run kept no averages, or none until then; or one cannot be read.
    """
    if not 0 < length < LONGEST:
        raise GlidepathError(f"a length is above 0 and below {LONGEST}, not {length:g}")
    kept = snapshots(folder)
    if not kept:
        raise GlidepathError(
            f"{folder} kept no averages to make another one of; train with train.ema_lengths=[0.05,0.1]"
        )
    last = kept[-1].step if step is None else step
    kept = [it for it in kept if it.step <= last]
    if not kept:
        raise GlidepathError(f"{folder} kept no average until step {last}; the first is of a later step")
    shares = shares_of([(it.step, it.length) for it in kept], [(last, length)])[:, 0].tolist()
    with ExitStack() as stack:
        files = []
        for it in kept:
            try:
                name = stack.enter_context(utf_8_name(it.path))
                files.append(stack.enter_context(safe_open(name, framework="pt")))
            except (SafetensorError, OSError) as error:
                raise GlidepathError(f"cannot read {it.path}: {error}") from error
        learned = set(files[0].keys())
        if not learned & whole.keys():
            raise GlidepathError(f"what {folder} averaged are none of its trained weights")
        return {
            name: _sum(files, shares, name).to(value.dtype) if name in learned else value
            for name, value in whole.items()
        }


def _sum(files: list[safe_open], shares: list[float], name: str) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for file, share in zip(files, shares, strict=True):
        total = total + share * file.get_tensor(name).double()  # type: ignore[no-untyped-call]
    return total
