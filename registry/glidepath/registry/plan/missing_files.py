"""What a spec that is right still needs before it makes images: weights, files. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from glidepath.registry.describe.fields import fields
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.tree import join_path

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.parts import PartPlan
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.text.problems import Problem

WEIGHTS = "weights"
"""What a component lacks under this name is told only where nothing gives it weights."""


def lacking(plan: Plan, catalogue: Catalogue) -> Sequence[Problem]:
    """A warning for each file that is not there, and for all that the parts say they lack.

    Of a spec that says how it is trained, it is not told that it has no weights yet. A hub is not asked.
    """
    problems = Problems(plan.spec.files, plan.spec.lent)
    for path, address in plan.missing_weights(catalogue).items():
        what = f"{join_path(path, WEIGHTS)}: there is no file {address} yet"
        problems.warn(what, None, hint=catalogue.weight_makers())
    is_trained = any(not catalogue.slots[slot].sampling for slot in plan.parts if slot in catalogue.slots)
    for pipeline in plan.pipelines().values():
        for part in pipeline.all_parts():
            for name, file in _absent_files(part):
                what = f"{join_path(part.path, name)}: there is no file or folder {file}"
                problems.warn(what, part.places.get(name) or part.place, join_path(part.path, name))
            for name, message in _lacked(part, problems):
                if name == WEIGHTS and (is_trained or _has_weights(part, pipeline, plan)):
                    continue
                what = f"{part.path} ({part.registered.component.name}) {message}"
                hint = _where_weights_go(part, pipeline, catalogue) if name == WEIGHTS else ""
                problems.warn(what, part.places.get(name) or part.place, join_path(part.path, name), hint)
    return problems.warnings


def _absent_files(part: PartPlan) -> Iterator[tuple[str, PurePath]]:
    """The files and folders that parameters name and that are not there."""
    for name, field in fields(type(part.config)).items() if part.config is not None else ():
        value = getattr(part.config, field.attribute.name)
        if isinstance(value, PurePath) and not os.path.exists(value):
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
    return any(part is one for one in pipeline.parts.values())


def _has_weights(part: PartPlan, pipeline: Plan, plan: Plan) -> bool:
    shared = pipeline.weights or plan.weights
    return part.weights is not None or (shared is not None and _is_in_slot(part, pipeline))


def _where_weights_go(part: PartPlan, pipeline: Plan, catalogue: Catalogue) -> str:
    key = join_path(pipeline.path if _is_in_slot(part, pipeline) else part.path, WEIGHTS)
    makers = catalogue.weight_makers()
    return f"name a file as {key}{f'; {makers}' if makers else ''}"
