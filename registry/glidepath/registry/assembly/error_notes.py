"""Notes on exceptions that name the part which raised them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError
from glidepath.registry.discovery.scan import DISTRIBUTION

if TYPE_CHECKING:
    from glidepath.registry.plan.parts import PartPlan
    from glidepath.registry.plan.plan import Plan


@contextmanager
def naming_the_part(plan: Plan) -> Iterator[None]:
    """Add a note to an exception: the part of the plan that raised it. One that has a note keeps it alone.

    A GlidepathError of a bundled part gets none: its message says enough.
    """
    try:
        yield
    except Exception as error:
        parts = _parts_that_raised(error.__traceback__, tuple(plan.all_parts()))
        if isinstance(error, GlidepathError):
            parts = [part for part in parts if part.registered.distribution != DISTRIBUTION]
        if parts and not getattr(error, "__notes__", ()):
            error.add_note(f"raised by {' or '.join(map(part_title, parts))}")
        raise


def part_title(part: PartPlan) -> str:
    """A part as messages name it: with its distribution, and where the spec writes it."""
    registered = part.registered
    where = f", written at {part.place}" if part.place else ""
    return (
        f"{registered.component.kind} {registered.full_name} "
        f"({registered.distribution} {registered.version}) at {part.path}{where}"
    )


def remedy(part: PartPlan) -> str:
    """What a person can do about a part that fails."""
    return f"if its parameters are right, report it to the authors of {part.registered.distribution}"


def _parts_that_raised(trace: TracebackType | None, parts: Sequence[PartPlan]) -> list[PartPlan]:
    """The parts that the innermost frame of any part belongs to: several where they share a module."""
    for frame in reversed([frame for frame, _ in traceback.walk_tb(trace)]):
        within = [part for part in parts if frame.f_globals.get("__name__") in _modules(part)]
        if within:
            return [part for part in within if _is_of(frame, part)] or within
    return []


def _modules(part: PartPlan) -> set[str | None]:
    """The module that a target names, and the module that defines the class."""
    module, _, name = part.registered.component.target.partition(":")
    target = getattr(sys.modules.get(module), name, None)
    return {module, getattr(target, "__module__", None)}


def _is_of(frame: FrameType, part: PartPlan) -> bool:
    """Whether a frame runs a method of a part."""
    return type(frame.f_locals.get("self")).__name__ == part.registered.component.target.partition(":")[2]
