"""What weights were trained with, against what a plan has in its place. Reads headers; imports no torch.

A trainer writes the resolved spec of its run into the header of the weights. Under another schedule, another
kind of prediction or other words the same tensors load without a word, and make noise.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.describe.fields import Field, fields
from glidepath.registry.plan.parts import flat
from glidepath.registry.plan.resolved import plain_value
from glidepath.registry.spec.address import Address, local_file
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.tree import join_path
from glidepath.registry.text.yaml_text import yaml_text

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.parts import PartPlan
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.text.problems import Place, Problem

FIXED = ("schedule", "denoiser", "text_encoder", "codec")
"""The slots that training fixes. Sampler and guidance are free."""

_WITHOUT_NOISE = ("text_encoder", "tokenizer", "codec")
"""Kinds of part that no schedule says anything to."""

_LENGTH_BYTES = 8  # of a safetensors file: the length of its header, little-endian
_LONGEST_HEADER = 20_000_000
_LONGEST_SPEC = 1_000_000
_LONGEST_VALUE = 60
_ABSENT: Any = object()


class TrainedOtherwise(UserWarning):
    """Weights are used with something else than they were trained with."""


def trained_otherwise(plan: Plan, catalogue: Catalogue) -> Sequence[Problem]:
    """A warning for each value of a plan that its weights were trained with another one of.

    Files that are not there, or do not say how they were trained, are passed over; a hub is not asked.
    """
    problems = Problems(plan.spec.files, plan.spec.lent)
    for path, address in plan.all_weights().items():
        file = local_file(address, catalogue)
        recorded = None if file is None else training_spec(file)
        if recorded is None or _is_trained(path, catalogue):
            continue
        for difference in _differences(plan, path, recorded):
            problems.warn(
                f"{difference.path} is {difference.now}, and the weights were trained with {difference.was}",
                difference.place,
                difference.path,
                _remedy(address, difference),
            )
    return problems.warnings


def training_spec(file: Path) -> Mapping[str, Any] | None:
    """The resolved spec of the run that made a file of weights; None for a file that has none."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if length > _LONGEST_HEADER:
                return None
            header = json.loads(stream.read(length))
        text = header["__metadata__"]["spec"]
        spec = json.loads(text) if len(text) <= _LONGEST_SPEC else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return spec if isinstance(spec, dict) else None


@attrs.frozen
class _Difference:
    """A value that is not as it was in training. was, now: as texts; place: where it is written now."""

    path: str
    was: str
    now: str
    place: Place


def _differences(plan: Plan, path: str, recorded: Mapping[str, Any]) -> Iterator[_Difference]:
    """What differs for the weights that belong to `path`: a pipeline, or a part."""
    for pipeline in plan.pipelines().values():
        if path == pipeline.path:
            for slot in FIXED:
                part = _single(pipeline, slot)
                if part is not None and part.weights is None:
                    yield from _part(recorded.get(slot), part)
            return
        for part in pipeline.all_parts():
            if part.path == path:
                schedule = _single(pipeline, "schedule")
                if schedule is not None and part.registered.component.kind not in _WITHOUT_NOISE:
                    yield from _part(recorded.get("schedule"), schedule)
                yield from _part(_namesake(part, pipeline, recorded), part)


def _is_trained(path: str, catalogue: Catalogue) -> bool:
    """Whether a part is given to what trains: its weights are to become others."""
    slot = re.split(r"[.\[]", path)[0]
    return slot in catalogue.slots and not catalogue.slots[slot].sampling


def _single(pipeline: Plan, slot: str) -> PartPlan | None:
    """The part in a slot that holds one."""
    part = pipeline.parts.get(slot)
    return None if isinstance(part, tuple) else part


def _namesake(part: PartPlan, pipeline: Plan, recorded: Mapping[str, Any]) -> object:
    """What a run trained as the part: what its trainer was given, or had in a slot, of the same component."""
    trainer = recorded.get("train")
    given = list(trainer.values()) if isinstance(trainer, Mapping) else []
    for one in (*given, recorded.get(part.registered.component.kind)):
        if isinstance(one, Mapping) and _is_of(one.get("use"), part):
            return one
    return None


def _part(recorded: object, part: PartPlan) -> Iterator[_Difference]:
    """What differs between a part as it is recorded, which may be anything, and as it is."""
    if not isinstance(recorded, Mapping) or not isinstance(use := recorded.get("use"), str):
        return
    if not _is_of(use, part):
        # a part that holds the one of the training (a schedule on top of another) knows what it does
        if inside := _inside(use, part):
            yield from _part(recorded, inside)
            return
        yield _Difference(part.path, *_names(use, part), part.place)
        return
    known = fields(type(part.config)) if part.config is not None else {}
    for name, field in known.items():
        inner = part.parts.get(name)
        if field.slot is not None:
            # a list of parts inside a part is not told apart: which is which it does not say
            if inner is not None and not isinstance(inner, tuple):
                yield from _part(recorded.get(name), inner)
            continue
        # a parameter that is younger than the weights stood at its default
        was = recorded[name] if name in recorded else _default(field)
        now = plain_value(getattr(part.config, field.attribute.name), field.hint)
        if was is not _ABSENT and was != now and not field.free and not _takes_file(field):
            place = part.places.get(name) or part.place
            yield _Difference(join_path(part.path, name), *_texts(was, now), place)


def _inside(use: str, part: PartPlan) -> PartPlan | None:
    """The part of a recorded `use` inside a part of the same kind."""
    kind = part.registered.component.kind
    parts = (one for one in flat(part.parts) if one.registered.component.kind == kind)
    return next((one for one in parts if _is_of(use, one)), None)


def _is_of(use: object, part: PartPlan) -> bool:
    """Whether a recorded `use` means the component of a part."""
    distribution, _, name = str(use).rpartition("/")
    registered = part.registered
    return name == registered.component.name and distribution in ("", registered.distribution)


def _default(field: Field) -> object:
    default = field.default
    return _ABSENT if default is attrs.NOTHING else plain_value(default, field.hint)


def _takes_file(field: Field) -> bool:
    """Whether a parameter names a file, which is elsewhere on every machine."""
    return Path in (field.hint, *typing.get_args(field.hint))


def _names(use: str, part: PartPlan) -> tuple[str, str]:
    """The components of a part then and now, by short names where those tell them apart."""
    distribution, _, name = use.rpartition("/")
    is_short = distribution == part.registered.distribution and name != part.registered.component.name
    return (
        (_short(name), part.registered.component.name)
        if is_short
        else (_short(use), part.registered.full_name)
    )


def _texts(was: object, now: object) -> tuple[str, str]:
    texts = (_short(yaml_text(was)), _short(yaml_text(now)))
    return texts if texts[0] != texts[1] else ("another", texts[1])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 4]} ..."


def _remedy(address: Address, difference: _Difference) -> str:
    back = "write what it was" if difference.was == "another" else f"write {difference.was}"
    return f"images of {address} will be noise, or plain wrong: {back}, or train anew (`glidepath train`)"
