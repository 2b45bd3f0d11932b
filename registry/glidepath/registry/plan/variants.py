"""Plans of many specs that differ from one another in few places, such as the arms of a sweep.

Ten thousand specs have few different parts. The content of a slot is planned the first time it occurs, and a
set of parts is compared with what its members need once; nothing else is done for a spec, so that it costs a
fraction of a millisecond. A cascade is planned whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry.describe.fields import Slot
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.contracts import check_contracts
from glidepath.registry.plan.part_planner import PartPlanner
from glidepath.registry.plan.parts import PartPlan, Parts, flat_parts
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import Planner
from glidepath.registry.plan.resolved import part_tree, resolved_tree
from glidepath.registry.spec.interpolate import interpolate
from glidepath.registry.spec.overrides import Change, apply_change
from glidepath.registry.spec.positions import Schema
from glidepath.registry.spec.requirements import PluginsSection, refused_by
from glidepath.registry.spec.spec import Spec
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.problems import Place, Problems
from glidepath.registry.text.tree import Entry, MappingNode, Node, Scalar, node_of, node_value, present, walk
from glidepath.registry.text.yaml_tree import Unreadable

_REFERENCE = re.compile(r"\$\{\s*([^\s.\[\]:${}]+)")
_DEFAULT = Place("default")


@attrs.frozen(eq=False)
class Variant:
    """The plan of one spec of many.

    parts: by slot, as of `Plan`; empty for a cascade, whose parts are those of its stages.
    common: the plan of a spec with the same runtime, weights, plugins and keys; of a cascade its own plan.
    content: equal for two specs that mean the same, with every default written out.
    """

    parts: Parts
    common: Plan
    content: Hashable

    @property
    def pipelines(self) -> Mapping[str, Parts]:
        """The parts of each stage of a cascade by its name; of a spec without stages, under ""."""
        if self.common.stages:
            return {name: stage.parts for name, stage in self.common.stages.items()}
        return {"": self.parts}

    def tree(self) -> dict[str, Any]:
        """The spec with every default written out, as values that JSON has; files have absolute paths."""
        plan = self.common
        return resolved_tree(self.parts, plan.runtime, plan.weights, plan.plugins, str, plan.stage_parts)


@attrs.frozen(eq=False)
class _Seen:
    """number: of what a node says, the same for all that say it. refers: the slots that it refers to."""

    node: Node
    number: int
    refers: tuple[str, ...]


class VariantPlanner:
    """Plans specs that differ from a base. Problems are added to `problems`.

    base: a spec with what it extends, its `${...}` unresolved. name: of the base, for places.
    folder: what its own relative paths are relative to.
    """

    def __init__(
        self, base: MappingNode, catalogue: Catalogue, problems: Problems, name: str, folder: Path | None
    ) -> None:
        self.problems = problems
        self._base = base
        self._catalogue = catalogue
        self._schema = Schema(catalogue)
        self._name, self._folder = name, folder
        self._numbers: dict[str, int] = {}
        self._seen: dict[int, _Seen] = {}
        # changes are kept with what they gave: an id is a name only while its object lives
        self._trees: dict[tuple[int, ...], tuple[Change, MappingNode]] = {}
        self._whole: dict[tuple[Any, ...], Plan | None] = {}
        self._slots: dict[tuple[str, int], PartPlan | tuple[PartPlan, ...] | None] = {}
        self._equal: dict[tuple[str, str], PartPlan | tuple[PartPlan, ...]] = {}
        self._fits: dict[tuple[int, ...], bool] = {}
        self._resolved: dict[tuple[tuple[str, int], ...], MappingNode] = {}
        self._defaults: dict[str, Node] = {}
        self._faces: dict[int, int] = {}
        self._said: dict[Any, int] = {}

    def plan(self, changes: Sequence[Change] = ()) -> Variant | None:
        """The base with changes applied, in order; None where it has problems, which are added."""
        try:
            root = self._interpolated(self._tree(tuple(changes)))
        except Unreadable:
            return None
        slots = {key: entry.node for key, entry in root.items.items() if key in self._catalogue.slots}
        common = (
            tuple(sorted(root.items)),
            *((key, self._look(entry.node).number) for key, entry in root.items.items() if key not in slots),
        )
        if "stages" in root.items:
            whole = self._plan(
                root, tuple((key, self._look(entry.node).number) for key, entry in root.items.items())
            )
            if whole is None:
                return None
            return Variant({}, whole, canonical_json(whole.tree))
        parts = self._parts(root, slots, common)
        fits = parts is not None and self._fit(parts)
        # the problems of one spec's parts are not those of the next one with the same common keys
        plan = self._plan(root, common if fits else (*common, "faulty"))
        if parts is None or plan is None or not fits or not self._are_allowed(parts, plan):
            return None
        return Variant(parts, plan, (common[1:], tuple(map(id, parts.values()))))

    def _tree(self, changes: tuple[Change, ...]) -> MappingNode:
        """The base with changes applied one at a time, so that specs share what they have in common."""
        if not changes:
            return self._base
        key = tuple(map(id, changes))
        if key not in self._trees:
            before, last = self._tree(changes[:-1]), changes[-1]
            self._trees[key] = last, apply_change(before, last, self._schema, self.problems)
        return self._trees[key][1]

    def _parts(self, root: MappingNode, slots: Mapping[str, Node], common: tuple[Any, ...]) -> Parts | None:
        """The part in each slot; None where one is missing or has problems."""
        parts: dict[str, PartPlan | tuple[PartPlan, ...]] = {}
        complete = True
        for key, kind in self._catalogue.slots.items():
            node = present(slots.get(key))
            if node is None:
                if kind.required:
                    self._plan(root, (*common, "without", key))
                    complete = False
                if not kind.default:
                    continue
                if key not in self._defaults:
                    self._defaults[key] = node_of(kind.default, _DEFAULT, root.source)
                node = self._defaults[key]
            part = self._part(key, node)
            if part is None:
                complete = False
            else:
                parts[key] = part
        return parts if complete else None

    def _fit(self, parts: Parts) -> bool:
        """Whether parts fit one another: asked once for all that provide and need the same."""
        key = tuple(map(self._face, parts.values()))
        if key not in self._fits:
            before = len(self.problems)
            check_contracts(tuple(flat_parts(parts)), True, self._catalogue, self.problems)
            self._fits[key] = len(self.problems) == before
        return self._fits[key]

    def _are_allowed(self, parts: Parts, plan: Plan) -> bool:
        """Whether the spec's switches let the plugins of all parts in."""
        if plan.plugins == PluginsSection():
            return True
        before = len(self.problems)
        for part in flat_parts(parts):
            if switch := refused_by(plan.plugins, part.registered):
                what = f"{part.registered.full_name} is of a plugin that {switch} keeps out"
                self.problems.add(what, part.place, part.path)
        return len(self.problems) == before

    def _face(self, part: PartPlan | tuple[PartPlan, ...]) -> int:
        """A number that two parts share if they provide and need the same."""
        if id(part) not in self._faces:
            try:
                face: Any = tuple(map(_face_of, flat_parts({"": part})))
                hash(face)
            except Exception:  # it cannot be compared, or it fails, which check_contracts reports
                face = part if not isinstance(part, tuple) else tuple(map(id, part))
            self._faces[id(part)] = self._said.setdefault(face, len(self._said))
        return self._faces[id(part)]

    def _plan(self, root: MappingNode, key: tuple[Any, ...]) -> Plan | None:
        """The plan of a whole spec, which also looks at keys, runtime, weights and plugins."""
        if key not in self._whole:
            spec = Spec(self._name, self._folder, root, tuple(self.problems.files), dict(self.problems.lent))
            problems = Problems(self.problems.files, self.problems.lent)
            self._whole[key] = Planner(self._catalogue, problems).plan(spec)
            _pass_on(problems, self.problems)
        return self._whole[key]

    def _part(self, key: str, node: Node) -> PartPlan | tuple[PartPlan, ...] | None:
        number = self._look(node).number
        if (key, number) not in self._slots:
            # by itself: what a plan has found already must not hide what is found here
            problems = Problems(self.problems.files, self.problems.lent)
            kind = self._catalogue.slots[key]
            part = PartPlanner(self._catalogue, problems).position(node, Slot(kind.name, kind.many), key)
            _pass_on(problems, self.problems)
            self._slots[key, number] = None if len(problems) else self._interned(key, part)
        return self._slots[key, number]

    def _interned(
        self, key: str, part: PartPlan | tuple[PartPlan, ...] | None
    ) -> PartPlan | tuple[PartPlan, ...] | None:
        """The first part that says the same with every default written out."""
        if part is None:
            return None
        text = canonical_json(part_tree(part))
        return self._equal.setdefault((key, text), part)

    def _look(self, node: Node) -> _Seen:
        """What a plan has to know of a piece of a spec; looked for once."""
        seen = self._seen.get(id(node))
        if seen is None:
            nodes = [inner for _, inner in walk(node)]
            # where relative paths start, and whose short names come first, is part of what it says
            origins = sorted({f"{inner.source.folder} {inner.source.distribution}" for inner in nodes})
            text = json.dumps([node_value(node), origins], default=str)
            refers = [inner.text for inner in nodes if isinstance(inner, Scalar) and "${" in inner.text]
            words = tuple(word for inner in refers for word in _REFERENCE.findall(inner))
            # the node is kept: an id is a name only while its object lives
            seen = _Seen(node, self._numbers.setdefault(text, len(self._numbers)), words)
            self._seen[id(node)] = seen
        return seen

    def _interpolated(self, root: MappingNode) -> MappingNode:
        """The spec without `${...}`: resolved once for each content of what refers and is referred to."""
        keys = self._involved(root)
        if not keys:
            return root
        content = tuple((key, self._look(root.items[key].node).number) for key in keys)
        if content not in self._resolved:
            some = MappingNode({key: root.items[key] for key in keys}, root.place, root.source)
            before = len(self.problems)
            self._resolved[content] = interpolate(some, self.problems, False)
            if len(self.problems) > before:
                raise Unreadable
        entries: dict[str, Entry] = {**root.items, **self._resolved[content].items}
        return MappingNode(entries, root.place, root.source)

    def _involved(self, root: MappingNode) -> list[str]:
        """The keys that hold a reference, or are referred to."""
        waiting = [key for key, entry in root.items.items() if self._look(entry.node).refers]
        if "stages" in waiting:
            return list(root.items)
        involved: dict[str, None] = {}
        while waiting:
            key = waiting.pop()
            if key in root.items and key not in involved:
                involved[key] = None
                waiting += self._look(root.items[key].node).refers
        return [key for key in root.items if key in involved]


def _face_of(part: PartPlan) -> tuple[object, ...]:
    """What other parts see of a part alone."""
    component, config = part.registered.component, part.config
    needs = sorted(component.needs(config).items(), key=lambda need: need[0])
    return (
        part.path,
        part.registered.full_name,
        tuple(sorted(part.provided().items())),
        tuple(needs),
    )


def _pass_on(problems: Problems, to: Problems) -> None:
    for problem in problems.sorted():
        to.add(problem.what, problem.place, problem.path, problem.hint, problem.allowed)
