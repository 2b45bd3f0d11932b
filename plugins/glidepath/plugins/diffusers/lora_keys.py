"""The names of what LoRA changes: those of the trainers' files, and those of the layers in the networks.

A file of LoRA names a layer and then one of the tensors that change it. A layer has its path in the network
of diffusers or transformers, or in the program that the network was published with, with dots or with
underscores; names are compared in underscores, which all of these come down to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import attrs
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.diffusers.original_names import ROWS, original_name

MAIN = "denoiser"
"""What a change is of, beside `text_encoder`, `text_encoder_2` and `text_encoder_3`."""

_ENDS = {
    **dict.fromkeys(
        (".lora_A", ".lora_A.default", ".lora_down", ".lora.down", "_lora.down", ".lora_linear_layer.down"),
        "lora_A.weight",
    ),
    **dict.fromkeys(
        (".lora_B", ".lora_B.default", ".lora_up", ".lora.up", "_lora.up", ".lora_linear_layer.up"),
        "lora_B.weight",
    ),
    **dict.fromkeys(
        (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.default"), "lora_magnitude_vector"
    ),
    ".alpha": "alpha",
}
"""How the names of the tensors of a change end, but for `.weight`, and what peft calls them."""

_OTHERS = {
    ".hada_": "LoHa",
    ".lokr_": "LoKr",
    ".oft_": "OFT",
    ".boft_": "BOFT",
    ".a1.": "GLoRA",
    ".on_input": "(IA)^3",
    ".diff": "differences of whole weights",
}
"""Marks in the names of tensors that change weights in other ways (LyCORIS, Yeh et al. 2023)."""

_WHOSE = (
    (re.compile(r"(?:(?:unet|transformer|diffusion_model|model\.diffusion_model)\.)"), MAIN),
    (re.compile(r"lora_(?:unet|transformer)_"), MAIN),
    (re.compile(r"(text_encoder(?:_[23])?)\."), ""),
    (re.compile(r"lora_te([123]?)_"), ""),
)
_PEFT = "base_model.model."
_PLACES = {name: place for place, name in enumerate(ROWS)}


@attrs.frozen(eq=False)
class Change:
    """What is added to the weight of one layer: alpha / rank times lora_B x lora_A.

    tensors: by the names of peft: `lora_A.weight` [R, in, ...], `lora_B.weight` [out, R, ...], and where the
        rows of the result are scaled to lengths of their own (DoRA), `lora_magnitude_vector` [out].
    alpha: R where the file does not say.
    """

    tensors: Mapping[str, Tensor]
    alpha: float

    @property
    def rank(self) -> int:
        """R of the two factors."""
        return self.tensors["lora_A.weight"].shape[0]

    @property
    def scales_rows(self) -> bool:
        """Whether it is DoRA (Liu et al. 2024)."""
        return "lora_magnitude_vector" in self.tensors

    def rows(self, first: int, count: int) -> Change:
        """The change of some rows of the weight: what is one layer in a program may be several here."""
        own = {
            name: tensor if name == "lora_A.weight" else tensor[first : first + count]
            for name, tensor in self.tensors.items()
        }
        return Change(own, self.alpha)


def layer_names(class_name: str, config: Mapping[str, object], sizes: Mapping[str, int]) -> Names:
    """Which layers of a network each published name stands for, in the order of their rows.

    class_name, config: of the network. sizes: how many rows the weight of each of its layers has, by path.
    """
    found: dict[str, dict[str, None]] = {}
    for path in sorted(sizes, key=lambda path: _PLACES.get(path.rpartition(".")[2], 0)):
        original = original_name(class_name, config, path)
        for name in (path, *_aliases(path), *([] if original is None else [original])):
            found.setdefault(_plain(name), {})[path] = None
    return Names({name: tuple(paths) for name, paths in found.items()}, sizes)


@attrs.frozen
class Names:
    """layers: the paths of layers by published name, in underscores. sizes: the rows of each by path."""

    layers: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, int]


def read_changes(
    tensors: Mapping[str, Tensor], networks: Mapping[str, Names]
) -> dict[str, dict[str, Change]]:
    """What a file of LoRA changes, by network and path.

    networks: by `denoiser`, `text_encoder`, `text_encoder_2`.

    Raises:
        PartError: it changes what is not there, changes nothing, or in another way than by LoRA or DoRA.
    """
    gathered: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, what = _split(key)
        gathered.setdefault(name, {})[what] = tensor
    changes: dict[str, dict[str, Change]] = {}
    for name, given in gathered.items():
        part, bare = _whose(name)
        if part not in networks:
            raise PartError(f"the file of LoRA changes {part}, and there are {', '.join(networks)} here")
        own = networks[part]
        paths = own.layers.get(_plain(bare))
        if paths is None:
            raise PartError(f"the file of LoRA changes {name}, and the {part} has no such layer")
        change = _change(name, given)
        for path, rows in _cut(change, name, paths, own.sizes):
            changes.setdefault(part, {})[path] = rows
    if not changes:
        raise PartError("the file of LoRA changes nothing")
    return changes


def _split(key: str) -> tuple[str, str]:
    """The name of a layer, and peft's of one of its tensors."""
    bare = key.removesuffix(".weight")
    for end, what in _ENDS.items():
        if bare.endswith(end):
            return bare.removesuffix(end), what
    if other := next((name for mark, name in _OTHERS.items() if mark in bare), ""):
        raise PartError(
            f"the file changes weights by {other}, not by LoRA, and {other} is not read: {key}; merge it "
            "into the weights with the program that made it"
        )
    raise PartError(
        f"the file of LoRA has {key}, which is neither a factor, nor an alpha, nor a scale of DoRA; others "
        "are not known"
    )


