"""What can be told of an installed plugin's parts without building them; `list` does not take the time."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import attrs

from glidepath.registry.describe.validation import bad_defaults, unwritable
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound, Registered, missing_extras
from glidepath.registry.discovery.modules import target_problem
from glidepath.registry.discovery.plugin_record import PluginProblem, PluginRecord
from glidepath.registry.text.yaml_text import yaml_text


def examine(catalogue: Catalogue) -> tuple[PluginRecord, ...]:
    """The records of a catalogue, with what is wrong with single parts.

    What `part_problems` finds are problems of the stages "target" and "config". A module that a part needs
    and that is not installed here is none, and stands in `missing_extras`. Parameters that import torch are
    warned of.
    """
    problems: dict[tuple[str, str], list[PluginProblem]] = {}
    extras: dict[tuple[str, str], list[PluginProblem]] = {}
    warnings: dict[tuple[str, str], list[str]] = {}
    for part in catalogue.components():
        key = (part.distribution, part.plugin)
        without_torch = "torch" not in sys.modules
        problems.setdefault(key, []).extend(part_problems(part, catalogue))
        if without_torch and "torch" in sys.modules:
            warnings.setdefault(key, []).append(
                f"the parameters of {part.component.kind} {part.component.name!r}, {part.component.config}, "
                "import torch, which costs every command that reads them seconds; import it in the module "
                "that the component's target names"
            )
        if missing := missing_extras(part):
            problem = PluginProblem(stage="requires", error=missing.what, hint=missing.hint)
            extras.setdefault(key, []).append(problem)
    return tuple(
        attrs.evolve(
            record,
            problems=(*record.problems, *problems.get((record.distribution, record.name), ())),
            missing_extras=tuple(extras.get((record.distribution, record.name), ())),
            warnings=(*record.warnings, *warnings.get((record.distribution, record.name), ())),
        )
        for record in catalogue.records
    )


def part_problems(part: Registered, catalogue: Catalogue) -> Iterator[PluginProblem]:
    """A target that is not there, parameters that no spec can write, defaults that their validators refuse.

    A spec that uses the part is told the same, unless it writes another value in the place of such a default.
    """
    title = f"{part.component.kind} {part.component.name!r}"
    authors = f"report it to the authors of {part.distribution}"
    target = part.component.target
    if reason := target_problem(target):
        yield PluginProblem(
            stage="target", error=f"{title}: {target} cannot be imported: {reason}", hint=authors
        )
    try:
        config = catalogue.config_class(part)
        wrong = unwritable(config) if config is not None else {}
        refused = list(bad_defaults(config)) if config is not None else []
    except NotFound as unread:
        yield PluginProblem(stage="config", error=f"{title}: {unread.what}", hint=unread.hint or authors)
    except Exception as error:
        what = f"{title}: its parameters cannot be read: {type(error).__name__}: {error}"
        yield PluginProblem(stage="config", error=what, hint=authors)
    else:
        for name, kind in wrong.items():
            what = f"{title}: its parameter {name!r} is {kind}, which no spec can write"
            hint = f"{authors}; text, numbers, lists, mappings and attrs classes of them can be written"
            yield PluginProblem(stage="config", error=what, hint=hint)
        for bad in refused:
            what = f"{title}: its own default of {bad.name!r} is {yaml_text(bad.value)}, {bad.why}"
            hint = f"{authors}; a spec that uses it has to write {bad.name}"
            hint += f", which takes {', '.join(bad.right)}" if bad.right else ""
            yield PluginProblem(stage="config", error=what, hint=hint)
