"""Whether the parts of a plan fit one another: what some need, against what others provide."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from glidepath.registry.describe.component import Need
from glidepath.registry.describe.fields import fields
from glidepath.registry.describe.kinds import generator_slots
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.tree import join_path
from glidepath.registry.text.yaml_text import yaml_text

UPSAMPLES = "image.upsamples"
"""A denoiser that provides it as true is an upsampler; one that does not provide it is none."""

PIXELS = "pixels.size"
"""Of the images that come out: the denoiser's `image.size` times the codec's `codec.factor`."""

BEFORE = "before."
"""A need of "before.KEY" is one of a part that stands earlier in the same list; the nearest one counts."""


def check_contracts(
    parts: Sequence[PartPlan],
    complete: bool,
    catalogue: Catalogue,
    problems: Problems,
    path: str = "",
) -> None:
    """Add a problem for every need that is not met.

    parts: the ones in slots before those inside them: where several provide a value, the first counts.
    complete: no part is missing from them.
    path: of the stage whose parts they are, "" for a spec without stages.
    """
    top = f"{path}." if path else ""
    provided = {part.path: _provided(part, problems) for part in parts}
    answering = _answering(parts)
    if maker := _Maker.among(parts, path, problems, generator_slots(catalogue.slots)):
        _check_codec(maker, problems)
        if maker.pixels is not None:
            provided[maker.part.path] = {**provided[maker.part.path], PIXELS: maker.pixels}
    for part in parts:
        for key, need in _needed(part, problems).items():
            if key.startswith(BEFORE):
                _check_before(
                    part, key.removeprefix(BEFORE), need, parts, provided, complete, catalogue, problems
                )
                continue
            givers = [other for other in answering if other is not part and key in provided[other.path]]
            # while parts are missing, one inside another part may only seem to be the first
            if givers and (complete or "." not in givers[0].path.removeprefix(top)):
                _compare(part, key, need, givers[0], provided[givers[0].path][key], problems)
            elif not givers and complete and not need.optional:
                hint = "; ".join(filter(None, [need.why, _suppliers(key, catalogue)]))
                what = f"{_named(part)} needs {key}, and no part provides it"
                _problem(part, need, what, hint, problems)


def _check_codec(maker: _Maker, problems: Problems) -> None:
    """The x_0 of a codec is what the denoiser makes: it has as many channels."""
    has, made = maker.codec_provides.get("codec.channels"), maker.provides.get("image.channels")
    if has is None or made is None or has == made:
        return
    whose = f"{_named(maker.codec)} has codec.channels {yaml_text(has)}"
    hint = f"{maker.part.path} is written at {maker.part.place}" if maker.part.place.line else ""
    what = f"{whose}, and {_named(maker.part)} makes an x of {yaml_text(made)}"
    problems.add(what, maker.codec.place, maker.codec.path, hint)


def check_cascade(stages: Mapping[str, Sequence[PartPlan]], problems: Problems) -> None:
    """Add a problem for every stage out of place: after the first, each enlarges what is there.

    stages: the parts of each by the stage's path.
    """
    before: _Maker | None = None
    for index, (path, parts) in enumerate(stages.items()):
        maker = _Maker.among(parts, path, problems)
        if maker is not None:
            _check_place(maker, index > 0, problems)
        if maker is not None and before is not None:
            _check_growth(before, maker, problems)
            _check_handover(before, maker, problems)
        before = maker


@attrs.frozen
class _Maker:
    """What makes the images of a stage: denoiser or generator, what it provides, the codec that decodes."""

    part: PartPlan
    provides: Mapping[str, Any]
    codec: PartPlan
    codec_provides: Mapping[str, Any]
    schedule: PartPlan | None
    handover: PartPlan | None
    hands: Mapping[str, Any]

    @classmethod
    def among(
        cls, parts: Sequence[PartPlan], path: str, problems: Problems, generators: Sequence[str] = ()
    ) -> _Maker | None:
        slots = {part.path: part for part in parts}
        found = (slots.get(join_path(path, slot)) for slot in ("denoiser", *generators))
        part, codec = next(filter(None, found), None), slots.get(join_path(path, "codec"))
        if part is None or codec is None:
            return None
        # what is inside a denoiser, a schedule say, speaks for it where it says nothing itself
        inner = _answering((part, *(other for other in parts if other.path.startswith(f"{part.path}."))))
        provided = [dict(_provided(speaker, problems)) for speaker in inner]
        handover = slots.get(join_path(path, "handover"))
        hands = {} if handover is None else _provided(handover, problems)
        schedule = slots.get(join_path(path, "schedule"))
        return cls(part, ChainMap(*provided), codec, _provided(codec, problems), schedule, handover, hands)

    @property
    def pixels(self) -> int | None:
        """The size of the images, where it is known: x's own, times the codec's factor."""
        size, factor = self.provides.get("image.size"), self.codec_provides.get("codec.factor")
        return size * factor if isinstance(size, int) and isinstance(factor, int) else None


def _check_place(maker: _Maker, is_after: bool, problems: Problems) -> None:
    upsamples, handover = maker.provides.get(UPSAMPLES, False), maker.handover
    half_way = upsamples and "handover.level" in maker.hands
    if handover is not None and (half_way or not is_after):
        what = f"{_named(handover)} has nothing to do: "
        reason = "its stage enlarges what was made" if is_after else "no stage stands before its own"
        problems.add(what + reason, handover.place, handover.path, "leave it out")
    if upsamples == is_after or (is_after and handover is not None):
        return
    if is_after:
        what = f"{_named(maker.part)} is no upsampler, and stands after another stage"
        hint = f"it would not see the image that was made; a denoiser that does provides {UPSAMPLES}: true, "
        hint += "and a `handover` lets any other begin from it"
    else:
        what = f"{_named(maker.part)} is an upsampler, and its stage is the first"
        hint = "the first stage makes images from noise alone"
    problems.add(what, maker.part.place, maker.part.path, hint)


def _check_growth(before: _Maker, maker: _Maker, problems: Problems) -> None:
    had, has = before.pixels, maker.pixels
    refines = maker.handover is not None and not maker.provides.get(UPSAMPLES, False)
    if refines or had is None or has is None or had < has:
        return
    what = f"{_named(maker.part)} makes images of {has} pixels from images of {had}"
    hint = f"{before.part.path} is written at {before.part.place}" if before.part.place.line else ""
    problems.add(what, maker.part.place, maker.part.path, hint)


def _check_handover(before: _Maker, maker: _Maker, problems: Problems) -> None:
    """Latents mean the same to both stages, as their codecs do; noise levels too, as their schedules do."""
    if maker.handover is None:
        return
    theirs, own = before.codec.registered.full_name, maker.codec.registered.full_name
    if maker.hands.get("handover.latent") and theirs != own:
        what = f"hands over the latents of {theirs}, and its stage has those of {own}"
        hint = "the handover `image` decodes and encodes; "
        hint += f"{before.codec.path} is written at {before.codec.place}"
        problems.add(f"{_named(maker.handover)} {what}", maker.handover.place, maker.handover.path, hint)
    one, other = before.schedule, maker.schedule
    if "handover.level" not in maker.hands or one is None or other is None:
        return
    if (one.registered.full_name, one.config) != (other.registered.full_name, other.config):
        what = f"{_named(other)} is not the schedule of the stage before, whose noise its stage goes on from"
        problems.add(what, other.place, other.path, f"that one, {one.path}, is written at {one.place}")
    if None not in (before.pixels, maker.pixels) and before.pixels != maker.pixels:
        what = (
            f"{_named(maker.handover)} goes on from an image of {before.pixels} pixels, and its stage makes"
        )
        problems.add(f"{what} {maker.pixels}", maker.handover.place, maker.handover.path)


def _check_before(
    part: PartPlan,
    key: str,
    need: Need,
    parts: Sequence[PartPlan],
    provided: Mapping[str, Mapping[str, Any]],
    complete: bool,
    catalogue: Catalogue,
    problems: Problems,
) -> None:
    """A need of what stands before a part in its list. Other lists have no order to speak of."""
    listed = [other for other in parts if _list_of(other) == _list_of(part) != ""]
    before = listed[: listed.index(part)] if listed else []
    earlier = [other for other in before if key in provided[other.path]]
    if earlier:
        _compare(part, key, need, earlier[-1], provided[earlier[-1].path][key], problems)
    elif complete and not need.optional:
        hint = "; ".join(filter(None, [need.why, _suppliers(key, catalogue)]))
        what = f"{_named(part)} needs a part before it in the list that provides {key}"
        _problem(part, need, what, hint, problems)


def _list_of(part: PartPlan) -> str:
    """The path of the list that a part stands in; "" for none."""
    return part.path.rpartition("[")[0] if part.path.endswith("]") else ""


def _answering(parts: Sequence[PartPlan]) -> list[PartPlan]:
    """The parts without those that are inside another of their kind, which alone answers for them."""
    kinds = {part.path: part.registered.component.kind for part in parts}

    def is_covered(part: PartPlan) -> bool:
        owner = part.path.rpartition(".")[0]
        while owner:
            if kinds.get(owner) == kinds[part.path]:
                return True
            owner = owner.rpartition(".")[0]
        return False

    return [part for part in parts if not is_covered(part)]


def _provided(part: PartPlan, problems: Problems) -> Mapping[str, Any]:
    """What a part provides; nothing, where a part inside it has a problem, which is told already."""
    slots = fields(type(part.config)).items() if part.config is not None else ()
    inner = {name: field.slot.many or field.required or field.default for name, field in slots if field.slot}
    if any(expected and name not in part.parts for name, expected in inner.items()):
        return {}
    return _asked(part, "provides", part.provided, problems)


def _needed(part: PartPlan, problems: Problems) -> Mapping[str, Need]:
    return _asked(part, "needs", lambda: part.registered.component.needs(part.config), problems)


def _asked(
    part: PartPlan, what: str, ask: Callable[[], Mapping[str, Any]], problems: Problems
) -> Mapping[str, Any]:
    """What a part provides or needs."""
    try:
        return dict(ask())
    except Exception as error:
        failure = f"{part.registered.full_name} cannot say what it {what}: {type(error).__name__}: {error}"
        problems.add(failure, part.place, part.path, f"it is a fault of {part.registered.distribution}")
        return {}


def _compare(
    part: PartPlan, key: str, need: Need, other: PartPlan, value: object, problems: Problems
) -> None:
    hint = f"{other.path} is written at {other.place}" if other.place.line or other.place.column else ""
    if need.test is not None:
        try:
            wrong = need.test(value)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            what = f"{_named(part)} does not fit {_named(other)}, whose {key} is {yaml_text(value)}: {wrong}"
            _problem(part, need, what, hint, problems)
        return
    wanted = need.value if isinstance(need.value, tuple) else (need.value,)
    if value in wanted:
        return
    texts = " or ".join(map(yaml_text, wanted))
    what = f"{_named(part)} needs {key} {texts}, and {_named(other)} gives {yaml_text(value)}"
    _problem(part, need, what + (f": {need.why}" if need.why else ""), hint, problems)


def _problem(part: PartPlan, need: Need, what: str, hint: str, problems: Problems) -> None:
    place = part.places.get(need.field) or part.place
    problems.add(what, place, join_path(part.path, need.field) if need.field else part.path, hint)


def _named(part: PartPlan) -> str:
    return f"{part.path} ({part.registered.component.name})"


def _suppliers(key: str, catalogue: Catalogue) -> str:
    """Which installed parts provide a value, as far as their defaults tell."""
    names: dict[str, list[str]] = {}
    for registered in catalogue.components():
        if key in _provided_by_default(registered, catalogue):
            names.setdefault(registered.component.kind, []).append(catalogue.spelling(registered))
    return " or ".join(f"a {kind} ({', '.join(found)}) provides it" for kind, found in names.items())


def _provided_by_default(registered: Any, catalogue: Catalogue) -> Mapping[str, object]:
    try:
        config = catalogue.config_class(registered)
        return dict(registered.component.provided(config() if config is not None else None))
    except Exception:  # it is not suggested; its fault is told to who uses it
        return {}