def _whose(name: str) -> tuple[str, str]:
    """Which network a layer is of, and the rest of its name. Without a mark it is the denoiser's."""
    name = name.removeprefix(_PEFT)
    for pattern, part in _WHOSE:
        if match := pattern.match(name):
            number = match[1] if match.groups() else ""
            if number in ("", "1"):
                number = "text_encoder"
            found = part or (number if number.startswith("text") else f"text_encoder_{number}")
            return found, name[match.end() :].removeprefix(_PEFT)
    return MAIN, name


def _change(name: str, given: Mapping[str, Tensor]) -> Change:
    rest = {what: tensor for what, tensor in given.items() if what != "alpha"}
    if missing := {"lora_A.weight", "lora_B.weight"} - set(rest):
        which = "down" if "lora_A.weight" in missing else "up"
        raise PartError(f"the file of LoRA changes {name} by one factor alone; the one {which} is missing")
    rank, rows = rest["lora_A.weight"].shape[0], rest["lora_B.weight"].shape[0]
    if rest["lora_B.weight"].shape[1] != rank:
        raise PartError(
            f"the file of LoRA changes {name} by factors of {list(rest['lora_B.weight'].shape)} and "
            f"{list(rest['lora_A.weight'].shape)}, which cannot be multiplied"
        )
    if "lora_magnitude_vector" in rest:
        if rest["lora_magnitude_vector"].numel() != rows:
            raise PartError(f"the file of LoRA scales columns of {name} (DoRA); only rows can be scaled")
        rest["lora_magnitude_vector"] = rest["lora_magnitude_vector"].reshape(rows)
    alpha = given.get("alpha")
    return Change(rest, float(rank if alpha is None else alpha))


def _cut(
    change: Change, name: str, paths: Iterable[str], sizes: Mapping[str, int]
) -> Iterator[tuple[str, Change]]:
    """A change for each of the layers that one published layer stands for."""
    paths = list(paths)
    rows, first = change.tensors["lora_B.weight"].shape[0], 0
    if rows != sum(sizes[path] for path in paths):
        raise PartError(
            f"the file of LoRA does not fit: {name} has {rows} rows, and "
            f"{', '.join(paths)} {sum(sizes[path] for path in paths)}"
        )
    for path in paths:
        yield path, change.rows(first, sizes[path])
        first += sizes[path]


def _aliases(path: str) -> Iterator[str]:
    """What a layer is called elsewhere: in older files, and in other versions of transformers."""
    if path.endswith(".to_out.0"):
        yield path.removesuffix(".0")
    if "self_attn." in path:
        inner, _, layer = path.rpartition(".")
        for older in (path, f"{inner}.to_{layer.removesuffix('_proj')}"):
            yield older
            yield older.removeprefix("text_model.")
            yield f"text_model.{older}"
    elif path.startswith("text_model."):
        yield path.removeprefix("text_model.")
    elif path.startswith("encoder."):
        yield f"text_model.{path}"


def _plain(name: str) -> str:
    return name.replace(".processor.", ".").replace(".", "_")
