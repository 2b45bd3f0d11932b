"""Plans of specs that differ from one base in few places, such as the arms of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry.describe.fields import Slot
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.part_planner import PartPlanner
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import Planner
from glidepath.registry.spec.interpolate import interpolate
from glidepath.registry.spec.overrides import Change, apply_change
from glidepath.registry.spec.positions import Schema
from glidepath.registry.spec.spec import Spec
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.problems import Problem, Problems
from glidepath.registry.text.tree import MappingNode, Node, join_path
from glidepath.registry.text.yaml_tree import Unreadable

_Planned = PartPlan | tuple[PartPlan, ...]


@attrs.define(eq=False, kw_only=True)
class _PartsOnce(PartPlanner):
    """Plans what stands in one place once, as long as it is the same node of a tree.

    known: what was planned without a problem, by path, node and switches of plugins. The node is kept too,
        since an id is a name only while its object lives.
    """

    known: dict[tuple[str, int, str], tuple[Node, _Planned]]

    def position(self, node: Node, slot: Slot, path: str, empty: str = "") -> _Planned | None:
        """As `PartPlanner.position`."""
        key = (path, id(node), str(self.plugins))
        if key not in self.known:
            before = len(self.problems)
            planned = PartPlanner.position(self, node, slot, path, empty)
            if planned is None or len(self.problems) > before:
                return planned
            self.known[key] = node, planned
        return self.known[key][1]


class VariantPlanner:
    """Plans specs that differ from a base. Problems are added to `problems`, each once.

    base: a spec with what it extends, its `${...}` unresolved. name: of the base, for places.
    folder: what its own relative paths are relative to.
    rebased: the base on something else that it then extends, None where that cannot be read, which is
        reported; a change of `extends` needs it.
    """

    def __init__(
        self,
        base: MappingNode,
        catalogue: Catalogue,
        problems: Problems,
        name: str,
        folder: Path | None,
        rebased: Callable[[Node], MappingNode | None] | None = None,
    ) -> None:
        self.problems = problems
        self._base = base
        self._catalogue = catalogue
        self._schema = Schema(catalogue)
        self._name, self._folder = name, folder
        self._rebased = rebased
        self._bases: dict[int, tuple[Node, MappingNode | None]] = {}
        self._told: set[Problem] = set()
        self._known: dict[tuple[str, int, str], tuple[Node, _Planned]] = {}
        self._parts: dict[tuple[str, str], tuple[_Planned, Any]] = {}

    def plan(self, changes: Sequence[Change] = ()) -> Plan | None:
        """The base with changes applied, in order; None where it has problems, which are added.

        A change of `extends` comes before the others: what the base says itself, and they, stand on it.

        Parts of a slot that say the same are one object in all plans, so that what is found out of one, a
        digest say, is found out once.
        """
        problems = Problems(self.problems.files, self.problems.lent)
        base, others = self._based(changes)
        if base is None:
            return None
        root, plan = base, None
        for change in others:
            root = apply_change(root, change, self._schema, problems)
        try:
            root = interpolate(root, problems, allow_env=False)
            spec = Spec(self._name, self._folder, root, tuple(problems.files), problems.lent)
            plan = Planner(_PartsOnce(self._catalogue, problems, known=self._known)).plan(spec)
        except Unreadable:
            pass
        self.problems.lent |= problems.lent
        for problem in problems.sorted():
            if problem not in self._told:
                self._told.add(problem)
                self.problems.add(problem.what, problem.place, problem.path, problem.hint, problem.allowed)
        return None if plan is None else self._sharing(plan)

    def _based(self, changes: Sequence[Change]) -> tuple[MappingNode | None, Sequence[Change]]:
        """What the changes start from, and those that are applied to it."""
        others: list[Change] = []
        base: MappingNode | None = self._base
        for change in changes:
            if change.path.text != "extends" or change.value is None or self._rebased is None:
                others.append(change)
                continue
            node = change.value
            if id(node) not in self._bases:
                self._bases[id(node)] = node, self._rebased(node)
            base = self._bases[id(node)][1]
        return base, others

    def _sharing(self, plan: Plan) -> Plan:
        parts, tree = dict(plan.parts), dict(plan.tree)
        for slot, part in plan.parts.items():
            key = join_path(plan.path, slot), canonical_json(tree[slot])
            parts[slot], tree[slot] = self._parts.setdefault(key, (part, tree[slot]))
        stages = {name: self._sharing(stage) for name, stage in plan.stages.items()}
        return attrs.evolve(plan, parts=parts, tree=tree, stages=stages)
