"""Whether the implementations that a plan names are there, found out without importing them."""

from __future__ import annotations

from glidepath.registry.discovery.modules import target_problem
from glidepath.registry.plan.plan import Plan
from glidepath.registry.text.problems import Problems


def require_targets(plan: Plan) -> None:
    """Refuse a plan that names parts whose implementations are not there.

    Raises:
        SpecError: naming each, with its distribution.
    """
    problems = Problems(plan.spec.files)
    for part in plan.all_parts():
        of = part.registered
        if reason := target_problem(of.component.target):
            what = (
                f"{of.full_name} {of.version} names a target that cannot be imported, {of.component.target}"
            )
            hint = f"report it to the authors of {of.distribution}"
            problems.add(f"{what}: {reason}", part.place, part.path, hint)
    if len(problems):
        raise problems.error()
