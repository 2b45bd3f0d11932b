"""A published checkpoint as it lies on the disk: its tensors, and what they are of."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.convert.networks import Network, is_list, likely, networks
from glidepath.plugins.convert.recognise import Recognised, recognise
from glidepath.plugins.convert.shards import read_files
from glidepath.registry import format_bytes, list_state_dicts, require_numbers

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen(eq=False)
class Checkpoint:
    """A checkpoint that was read and recognised.

    head: the names of tensors of it that no image is made with.
    others: the names of tensors that were beside it in the file, averages and counters say.
    """

    path: Path
    tensors: dict[str, Tensor]
    found: Recognised
    head: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it holds, how many parameters, in which precisions, in how many bytes."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors.values():
            sizes[str(tensor.dtype).removeprefix("torch.")] += tensor.numel() * tensor.element_size()
        count = sum(tensor.numel() for tensor in self.tensors.values())
        parts = ", ".join(f"{format_bytes(size)} of {dtype}" for dtype, size in sizes.most_common())
        return f"{self.found.name}: {count:,} parameters, {parts}"


def read_checkpoints(paths: Iterable[Path], key: str | None = None) -> list[Checkpoint]:
    """Read checkpoints, find out what each is, and look at every number in them.

    key: where the tensors are in a file that holds several networks, as a training run keeps them.

    Raises:
        GlidepathError: one cannot be read, is of no known model, or holds what no network can use.
    """
    return [_checkpoint(path, found, key) for path, found in read_files(paths)]


def _checkpoint(path: Path, found: Mapping[str, Mapping[str, Tensor]], key: str | None) -> Checkpoint:
    there = networks(found)
    if key is not None:
        exact = [it for it in there if it.where == key]
        there = exact or [it for it in there if key in found and it.where.startswith(f"{key}.")]
    if key is not None and not there and key not in found:
        listed = _listed(networks(found)) or list_state_dicts(found)
        where = "is one itself: leave out --key" if "" in found else f"holds them under {listed}"
        raise GlidepathError(f"{path} holds no state dict under {key!r}; it {where}")
    if len(there) > 1 or (not there and key is None and len(found) > 1):
        listed = _listed(there) or list_state_dicts(found)
        last = there[-1].where if there else [*found][-1]
        raise GlidepathError(
            f"{path} holds state dicts under {listed}; say which is meant, as in --key {shlex.quote(last)}"
        )
    where = key if key is not None and key in found else next(iter(found))
    if not there and is_list(found[where]):
        raise GlidepathError(
            f"{path} holds {len(found[where])} tensors without names under {where!r}, those of a "
            "model that is not in it; give a file that has the model too"
        )
    network = there[0] if there else likely(where, found[where])
    shapes = {name: tuple(tensor.shape) for name, tensor in network.tensors.items()}
    of = f" under {network.where!r}" if network.where else ""
    checkpoint = Checkpoint(
        path, network.tensors, recognise(shapes, f"{path}{of}"), network.head, network.others
    )
    require_numbers(network.tensors, path)
    return checkpoint


def _listed(there: Sequence[Network]) -> str:
    return list_state_dicts({it.where or "(no prefix)": it.tensors for it in there}) if there else ""
