"""The arms of a study: from drafts to planned specs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from glidepath.plugins.studies.study.drafts import Draft
from glidepath.registry import Parts, Plan, Value, VariantPlanner, canonical_json, quoted

_LONGEST_NAME = 60


@attrs.frozen(eq=False)
class ArmPlan:
    """A spec that a study runs.

    name: short, and the same whatever other arms there are. factors: the value of each axis.
    also: names of arms that are the same spec. also_factors: their factors.
    """

    name: str
    factors: Mapping[str, Value]
    plan: Plan
    also: tuple[str, ...] = ()
    also_factors: tuple[Mapping[str, Value], ...] = ()

    @property
    def parts(self) -> Parts:
        """The parts by slot; none of a cascade, whose parts are those of its stages."""
        return self.plan.parts

    @property
    def pipelines(self) -> Mapping[str, Parts]:
        """The parts of each stage of a cascade by its name; of a spec without stages, under ""."""
        return {name: plan.parts for name, plan in self.plan.pipelines().items()}

    def tree(self) -> dict[str, Any]:
        """The arm as an ordinary spec with every default written out; files have absolute paths."""
        return self.plan.tree_with(str)


def plan_arms(planner: VariantPlanner, drafts: Sequence[Draft]) -> list[ArmPlan]:
    """The arms of drafts. Drafts of one spec are one arm; a draft with problems has none."""
    arms: dict[bytes, ArmPlan] = {}
    contents: dict[str, bytes] = {}
    for draft in drafts:
        plan = planner.plan(draft.changes)
        if plan is None:
            continue
        name, content = short(draft.name), hashlib.sha256(canonical_json(plan.tree).encode()).digest()
        if name in (".", ".."):
            what = f"an arm has a folder of its name, and {quoted(name)} is the name of another one"
            planner.problems.add(what, draft.place, hint="give it a name of letters: case: NAME")
            continue
        if contents.setdefault(name, content) != content:
            what = f"two arms that differ are called {quoted(name)}"
            planner.problems.add(what, draft.place, hint="name their blocks: case: NAME")
            continue
        first = arms.get(content)
        if first is None:
            arms[content] = ArmPlan(name, draft.factors, plan)
        else:
            known = name in (first.name, *first.also)
            also = first.also if known else (*first.also, name)
            also_factors = (*first.also_factors, draft.factors)
            arms[content] = attrs.evolve(first, also=also, also_factors=also_factors)
    return list(arms.values())


def short(name: str) -> str:
    """A name of at most 60 characters; a longer one ends in a piece of its digest."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
