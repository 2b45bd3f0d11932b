"""Whose fault an exception is: the part that raised it, for a person who did not write it."""

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
    """Give an exception a note that names the part of the plan which raised it, unless it has a note already.

    Our own parts' errors that a person is meant to read (GlidepathError) say enough by themselves.
    """
    try:
        yield
    except Exception as error:
        parts = _raisers(error.__traceback__, tuple(plan.all_parts()))
        if isinstance(error, GlidepathError):
            parts = [part for part in parts if part.registered.distribution != DISTRIBUTION]
        if parts and not getattr(error, "__notes__", ()):
            error.add_note(f"raised by {' or '.join(map(whose, parts))}")
        raise


def whose(part: PartPlan) -> str:
    """A part as messages name it: with its distribution, and where the spec writes it."""
    registered = part.registered
    where = f", written at {part.place}" if part.place else ""
    return (
        f"{registered.component.kind} {registered.full_name} "
        f"({registered.distribution} {registered.version}) at {part.path}{where}"
    )


def remedy(part: PartPlan) -> str:
    """What a person can do about a part that fails."""
    registered = part.registered
    return (
        f"if its parameters are right, report it to the authors of {registered.distribution}, "
        f"or choose another {registered.component.kind}"
    )


def _raisers(trace: TracebackType | None, parts: Sequence[PartPlan]) -> list[PartPlan]:
    """The parts to which the innermost frame of any part belongs: several where one module has several."""
    for frame in reversed([frame for frame, _ in traceback.walk_tb(trace)]):
        within = [part for part in parts if frame.f_globals.get("__name__") in _modules(part)]
        if within:
            return [part for part in within if _is_of(frame, part)] or within
    return []


def _modules(part: PartPlan) -> set[str | None]:
    """The module that a target names, and the one that defines what it names there."""
    module, _, name = part.registered.component.target.partition(":")
    made = getattr(sys.modules.get(module), name, None)
    return {module, getattr(made, "__module__", None)}


def _is_of(frame: FrameType, part: PartPlan) -> bool:
    """Whether a frame runs a method of a part, or what stands inside one."""
    return type(frame.f_locals.get("self")).__name__ == part.registered.component.target.partition(":")[2]
