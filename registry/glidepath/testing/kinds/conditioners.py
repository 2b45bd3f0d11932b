"""Conditioners: of each request by itself, the conditions that they say they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from glidepath.core.codec import Codec, IdentityCodec
from glidepath.core.conditioner import Conditioner
from glidepath.core.conditioning import Condition, Conditioning, batch_of, map_tensors
from glidepath.core.errors import GlidepathError
from glidepath.core.request import Request
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import Registered
from glidepath.testing.check import CannotRun, require
from glidepath.testing.part import Part
from glidepath.testing.trial import PROMPTS, Trial, cannot_read, random_rows

SIZE = (16, 16)
"""(H, W) of the images that are asked for."""


class ConditionerTrial(Trial):
    """Asks for images with a prompt and pictures for each row."""

    def use(self, built: Conditioner, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The tensors of all conditions, by the names of these."""
        made = Conditioning(len(rows), made_of(self.part, built, rows)).to(device).conditions
        return [tensor for name in sorted(made) for tensor in tensors(made[name].value)]

    def require_shapes(self, built: Conditioner) -> None:
        """The conditions that it says it makes, a row for each image; one or as many for their absence."""
        made = made_of(self.part, built, (0, 1))
        require(
            set(made) == set(built.makes),
            f"it makes {sorted(made)}, and by its `makes` that is {sorted(built.makes)}",
        )
        for name, condition in made.items():
            rows = {len(tensor) for tensor in tensors(condition.value)}
            require(rows == {2}, f"of 2 images, condition {name!r} has tensors of {sorted(rows)} rows")
            if condition.null is None:
                continue
            require(
                type(condition.null) is type(condition.value) and batch_of(condition.null) in (1, 2),
                f"what stands for the absence of {name!r} is no value like it, of 1 row or 2",
            )
        if any(condition.null is not None for condition in made.values()):
            both = Conditioning(2, made)
            Conditioning.cat([both, both.null()])  # as classifier-free guidance asks for them

    def require_dtypes(self, built: Conditioner) -> None:
        """Numbers."""
        for dtype in (torch.float32, torch.bfloat16):
            for name, condition in made_of(self.part, built.to(dtype), (0,)).items():
                for tensor in tensors(condition.value):
                    require(bool(tensor.isfinite().all()), f"in {dtype}, condition {name!r} is not finite")


def made_of(part: Part, built: Conditioner, rows: Sequence[int]) -> Mapping[str, Condition]:
    """What it makes of a request, each row of which is decided by its number.

    Beside the codec of pixels, or where it refuses that, beside the first installed one that it takes.

    Raises:
        CannotRun: it takes none, or does not know the words of the prompts.
    """
    pictures = {
        name: (random_rows(rows, (3, *(SIZE if input.size == "image" else (5, 7))), stream) * 64 + 128)
        for stream, (name, input) in enumerate(built.inputs.items(), start=1)
    }
    request = Request(
        prompts=[PROMPTS[row % len(PROMPTS)] for row in rows],
        labels=[row % 2 for row in rows],
        size=SIZE,
        inputs={name: picture.clamp(0, 255).to(torch.uint8) for name, picture in pictures.items()},
    )
    refused: GlidepathError | None = None
    for codec in _codecs(part):
        try:
            return built.conditions(request, codec)
        except GlidepathError as error:
            refused = refused or error
    assert refused is not None
    raise CannotRun(cannot_read(request.prompts[0], refused)) from refused


def _codecs(part: Part) -> Iterator[Codec]:
    """That of pixels, and the installed ones that can be built, those of the part's distribution first."""
    yield IdentityCodec()
    for other in _nearest_first(part, "codec"):
        if (codec := _codec(other.full_name, part.catalogue)) is not None:
            yield codec


@lru_cache
def _codec(name: str, catalogue: Catalogue) -> Codec | None:
    try:
        codec: Codec = Part(catalogue.look_up("codec", name), catalogue).build()
    except Exception:  # whatever is wrong with it is the fault of another part
        return None
    return codec


def _nearest_first(part: Part, kind: str) -> list[Registered]:
    installed = part.catalogue.components(kind)
    return sorted(installed, key=lambda other: other.distribution != part.registered.distribution)


def condition_for(part: Part, name: str, rows: Sequence[int]) -> Condition | None:
    """A condition that a part reads, as an installed conditioner makes it, of its own distribution if it can.

    None where none is installed that makes it.
    """
    for registered in _nearest_first(part, "conditioner"):
        maker = Part(registered, part.catalogue)
        try:
            if maker.provided(f"condition.{name}"):
                return made_of(maker, maker.build(), rows)[name]
        except Exception:  # whatever is wrong with it is the fault of another part
            continue
    return None


def tensors(value: object) -> list[Tensor]:
    """All that the value of a condition holds."""
    found: list[Tensor] = []

    def collected(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(collected, value)
    return found
