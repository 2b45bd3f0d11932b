"""The parts of a plan, and where and how they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from glidepath.registry.describe.component import doc
from glidepath.registry.describe.fields import fields
from glidepath.registry.discovery.components import Registered
from glidepath.registry.plan.address import Address
from glidepath.registry.text.problems import Place
from glidepath.registry.text.tree import join_path


class _Device:
    """Validator: a device as torch names it."""

    options = ("auto", "cpu", "cuda", "cuda:N", "mps")
    pattern = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?|mps")

    def __call__(self, _instance: object, _attribute: object, value: str) -> None:
        if not self.pattern.fullmatch(value):
            raise ValueError(f"{value!r} is none of {', '.join(self.options)}")


@attrs.frozen(kw_only=True)
class Runtime:
    """Where and how a pipeline runs; but for `quantize` it changes what an image costs, not what it shows."""

    device: str = attrs.field(
        default="auto", validator=_Device(), metadata=doc("where; auto takes a GPU when there is one")
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = attrs.field(
        default="auto", metadata=doc("of the denoiser; auto takes what the device is fast at")
    )
    compile: bool = attrs.field(
        default=False,
        metadata=doc("compile the denoiser: before the first image, and as its training begins"),
    )
    channels_last: Literal["auto"] | bool = attrs.field(
        default="auto", metadata=doc("memory layout of images; auto takes what the device is fast at")
    )
    offload: Literal["none", "parts", "layers"] = attrs.field(
        default="none",
        metadata=doc(
            "parts: networks are on the device while it is their turn, and wait on the CPU; layers: those of "
            "diffusers and transformers layer by layer"
        ),
    )
    quantize: Literal["none", "int8"] = attrs.field(
        default="none",
        metadata=doc(
            "int8: linear layers of denoisers and text encoders in 8 bits, which changes images a little"
        ),
    )


@attrs.frozen(kw_only=True, eq=False)
class PartPlan:
    """A part of a plan.

    path: "sampler", "guidance[0]", "text_encoder.tokenizer"; in a cascade "stages.up.sampler".
    config: of the component's config class; None when it has no parameters.
    parts: inner parts by parameter; a tuple where the parameter takes a list; absent where there is none.
    places: where each parameter was written, None for a default.
    weights: its own file of weights.
    assets: the addresses of what its parameters name and a spec has written, by where that is here; of a hub
        that was not asked yet, by the text of the address.
    """

    path: str
    registered: Registered
    config: Any
    parts: Mapping[str, PartPlan | tuple[PartPlan, ...]]
    places: Mapping[str, Place | None]
    weights: Address | None
    place: Place
    assets: Mapping[Path, Address] = attrs.field(factory=dict)

    def asset_paths(self) -> Iterator[tuple[str, Path]]:
        """Where the files and folders are that it reads, by dotted path: assets, and what are files."""
        for name, field in fields(type(self.config)).items() if self.config is not None else ():
            for path, value in _paths(getattr(self.config, field.attribute.name), join_path(self.path, name)):
                if field.asset or not value.is_dir():
                    yield path, value

    def provided(self) -> Mapping[str, object]:
        """What it provides: to the parts beside it, and to the one around it. Raises as its plugin does."""
        inner = {
            name: tuple(part.provided() for part in parts) if isinstance(parts, tuple) else parts.provided()
            for name, parts in self.parts.items()
        }
        return self.registered.component.provided(self.config, inner)

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the value of each parameter came from: "default", or "file:line:column"."""
        return {name: "default" if place is None else str(place) for name, place in self.places.items()}


def _paths(value: object, path: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, join_path(path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths(item, f"{path}[{index}]")


Parts = Mapping[str, PartPlan | tuple[PartPlan, ...]]


def flat_parts(parts: Parts) -> Iterator[PartPlan]:
    """All parts, those in slots first, then what is inside them, level by level."""
    level = [part for value in parts.values() for part in (value if isinstance(value, tuple) else (value,))]
    while level:
        yield from level
        level = [
            inner
            for part in level
            for value in part.parts.values()
            for inner in (value if isinstance(value, tuple) else (value,))
        ]
