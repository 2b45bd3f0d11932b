"""The networks in a checkpoint: under which prefix of its names each is, and what is beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from glidepath.plugins.convert.recognise import belongs, known_names

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPERS = re.compile(r"(?<![^.])(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What DataParallel, torch.compile, FSDP and checkpointing put into names, at the start or in the middle."""

_COUNTERS = re.compile(
    r"n_averaged|initted|steps?|(?:.*\.)?(?:decay|num_updates)|logvar|loss_weight|sigmas|timesteps"
    r"|.*(?:alphas|betas|posterior|snr).*"
)
"""Buffers of averages and of diffusion itself, which networks do not have."""

_TOKENS = "token_embedding.weight"
_LANGUAGE_HEAD = ("unemb.weight", "unemb.bias")
"""What names the tokens of the text, in a GLIDE that was trained to do that too; images need none of it."""

_MOST_PREFIXES = 8


@attrs.frozen(eq=False)
class Network:
    """Tensors of one network, by its own names.

    where: "" for those of a whole file, else the keys and the prefix above its names: "ema", "model.net".
    head: the names of GLIDE's language-model head, left out.
    others: the names of what was beside it in the same mapping, and is not of it.
    """

    where: str
    tensors: dict[str, Tensor]
    head: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def networks(state_dicts: Mapping[str, Mapping[str, Tensor]]) -> list[Network]:
    """Every network of a known architecture that some state dicts hold, averages among them."""
    named = {where: tensors for where, tensors in state_dicts.items() if not is_list(tensors)}
    found = [it for where, tensors in named.items() for it in _below(where, tensors)]
    for where in state_dicts.keys() - named.keys():
        values = list(state_dicts[where].values())
        for it in found:
            if [value.shape for value in it.tensors.values()] == [value.shape for value in values]:
                found.append(Network(where, dict(zip(it.tensors, values, strict=True))))
                break
    return found


def likely(where: str, tensors: Mapping[str, Tensor]) -> Network:
    """What of a state dict seems to be meant as a network, for messages of what is wrong with it."""
    bare = _bare(tensors)
    prefix = next(iter(_prefixes(bare)), "")
    below = {name.removeprefix(prefix): it for name, it in bare.items() if name.startswith(prefix)}
    head = _language_head(below)
    kept = {name: it for name, it in below.items() if name not in head}
    return Network(_joined(where, prefix), kept, head)


def is_list(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are of a list, and have no names."""
    return list(tensors) == [str(index) for index in range(len(tensors))]


def _below(where: str, tensors: Mapping[str, Tensor]) -> Iterator[Network]:
    """The networks in one mapping: each under a prefix, and the averages that are kept without dots."""
    bare = _bare(tensors)
    found: dict[str, dict[str, str]] = {}  # by prefix: the names of a network, and those in the mapping
    for prefix in _prefixes(bare):
        under = {name.removeprefix(prefix): it for name, it in bare.items() if name.startswith(prefix)}
        own = belongs({name: tuple(it.shape) for name, it in under.items()})
        found[prefix] = {name: f"{prefix}{name}" for name in under if name in own}
    for prefix, names in list(found.items()):
        found |= dict(_without_dots(bare.keys(), prefix, names))
    claimed = {key for names in found.values() for key in names.values()}
    for prefix, names in found.items():
        head = _language_head(
            {key.removeprefix(prefix): it for key, it in bare.items() if key.startswith(prefix)}
        )
        free = bare.keys() - claimed - {f"{prefix}{name}" for name in head}
        beside = [key.removeprefix(prefix) for key in free if key.startswith(prefix)]
        if names and all(map(_COUNTERS.fullmatch, beside)):
            others = [
                key for key in bare if key not in names.values() and key.removeprefix(prefix) not in head
            ]
            kept = {name: bare[key] for name, key in names.items()}
            yield Network(_joined(where, prefix), kept, head, tuple(others))


def _without_dots(
    keys: Collection[str], prefix: str, names: Collection[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The averages of a network as latent diffusion keeps them: beside it, under names without dots."""
    parts = prefix.split(".")[:-1]
    for start in range(len(parts) + 1 if names else 0):
        dotless = {name: f"{''.join(parts[start:])}{name.replace('.', '')}" for name in names}
        known = set(dotless.values())
        for average in {key.rpartition(".")[0] for key in keys if key.rpartition(".")[2] in known}:
            found = {name: f"{average}.{key}" for name, key in dotless.items()}
            if average and all(key in keys for key in found.values()):
                yield f"{average}.", found


def _bare(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The same, without what wrappers put into names; as they are where two would become one."""
    bare = {_WRAPPERS.sub("", name): tensor for name, tensor in tensors.items()}
    return bare if len(bare) == len(tensors) else tensors


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """What stands before names that published models have, the most frequent first."""
    counts: Counter[str] = Counter()
    for name in tensors:
        cuts = [0, *(dot.end() for dot in re.finditer(r"\.", name))]
        counts.update(name[:cut] for cut in cuts if name[cut:] in known_names())
    return [prefix for prefix, _ in counts.most_common(_MOST_PREFIXES)]


def _language_head(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of GLIDE's language-model head, where it is of the text transformer's tokens and width."""
    if _TOKENS not in tensors:
        return ()
    tokens = tuple(tensors[_TOKENS].shape)
    fitting = dict(zip(_LANGUAGE_HEAD, (tokens, tokens[:1]), strict=True))
    return tuple(name for name, shape in fitting.items() if name in tensors and tensors[name].shape == shape)


def _joined(where: str, prefix: str) -> str:
    return ".".join(filter(None, (where, prefix.rstrip("."))))
