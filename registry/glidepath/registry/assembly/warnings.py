"""What of a plan is doubtful although it is right: files that are absent, and weights trained otherwise.

A trainer writes the resolved spec of its run into the header of the weights. Under another schedule, another
kind of prediction or other words the same tensors load without a word, and make noise. The header is read
here rather than by safetensors, which imports numpy for it: half of the time of a check.
"""

from __future__ import annotations

import json
import os
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.describe.fields import Field, fields
from glidepath.registry.files.mapped import LENGTH_BYTES
from glidepath.registry.files.reading import open_file
from glidepath.registry.plan.address import local_weights
from glidepath.registry.plan.parts import flat_parts
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.plan.resolved import plain_value
from glidepath.registry.text.problems import Problems, SpecError
from glidepath.registry.text.tree import join_path
from glidepath.registry.text.yaml_text import yaml_text

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.parts import PartPlan
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.text.problems import Place, Problem

TRAINED_SLOTS = ("schedule", "denoiser", "text_encoder", "codec")
"""The slots that training fixes. Sampler and guidance are free."""

_WEIGHTS = "weights"
"""What a component lacks under this name is told only where nothing gives it weights."""

_WITHOUT_NOISE = ("text_encoder", "tokenizer", "codec")
"""Kinds of part that no schedule says anything to."""

_LONGEST_HEADER = 20_000_000
_LONGEST_SPEC = 1_000_000
_LONGEST_VALUE = 60
_ABSENT: Any = object()


class TrainedOtherwise(UserWarning):
    """Weights are used with something else than they were trained with."""


def doubts(plan: Plan, catalogue: Catalogue) -> Sequence[Problem]:
    """What of a right plan will not make the images that are meant: other training, and what is not there."""
    return [*training_mismatches(plan, catalogue), *missing_inputs(plan, catalogue)]


def missing_inputs(plan: Plan, catalogue: Catalogue) -> Sequence[Problem]:
    """A warning for each file that is not there, and for all that the parts say they lack.

    Of a spec that says how it is trained, it is not told that it has no weights yet. A hub is not asked.
    """
    problems = Problems(plan.spec.files, plan.spec.lent)
    if plan.missing_weights(catalogue):
        try:
            make_plan(plan.spec, catalogue, need_weights=True)
        except SpecError as error:
            for problem in error.problems:
                problems.warn(problem.what, problem.place, problem.path, problem.hint)
    is_trained = any(not catalogue.slots[slot].sampling for slot in plan.parts if slot in catalogue.slots)
    for pipeline in plan.pipelines().values():
        for part in pipeline.all_parts():
            for name, file in _absent_files(part):
                what = f"{join_path(part.path, name)}: there is no file or folder {file}"
                problems.warn(what, part.places.get(name) or part.place, join_path(part.path, name))
            for name, message in _lacked(part, problems):
                if name == _WEIGHTS and (is_trained or _has_weights(part, pipeline, plan)):
                    continue
                what = f"{part.path} ({part.registered.component.name}) {message}"
                hint = _where_weights_go(part, pipeline, catalogue) if name == _WEIGHTS else ""
                problems.warn(what, part.places.get(name) or part.place, join_path(part.path, name), hint)
    return problems.warnings


def require_vocabularies(plan: Plan) -> None:
    """Refuse what is to read prompts and cannot, for want of a tokenizer, or of its words.

    Raises:
        SpecError: naming all that is to be given.
    """
    problems = Problems(plan.spec.files, plan.spec.lent)
    for pipeline in plan.pipelines().values():
        for part in pipeline.all_parts():
            if part.registered.component.kind in ("text_encoder", "tokenizer"):
                for name, message in _lacked(part, problems):
                    if name != _WEIGHTS:
                        what = f"{part.path} ({part.registered.component.name}) {message}"
                        problems.add(what, part.places.get(name) or part.place, join_path(part.path, name))
    if problems:
        raise problems.error()


def training_mismatches(plan: Plan, catalogue: Catalogue) -> Sequence[Problem]:
    """A warning for each value of a plan that its weights were trained with another one of.

    Files that are not there, or do not say how they were trained, are passed over; a hub is not asked.
    """
    problems = Problems(plan.spec.files, plan.spec.lent)
    for path, address in plan.all_weights().items():
        specs = (training_spec(file) for file in local_weights(address, catalogue))
        recorded = next(filter(None, specs), None)
        if recorded is None or _is_trained(path, catalogue):
            continue
        for difference in _differences(plan, path, recorded):
            back = "write what it was" if difference.was == "another" else f"write {difference.was}"
            problems.warn(
                f"{difference.path} is {difference.now}, and the weights were trained with {difference.was}",
                difference.place,
                difference.path,
                f"images of {address} will be noise, or plain wrong: {back}",
            )
    return problems.warnings


def training_spec(file: Path) -> Mapping[str, Any] | None:
    """The resolved spec of the run that made a file of weights; None for a file that has none."""
    try:
        with open_file(file) as stream:
            length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
            if length > _LONGEST_HEADER:
                return None
            header = json.loads(stream.read(length))
        text = header["__metadata__"]["spec"]
        spec = json.loads(text) if len(text) <= _LONGEST_SPEC else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return spec if isinstance(spec, dict) else None


def _absent_files(part: PartPlan) -> Iterator[tuple[str, PurePath]]:
    """The files and folders that parameters name and that are not there."""
    for name, field in fields(type(part.config)).items() if part.config is not None else ():
        value = getattr(part.config, field.attribute.name)
        if not isinstance(value, Path):
            continue
        is_remote = value in part.assets and part.assets[value].scheme == "hub"
        if not is_remote and not os.path.exists(value):
            yield name, value


def _lacked(part: PartPlan, problems: Problems) -> Sequence[tuple[str, str]]:
    registered = part.registered
    try:
        return list(registered.component.lacks(part.config))
    except Exception as error:
        what = f"{registered.full_name} cannot say what it lacks: {type(error).__name__}: {error}"
        problems.warn(what, part.place, part.path, f"it is a fault of {registered.distribution}")
        return []


def _is_in_slot(part: PartPlan, pipeline: Plan) -> bool:
    """Whether a part stands in a slot of its own, and so has its share in the pipeline's weights."""
    return any(part is other for other in pipeline.parts.values())


def _has_weights(part: PartPlan, pipeline: Plan, plan: Plan) -> bool:
    shared = pipeline.weights or plan.weights
    return part.weights is not None or (shared is not None and _is_in_slot(part, pipeline))


def _where_weights_go(part: PartPlan, pipeline: Plan, catalogue: Catalogue) -> str:
    key = join_path(pipeline.path if _is_in_slot(part, pipeline) else part.path, _WEIGHTS)
    makers = catalogue.weight_makers([part.registered.component.name])
    return f"name a file as {key}{f'; {makers}' if makers else ''}"


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
            for slot in dict.fromkeys((*TRAINED_SLOTS, pipeline.model_slot)):
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
    """What a run trained as the part: what its spec has of the same component, in a slot or below one."""
    sections = [section for section in recorded.values() if isinstance(section, Mapping)]
    inner = [value for section in sections for value in section.values()]
    for entry in (*inner, recorded.get(part.registered.component.kind)):
        if isinstance(entry, Mapping) and _is_of(entry.get("use"), part):
            return entry
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
    parts = (inner for inner in flat_parts(part.parts) if inner.registered.component.kind == kind)
    return next((inner for inner in parts if _is_of(use, inner)), None)


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
