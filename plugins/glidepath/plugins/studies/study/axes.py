"""The axes of a block: each stands for several changes of the base, one for each of its values.

An axis is {at: PATH, values: [...]}, {at: PATH, range: {from, to, step}}, {zip: {PATH: [...]}} of lists that
change together, or {cases: {NAME: {set, remove, axes}}}; `PATH: [...]` is short for the first.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from fractions import Fraction

from glidepath.plugins.studies.study.drafts import CHANGES, MOST_ARMS, Draft, DraftReader, label_of, word
from glidepath.registry import (
    Broken,
    Change,
    ListNode,
    MappingNode,
    Node,
    Place,
    Problems,
    Scalar,
    Value,
    describe_node,
    join_path,
    node_of,
    quoted,
    yaml_text,
)

_AXIS = ("at", "values", "range", "zip", "cases", "labels", "drop_unknown")


class AxisReader(DraftReader):
    """Reads axes."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(problems)
        self.axis_names: tuple[str, ...] = ()

    def _short(self, path: str) -> str:
        """The last words of a path: one, or as many as no other axis of the study ends in."""
        words = path.split(".")
        ends = (".".join(words[-count:]) for count in range(1, len(words)))
        others = [f".{name}" for name in self.axis_names if name != path]
        return next((end for end in ends if not any(it.endswith(f".{end}") for it in others)), path)

    def product(self, node: Node, path: str) -> list[Draft]:
        axes = self.axes(node, path)
        if math.prod(map(len, axes)) > MOST_ARMS:
            what = f"these axes make {math.prod(map(len, axes)):,} arms, and at most {MOST_ARMS:,} are read"
            self.problems.add(what, node.place, path)
            return []
        nothing = Draft("", {}, (), node.place)
        drafts = [nothing]
        for axis in axes:
            drafts = [self.joined(before, choice) for before in drafts for choice in axis]
        return drafts

    def axes(self, node: Node | None, path: str, place: Place | None = None) -> list[list[Draft]]:
        """The choices of each axis."""
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                this = "nothing" if node is None else describe_node(node)
                where = node.place if node is not None else place
                what = f"axes takes a mapping of names to axes, and this is {this}"
                self.problems.add(what, where, path, "such as axes: {sampler.steps: [10, 27, 50]}")
            return []
        return [
            self._axis(node.key(name), entry.node, join_path(path, name))
            for name, entry in node.items.items()
        ]

    def _axis(self, name: Scalar, node: Node, path: str) -> list[Draft]:
        if isinstance(node, ListNode):
            values = [(item, label_of(item)) for item in node.items]
            return self._values(self._short(name.text), name, values, node, path, False)
        if not isinstance(node, MappingNode | Broken):
            what = f"an axis takes a list of values, or a mapping, and this is {describe_node(node)}"
            hint = f"such as {yaml_text(name.text)}: [1, 2]"
            self.problems.add(what, node.place, path, hint, _AXIS)
            return []
        mapping = self.mapping(node, path, "an axis", _AXIS)
        if mapping is None:
            return []
        drop = self.flag(mapping.get("drop_unknown"), join_path(path, "drop_unknown"))
        stated = [key for key in ("values", "range", "zip", "cases") if key in mapping.items]
        if len(stated) != 1:
            said = " and ".join(stated) or "none"
            what = f"an axis has one of values, range, zip and cases, and this has {said}"
            self.problems.add(what, mapping.place, path)
            return []
        key = stated[0]
        inner, below = mapping.items[key].node, join_path(path, key)
        if key == "cases":
            return self._cases(name.text, inner, below)
        if key == "zip":
            return self._zip(name.text, mapping, inner, below, drop)
        at = mapping.get("at")
        if not isinstance(at, Scalar) or not at.is_text:
            if not isinstance(at, Broken):
                where = mapping.place if at is None else at.place
                self.problems.add(
                    "an axis says which value it varies", where, path, "such as at: sampler.steps"
                )
            return []
        values = self._range(inner, below) if key == "range" else self._listed(inner, below)
        return self._values(name.text, at, values, inner, below, drop)

    def _listed(self, node: Node, path: str) -> list[tuple[Node, Value]]:
        """Values with their labels: of a list, or of a mapping of labels to values."""
        if isinstance(node, MappingNode):
            return [(entry.node, label) for label, entry in node.items.items()]
        if isinstance(node, ListNode):
            return [(item, label_of(item)) for item in node.items]
        if not isinstance(node, Broken):
            what = f"values takes a list, or a mapping of labels to values, and this is {describe_node(node)}"
            self.problems.add(what, node.place, path)
        return []

    def _values(
        self, name: str, at: Scalar, values: Sequence[tuple[Node, Value]], node: Node, path: str, drop: bool
    ) -> list[Draft]:
        drafts = [
            Draft(f"{word(name)}={word(label)}", {name: label}, (Change(at, value, drop),), value.place)
            for value, label in values
        ]
        return self._distinct(drafts, node, path)

    def _distinct(self, drafts: list[Draft], node: Node, path: str) -> list[Draft]:
        if not drafts and not isinstance(node, Broken) and not len(self.problems):
            self.problems.add("an axis has at least one value", node.place, path)
        seen: dict[str, Draft] = {}
        for draft in drafts:
            if draft.name in seen:
                what = f"two values of the axis are called {quoted(draft.name)}"
                hint = f"the first is at {seen[draft.name].place}; write a mapping of labels to values"
                self.problems.add(what, draft.place, path, hint)
            seen.setdefault(draft.name, draft)
        return list(seen.values())

    def _zip(self, name: str, axis: MappingNode, node: Node, path: str, drop: bool) -> list[Draft]:
        """Several paths that change together."""
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                what = f"zip takes a mapping of paths to lists, and this is {describe_node(node)}"
                self.problems.add(
                    what, node.place, path, "such as zip: {sampler: [ddpm, ddim], sampler.steps: [150, 27]}"
                )
            return []
        columns: dict[str, tuple[Scalar, tuple[Node, ...]]] = {}
        for key, entry in node.items.items():
            if not isinstance(entry.node, ListNode):
                if not isinstance(entry.node, Broken):
                    self.problems.add(
                        f"zip takes lists, and this is {describe_node(entry.node)}",
                        entry.node.place,
                        join_path(path, key),
                    )
                return []
            columns[key] = (node.key(key), entry.node.items)
        lengths = {key: len(items) for key, (_, items) in columns.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{key} has {count}" for key, count in lengths.items())
            self.problems.add(f"the lists of a zip are equally long, and {said}", node.place, path)
            return []
        labels = axis.get("labels")
        texts: list[Value] = [
            "+".join(yaml_text(label_of(item)) for item in row)
            for row in zip(*(items for _, items in columns.values()), strict=True)
        ]
        if isinstance(labels, ListNode) and len(labels.items) == len(texts):
            texts = [label_of(item) for item in labels.items]
        elif labels is not None and not isinstance(labels, Broken):
            what = f"labels takes a list of {len(texts)}, a label for each row of the zip"
            self.problems.add(what, labels.place, join_path(path.rpartition(".")[0], "labels"))
        drafts = [
            Draft(
                f"{word(name)}={word(label)}",
                {name: label},
                tuple(Change(at, items[row], drop) for at, items in columns.values()),
                next(iter(columns.values()))[1][row].place,
            )
            for row, label in enumerate(texts)
        ]
        return self._distinct(drafts, node, path)

    def _cases(self, name: str, node: Node, path: str) -> list[Draft]:
        """Named sets of changes, each with axes of its own."""
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                what = f"cases takes a mapping of names to changes, and this is {describe_node(node)}"
                self.problems.add(
                    what, node.place, path, "such as cases: {none: {remove: guidance}, cfg: {axes: ...}}"
                )
            return []
        drafts: list[Draft] = []
        for case, entry in node.items.items():
            below = join_path(path, case)
            mapping = self.mapping(entry.node, below, "a case", (*CHANGES, "axes"))
            if mapping is None:
                continue
            start = Draft(
                f"{word(name)}={word(case)}", {name: case}, tuple(self.changes(mapping, below)), entry.key
            )
            inner = mapping.get("axes")
            drafts += (
                [start]
                if inner is None
                else [self.joined(start, draft) for draft in self.product(inner, join_path(below, "axes"))]
            )
        return drafts

    def _range(self, node: Node, path: str) -> list[tuple[Node, Value]]:
        """{from, to, step}, or {from, to, count, scale: linear | log}; both ends are values."""
        mapping = self.mapping(node, path, "a range", ("from", "to", "step", "count", "scale"))
        if mapping is None:
            return []
        numbers = {
            key: item.value
            for key in ("from", "to", "step", "count")
            if isinstance(item := mapping.get(key), Scalar)
            and isinstance(item.value, int | float)
            and not isinstance(item.value, bool)
        }
        scale = mapping.get("scale")
        log = isinstance(scale, Scalar) and scale.value == "log"
        wrong = ""
        first, last = numbers.get("from"), numbers.get("to")
        if first is None or last is None or ("step" in numbers) == ("count" in numbers):
            wrong = "a range takes numbers: {from, to, step}, or {from, to, count, scale: linear | log}"
        elif not all(map(_is_finite, (*numbers.values(), last - first))):
            wrong = "a range is of finite numbers"
        elif scale is not None and (not isinstance(scale, Scalar) or scale.value not in ("linear", "log")):
            wrong = "the scale of a range is linear or log"
        elif "step" in numbers and (numbers["step"] == 0 or (last - first) * numbers["step"] < 0 or log):
            wrong = "the step of a range leads from its first value to its last, and has no log scale"
        elif "count" in numbers and (not isinstance(numbers["count"], int) or numbers["count"] < 2):
            wrong = "the count of a range is a whole number of at least 2"
        elif log and (first <= 0 or last <= 0):
            wrong = "a log range is of numbers above 0"
        if wrong or first is None or last is None:
            self.problems.add(wrong, mapping.place, path)
            return []
        step = numbers.get("step", 0)
        count = numbers["count"] if not step else math.floor(min((last - first) / step + 1e-9, 1e9)) + 1
        if count > MOST_ARMS:
            what = f"this range has more values than the {MOST_ARMS:,} arms that are read"
            self.problems.add(what, mapping.place, path)
            return []
        whole = isinstance(first, int) and isinstance(last, int)
        values = (
            first + index * step if step else _between(first, last, Fraction(index, int(count) - 1), log)
            for index in range(int(count))
        )
        found = [_rounded(value, whole) for value in values]
        return [(node_of(value, mapping.place, mapping.source), value) for value in found]


def _is_finite(value: int | float) -> bool:
    return abs(value) <= sys.float_info.max


def _between(first: int | float, last: int | float, share: Fraction, log: bool) -> int | float:
    """The number that lies at a share of the way from first to last, whose ends are exact."""
    if share in (0, 1):
        return last if share else first
    if log:
        return float(first ** float(1 - share) * last ** float(share))
    exact = Fraction(first) + share * (Fraction(last) - Fraction(first))
    return exact.numerator if exact.denominator == 1 and isinstance(first, int) else float(exact)


def _rounded(value: int | float, whole: bool) -> int | float:
    """A number without the noise of binary fractions; whole: one that is whole is an int."""
    if isinstance(value, int):
        return value
    rounded = float(f"{value:.12g}")
    return int(rounded) if whole and rounded.is_integer() else rounded
