"""A published checkpoint as it lies on the disk: its tensors, and what they are of."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.convert.recognise import Recognised, Unrecognised, recognise
from glidepath.registry import format_bytes, list_state_dicts, read_state_dicts, require_numbers

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What stands before every key of a network that was trained in DataParallel, compiled, or by Lightning."""


_TOKENS = "token_embedding.weight"
_LANGUAGE_HEAD = ("unemb.weight", "unemb.bias")
"""What names the tokens of the text, in a GLIDE that was trained to do that too; images need none of it."""


@attrs.frozen(eq=False)
class Checkpoint:
    """A checkpoint that was read and recognised.

    left_out: the names of tensors that were in it, and that no image is made with.
    """

    path: Path
    tensors: dict[str, Tensor]
    found: Recognised
    left_out: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it holds, how many parameters, in which precisions, in how many bytes."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors.values():
            sizes[str(tensor.dtype).removeprefix("torch.")] += tensor.numel() * tensor.element_size()
        count = sum(tensor.numel() for tensor in self.tensors.values())
        parts = ", ".join(f"{format_bytes(size)} of {dtype}" for dtype, size in sizes.most_common())
        return f"{self.found.name}: {count:,} parameters, {parts}"


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read a checkpoint, find out what it is, and look at every number in it.

    key: where the tensors are in a file that holds several state dicts, as a training run keeps them.

    Raises:
        GlidepathError: it cannot be read, is of no known model, or holds what no network can use.
    """
    if path.is_dir():
        raise GlidepathError(f"{path} is a folder; name the checkpoint in it")
    if not path.exists():
        raise GlidepathError(f"there is no file {path}")
    found = read_state_dicts(path)
    if key is not None and key not in found:
        where = (
            "is one itself: leave out --key" if "" in found else f"holds them under {list_state_dicts(found)}"
        )
        raise GlidepathError(f"{path} holds no state dict under {key!r}; it {where}")
    candidates = list(found.values()) if key is None else [found[key]]
    if len(candidates) > 1:
        candidates = [tensors for tensors in candidates if _is_recognised(tensors)]
    if len(candidates) != 1:
        raise GlidepathError(
            f"{path} holds state dicts under {list_state_dicts(found)}; say which is meant, as in --key "
            f"{shlex.quote(next(reversed(found)))}"
        )
    tensors, left_out = _bare(candidates[0])
    checkpoint = Checkpoint(path, tensors, _recognised(tensors, path), left_out)
    require_numbers(tensors, path)
    return checkpoint


def _is_recognised(tensors: Mapping[str, Tensor]) -> bool:
    try:
        _recognised(_bare(tensors)[0], Path())
    except Unrecognised:
        return False
    return True


def _recognised(tensors: Mapping[str, Tensor], path: Path) -> Recognised:
    return recognise({name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(path))


def _bare(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of the network by its own names, and the names of those that no image needs."""
    named = dict(tensors)
    while wrapper := _wrapper(named):
        named = {name.removeprefix(wrapper): tensor for name, tensor in named.items()}
    left_out = _language_head(named)
    return {name: tensor for name, tensor in named.items() if name not in left_out}, left_out


def _language_head(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of GLIDE's language-model head, where it is of the text transformer's tokens and width."""
    if _TOKENS not in tensors:
        return ()
    tokens = tuple(tensors[_TOKENS].shape)
    fitting = dict(zip(_LANGUAGE_HEAD, (tokens, tokens[:1]), strict=True))
    return tuple(name for name, shape in fitting.items() if name in tensors and tensors[name].shape == shape)


def _wrapper(names: Iterable[str]) -> str:
    """What stands before every name and belongs to none, "" where nothing does."""
    names = list(names)
    return next((it for it in _WRAPPERS if names and all(name.startswith(it) for name in names)), "")
