"""What a study file says of its arms: blocks, each of which stands for one or many.

    - {case: NAME, set: {PATH: VALUE}, remove: [PART], axes: {...}}     the product of its axes
    - {one_factor: {axes: {...}}}                  the base, and each value of each axis by itself
    - {leave_one_out: {parts: {...}, pairs: true}} all parts, and all but one (but two)
    - {add_one_in: {parts: {...}}}                 no part, and each by itself
    - {cumulative: {parts: {...}}}                 no part, the first, the first two, ...

An axis is as in axes.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from glidepath.plugins.studies.study.axes import AxisReader
from glidepath.plugins.studies.study.drafts import CHANGES, MOST_ARMS, Draft, word
from glidepath.registry import (
    Broken,
    Change,
    ListNode,
    MappingNode,
    Node,
    Place,
    Problems,
    Value,
    join_path,
    quoted,
)

_GENERATORS = ("axes", "one_factor", "leave_one_out", "add_one_in", "cumulative")


class Grammar(AxisReader):
    """Reads blocks; what is wrong goes to `problems`, what is doubtful to `warnings`."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(problems)
        self.warnings: list[str] = []

    def arms(self, node: Node | None, place: Place) -> list[Draft]:
        """The drafts of all blocks, in order; without blocks the base alone."""
        if node is None:
            return [Draft("base", {}, (), place)]
        self.axis_names = tuple(_axis_names(node))
        blocks = node.items if isinstance(node, ListNode) else (node,)
        drafts: list[Draft] = []
        for index, block in enumerate(blocks):
            path = f"arms[{index}]" if isinstance(node, ListNode) else "arms"
            mapping = self.mapping(block, path, "a block of arms", ("case", *CHANGES, *_GENERATORS))
            if mapping is not None:
                drafts += self._block(mapping, path)
        if not drafts and not len(self.problems):
            self.problems.add(
                "the study has no arms", node.place, "arms", "leave `arms` out to run the base alone"
            )
        if len(drafts) > MOST_ARMS:
            self.problems.add(
                f"the study has {len(drafts):,} arms, and at most {MOST_ARMS:,} are read", place
            )
            return []
        return drafts

    def _block(self, block: MappingNode, path: str) -> list[Draft]:
        case = self.name(block.get("case"), join_path(path, "case"))
        factors: dict[str, Value] = {"case": case} if case else {}
        start = Draft(word(case) if case else "", factors, tuple(self.changes(block, path)), block.place)
        stated = [key for key in _GENERATORS if key in block.items]
        if len(stated) > 1:
            what = f"a block has one of {', '.join(_GENERATORS)}, and this has {' and '.join(stated)}"
            self.problems.add(what, block.items[stated[1]].key, path, "write them as blocks of their own")
            return []
        if not stated:
            return [start if start.name else attrs.evolve(start, name="base")]
        key = stated[0]
        inner, below = block.items[key].node, join_path(path, key)
        if key == "axes":
            drafts = self.product(inner, below)
        elif key == "one_factor":
            drafts = self._one_factor(inner, below)
        else:
            drafts = self._parts(key, inner, below)
        return [self.joined(start, draft) for draft in drafts]

    def _one_factor(self, node: Node, path: str) -> list[Draft]:
        mapping = self.mapping(node, path, "one_factor", ("axes",))
        if mapping is None:
            return []
        axes = self.axes(mapping.get("axes"), join_path(path, "axes"), mapping.place)
        return [Draft("base", {}, (), node.place), *itertools.chain.from_iterable(axes)]

    def _parts(self, key: str, node: Node, path: str) -> list[Draft]:
        """Arms of which some parts are there and others are not. What a part's entry says takes it away."""
        allowed = ("parts", "pairs") if key == "leave_one_out" else ("parts",)
        mapping = self.mapping(node, path, key, allowed)
        if mapping is None:
            return []
        stated, below = mapping.get("parts"), join_path(path, "parts")
        if not isinstance(stated, MappingNode) or not stated.items:
            if not isinstance(stated, Broken):
                what = f"{key} takes `parts`, a mapping of names to what takes each of them away"
                hint = "such as parts: {guidance: {remove: guidance}, ema: {set: {train.ema: 0}}}"
                self.problems.add(what, mapping.place, below, hint)
            return []
        edits: dict[str, tuple[Change, ...]] = {}
        for name, entry in stated.items.items():
            inner = self.mapping(entry.node, join_path(below, name), "a part", CHANGES)
            edits[name] = tuple(self.changes(inner, join_path(below, name))) if inner is not None else ()
            if inner is not None and not edits[name] and not len(self.problems):
                what = f"nothing takes {quoted(name)} away"
                self.problems.add(what, entry.key, join_path(below, name), "write `remove` or `set`")
        names = list(edits)
        if key == "leave_one_out":
            pairs = self.flag(mapping.get("pairs"), join_path(path, "pairs"))
            gone = [(), *((name,) for name in names), *(itertools.combinations(names, 2) if pairs else ())]
            called = [",".join(f"no-{word(name)}" for name in some) or "full" for some in gone]
        elif key == "add_one_in":
            gone = [tuple(names), *(tuple(other for other in names if other != name) for name in names)]
            called = ["none", *(f"only-{word(name)}" for name in names)]
        else:
            gone = [tuple(names[count:]) for count in range(len(names) + 1)]
            called = ["none", *("+".join(map(word, names[: count + 1])) for count in range(len(names)))]
            self.warnings.append(
                f"{path}: in a cumulative ladder the order of the parts decides what each seems to add; "
                "leave_one_out and add_one_in do not depend on it"
            )
        return [
            Draft(
                name,
                {part: part not in some for part in names},
                tuple(itertools.chain.from_iterable(edits[part] for part in some)),
                mapping.place,
            )
            for name, some in zip(called, gone, strict=True)
        ]


def _axis_names(node: Node) -> Iterator[str]:
    """The keys of all axes, inside of cases too."""
    if isinstance(node, MappingNode):
        axes = node.get("axes")
        yield from axes.items if isinstance(axes, MappingNode) else ()
        for entry in node.items.values():
            yield from _axis_names(entry.node)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from _axis_names(item)
