"""What can be told of an installed plugin's parts without building them; `list` does not take the time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from glidepath.registry.describe.validation import bad_defaults
from glidepath.registry.describe.writable import unwritable
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.modules import target_fault
from glidepath.registry.discovery.registered import Registered, hindrance
from glidepath.registry.discovery.scan import Fault, PluginRecord
from glidepath.registry.discovery.unknown import Unknown
from glidepath.registry.plan.key_spelling import odd_keys
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.yaml_text import yaml_text

if TYPE_CHECKING:
    from glidepath.registry.plan.plan import Plan


def examine(catalogue: Catalogue) -> tuple[PluginRecord, ...]:
    """The records of a catalogue, with what is wrong with single parts.

    What `part_faults` finds are faults of the stages "target" and "config". A module that a part needs and
    that is not installed here is no fault, and stands in `lacks`. Parameters that import torch are warned of,
    and so are keys of `provides` and `needs` that seem to be misspelt.
    """
    faults: dict[tuple[str, str], list[Fault]] = {}
    lacks: dict[tuple[str, str], list[Fault]] = {}
    warnings: dict[tuple[str, str], list[str]] = {}
    for part in catalogue.components():
        key = (part.distribution, part.plugin)
        without_torch = "torch" not in sys.modules
        faults.setdefault(key, []).extend(part_faults(part, catalogue))
        if without_torch and "torch" in sys.modules:
            warnings.setdefault(key, []).append(
                f"the parameters of {part.component.kind} {part.component.name!r}, {part.component.config}, "
                "import torch, which costs every command that reads them seconds; import it in the module "
                "that the component's target names"
            )
        if lacking := hindrance(part):
            lack = Fault(stage="requires", error=lacking.what, hint=lacking.hint)
            lacks.setdefault(key, []).append(lack)
    for odd in odd_keys(catalogue):
        warnings.setdefault((odd.part.distribution, odd.part.plugin), []).append(str(odd))
    return tuple(
        attrs.evolve(
            record,
            faults=(*record.faults, *faults.get((record.distribution, record.name), ())),
            lacks=tuple(lacks.get((record.distribution, record.name), ())),
            warnings=(*record.warnings, *warnings.get((record.distribution, record.name), ())),
        )
        for record in catalogue.records
    )


def part_faults(part: Registered, catalogue: Catalogue) -> Iterator[Fault]:
    """A target that is not there, parameters that no spec can write, defaults that their validators refuse.

    A spec that uses the part is told the same, unless it writes another value in the place of such a default.
    """
    title = f"{part.component.kind} {part.component.name!r}"
    authors = f"report it to the authors of {part.distribution}"
    target = part.component.target
    if reason := target_fault(target):
        yield Fault(stage="target", error=f"{title}: {target} cannot be imported: {reason}", hint=authors)
    try:
        config = catalogue.config_class(part)
        wrong = unwritable(config) if config is not None else {}
        refused = list(bad_defaults(config)) if config is not None else []
    except Unknown as unknown:
        yield Fault(stage="config", error=f"{title}: {unknown.what}", hint=unknown.hint or authors)
    except Exception as error:
        what = f"{title}: its parameters cannot be read: {type(error).__name__}: {error}"
        yield Fault(stage="config", error=what, hint=authors)
    else:
        for name, kind in wrong.items():
            what = f"{title}: its parameter {name!r} is {kind}, which no spec can write"
            hint = f"{authors}; text, numbers, lists, mappings and attrs classes of them can be written"
            yield Fault(stage="config", error=what, hint=hint)
        for bad in refused:
            what = f"{title}: its own default of {bad.name!r} is {yaml_text(bad.value)}, {bad.why}"
            hint = f"{authors}; a spec that uses it has to write {bad.name}"
            hint += f", which takes {', '.join(bad.right)}" if bad.right else ""
            yield Fault(stage="config", error=what, hint=hint)


def require_targets(plan: Plan) -> None:
    """Refuse a plan that names parts whose implementations are not there.

    Raises:
        SpecError: naming each, with its distribution.
    """
    faults = Problems(plan.spec.files)
    for part in plan.all_parts():
        of = part.registered
        if reason := target_fault(of.component.target):
            what = (
                f"{of.full_name} {of.version} names a target that cannot be imported, {of.component.target}"
            )
            hint = f"report it to the authors of {of.distribution}, or choose another {of.component.kind}"
            faults.add(f"{what}: {reason}", part.place, part.path, hint)
    if len(faults):
        raise faults.error()
