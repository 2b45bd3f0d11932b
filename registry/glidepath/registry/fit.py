"""Whether the parts of a plan fit one another: what some need, against what others provide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glidepath.registry.component import Need
from glidepath.registry.faults import Faults
from glidepath.registry.parameters import yaml_text
from glidepath.registry.tree import join

if TYPE_CHECKING:
    from glidepath.registry.catalogue import Catalogue
    from glidepath.registry.plan import PartPlan


def check_fit(parts: Sequence[PartPlan], complete: bool, catalogue: Catalogue, faults: Faults) -> None:
    """Add a fault for every need that is not met.

    parts: those without faults of their own, the ones in slots before those inside them: where several
        provide a value, the first counts.
    complete: no part is missing from them.
    """
    provided = {part.path: _asked(part, "provides", faults) for part in parts}
    for part in parts:
        for key, need in _asked(part, "needs", faults).items():
            givers = [other for other in parts if other is not part and key in provided[other.path]]
            # while parts are missing, one inside another part may only seem to be the first
            if givers and (complete or "." not in givers[0].path):
                _compare(part, key, need, givers[0], provided[givers[0].path][key], faults)
            elif not givers and complete and not need.optional:
                hint = "; ".join(filter(None, [need.why, _suppliers(key, catalogue)]))
                _fault(part, need, f"{_named(part)} needs {key}, and no part provides it", hint, (), faults)


def _asked(part: PartPlan, what: str, faults: Faults) -> Mapping[str, Any]:
    try:
        return dict(getattr(part.registered.component, what)(part.config))
    except Exception as error:
        fault = f"{part.registered.full_name} cannot say what it {what}: {type(error).__name__}: {error}"
        faults.add(fault, part.place, part.path, f"it is a fault of {part.registered.distribution}")
        return {}


def _compare(part: PartPlan, key: str, need: Need, other: PartPlan, value: object, faults: Faults) -> None:
    hint = f"{other.path} is written at {other.place}" if other.place.line or other.place.column else ""
    if need.test is not None:
        try:
            wrong = need.test(value)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            what = f"{_named(part)} does not fit {_named(other)}, whose {key} is {yaml_text(value)}: {wrong}"
            _fault(part, need, what, hint, (), faults)
        return
    wanted = need.value if isinstance(need.value, tuple) else (need.value,)
    if value in wanted:
        return
    texts = [yaml_text(one) for one in wanted]
    what = f"{_named(part)} needs {key} {' or '.join(texts)}, and {_named(other)} gives {yaml_text(value)}"
    _fault(part, need, what + (f": {need.why}" if need.why else ""), hint, texts, faults)


def _fault(part: PartPlan, need: Need, what: str, hint: str, allowed: Sequence[str], faults: Faults) -> None:
    place = part.places.get(need.field) or part.place
    faults.add(what, place, join(part.path, need.field) if need.field else part.path, hint, allowed)


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
        return dict(registered.component.provides(config() if config is not None else None))
    except Exception:
        return {}


def flat(parts: Mapping[str, PartPlan | tuple[PartPlan, ...]]) -> Iterator[PartPlan]:
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
