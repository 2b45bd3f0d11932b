"""What a study asks: `compare` names differences of arms inside cells, and main effects over a grid.

    compare:
      half: {axis: mode, from: full, to: half}                             the mean over all cells
      half with ddim: {axis: mode, from: full, to: half, at: {sampler: ddim}}
      half by scale: {axis: mode, from: full, to: half, each: [scale]}     one for each scale
      half by cell: {axis: mode, from: full, to: half, each: true}         one for each cell
      the best two: {from: ARM, to: ARM}

A cell is what two arms have in common: the values of all axes but the one that is asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from glidepath.plugins.studies.statistics.results import Contrast
from glidepath.plugins.studies.study.arms import ArmPlan
from glidepath.plugins.studies.study.drafts import label_of
from glidepath.registry import (
    Broken,
    Document,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    Value,
    describe_node,
    join_path,
    quoted,
    yaml_text,
)

_KEYS = ("axis", "from", "to", "at", "each")
_HINT = "such as compare: {half: {axis: mode, from: full, to: half}}"


def read_questions(document: Document, arms: Sequence[ArmPlan]) -> tuple[Contrast, ...]:
    """The contrasts that `compare` names; none where it is left out."""
    node, problems = document.node("compare"), document.problems
    if node is None or isinstance(node, Broken) or not arms:
        return ()
    if not isinstance(node, MappingNode) or not node.items:
        what = f"compare takes a mapping of names to differences, and this is {describe_node(node)}"
        problems.add(what, node.place, "compare", _HINT)
        return ()
    found: dict[frozenset[tuple[str, str]], Contrast] = {}
    for name, entry in node.items.items():
        path = join_path("compare", name)
        for one in _Question(document, arms, name, entry.node, path).contrasts():
            if any(one.name == it.name for it in found.values()):
                problems.add(f"two differences are called {quoted(one.name)}", entry.key, path)
            # the same difference under another name is one comparison
            found.setdefault(frozenset(one.cells), one)
    return tuple(found.values())


@attrs.frozen(eq=False)
class _Question:
    """One entry of `compare`, and the arms that it is about."""

    document: Document
    arms: Sequence[ArmPlan]
    name: str
    node: Node
    path: str

    def contrasts(self) -> list[Contrast]:
        node = self.node
        if not isinstance(node, MappingNode):
            return self._wrong(f"a difference is a mapping, and this is {describe_node(node)}", node)
        for key, entry in node.items.items():
            if key not in _KEYS:
                what = f"a difference has {', '.join(_KEYS)}, and no {quoted(key)}"
                self.document.problems.add(what, entry.key, self.path, "", _KEYS, (key, _KEYS))
                return []
        ends = [node.get("from"), node.get("to")]
        if not all(isinstance(it, Scalar) for it in ends):
            return self._wrong("a difference is `from` one value or arm `to` another", node)
        first, second = (label_of(it) for it in ends if it is not None)
        axis = node.get("axis")
        if axis is None:
            return self._of_arms(node, first, second)
        if not isinstance(axis, Scalar) or axis.text not in self._axes():
            return self._wrong("`axis` names one of the axes", axis, self._axes())
        at, each = self._at(node), self._each(node, axis.text)
        if at is None or each is None:
            return []
        return self._of_axis(node, axis.text, first, second, at, each)

    def _of_arms(self, node: MappingNode, first: Value, second: Value) -> list[Contrast]:
        names = [arm.name for arm in self.arms]
        if any(key in node.items for key in ("at", "each")):
            return self._wrong("`at` and `each` need an `axis`; without one, `from` and `to` name arms", node)
        chosen = []
        for key, name in (("to", second), ("from", first)):
            arm = next((it for it in self.arms if name in (it.name, *it.also)), None)
            if arm is None:
                return self._wrong(f"no arm is called {quoted(yaml_text(name))}", node.get(key), names)
            chosen.append(arm)
        if chosen[0] is chosen[1]:
            return self._wrong("these are one arm, which does not differ from itself", node)
        return [_contrast(self.name, chosen[0].name, chosen[1].name, [(chosen[0], chosen[1])])]

    def _of_axis(
        self,
        node: MappingNode,
        axis: str,
        first: Value,
        second: Value,
        at: Mapping[str, Value],
        each: Sequence[str],
    ) -> list[Contrast]:
        cells: dict[tuple[tuple[str, Value], ...], dict[Value, ArmPlan]] = {}
        for arm in self.arms:
            for factors in (arm.factors, *arm.also_factors):
                if axis in factors and all(_same(factors.get(key), it) for key, it in at.items()):
                    others = tuple((key, it) for key, it in factors.items() if key != axis)
                    cells.setdefault(others, {})[factors[axis]] = arm
        known = list(dict.fromkeys(value for cell in cells.values() for value in cell))
        for key, value in (("from", first), ("to", second)):
            if not any(_same(value, it) for it in known):
                what = f"no arm of these has {axis} {yaml_text(value)}"
                return self._wrong(what, node.get(key), [yaml_text(it) for it in known])
        groups: dict[tuple[tuple[str, Value], ...], list[tuple[ArmPlan, ArmPlan]]] = {}
        for others, cell in cells.items():
            if first in cell and second in cell and cell[first] is not cell[second]:
                group = tuple(it for it in others if it[0] in each)
                groups.setdefault(group, []).append((cell[second], cell[first]))
        if not groups:
            return self._wrong("no two arms differ in this alone", node)
        return [
            _contrast(
                _named(self.name, group), f"{axis} {second}", f"{axis} {first}", pairs, group or at.items()
            )
            for group, pairs in groups.items()
        ]

    def _at(self, node: MappingNode) -> dict[str, Value] | None:
        """The values that `at` holds; None where it is wrong."""
        at = node.get("at")
        if at is None:
            return {}
        if not isinstance(at, MappingNode) or not all(key in self._axes() for key in at.items):
            self._wrong("`at` takes values of other axes, such as at: {sampler: ddim}", at, self._axes())
            return None
        return {key: label_of(entry.node) for key, entry in at.items.items()}

    def _each(self, node: MappingNode, axis: str) -> list[str] | None:
        """The axes of which each value has a difference of its own; None where it is wrong."""
        each, others = node.get("each"), [it for it in self._axes() if it != axis]
        if each is None or (isinstance(each, Scalar) and each.value is False):
            return []
        if isinstance(each, Scalar) and each.value is True:
            return others
        listed = each.items if isinstance(each, ListNode) else (each,)
        names = [it.text for it in listed if isinstance(it, Scalar)]
        if len(names) < len(listed) or not set(names) <= set(others):
            self._wrong("`each` is true, or a list of other axes", each, others)
            return None
        return names

    def _axes(self) -> list[str]:
        return list(dict.fromkeys(key for arm in self.arms for key in arm.factors))

    def _wrong(self, what: str, node: Node | None, allowed: Sequence[str] = ()) -> list[Contrast]:
        if not isinstance(node, Broken):
            place = (node or self.node).place
            self.document.problems.add(what, place, self.path, "" if allowed else _HINT, tuple(allowed))
        return []


def _contrast(
    name: str,
    title: str,
    against: str,
    pairs: Sequence[tuple[ArmPlan, ArmPlan]],
    at: Iterable[tuple[str, Value]] = (),
) -> Contrast:
    where = ", ".join(f"{key} {value}" for key, value in at)
    return Contrast(
        name=name,
        title=title,
        against=f"{against} at {where}" if where else against,
        cells=tuple(dict.fromkeys((one.name, other.name) for one, other in pairs)),
    )


def _named(name: str, group: Sequence[tuple[str, Value]]) -> str:
    return ", ".join([name, *(f"{key} {value}" for key, value in group)])


def _same(one: Value, other: Value) -> bool:
    """Whether two labels are one; true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
