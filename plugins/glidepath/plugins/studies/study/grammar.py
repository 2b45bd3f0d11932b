"""What a study file says of its arms: blocks, each of which stands for one or many.

    - {case: NAME, set: {PATH: VALUE}, remove: [PART], axes: {...}}     the product of its axes
    - {one_factor: {axes: {...}}}                  the base, and each value of each axis by itself
    - {leave_one_out: {parts: {...}, pairs: true}} all parts, and all but one (but two)
    - {add_one_in: {parts: {...}}}                 no part, and each by itself
    - {cumulative: {parts: {...}}}                 no part, the first, the first two, ...

An axis is {at: PATH, values: [...]}, {at: PATH, range: {from, to, step}}, {zip: {PATH: [...]}} of lists that
change together, or {cases: {NAME: {set, remove, axes}}}; `PATH: [...]` is short for the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from glidepath.plugins.studies.study.edits import Edit
from glidepath.registry import Place, yaml_text
from glidepath.registry.text.problems import Problems, shown
from glidepath.registry.text.scalars import NULL, TEXT, Value
from glidepath.registry.text.tree import (
    Broken,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe,
    join,
    node_of,
    plain,
)

MOST_ARMS = 100_000

_CHANGES = ("set", "remove", "drop_unknown")
_GENERATORS = ("axes", "one_factor", "leave_one_out", "add_one_in", "cumulative")
_AXIS = ("at", "values", "range", "zip", "cases", "labels", "drop_unknown")


@attrs.frozen(eq=False)
class Draft:
    """An arm as the file states it, before anything is known of its spec.

    name: of what it varies, such as "sampler=ddim,steps=27".
    factors: the value of each axis, or whether a part is there.
    """

    name: str
    factors: Mapping[str, Value]
    edits: tuple[Edit, ...]
    place: Place

    def then(self, other: Draft) -> Draft:
        """Both changes, this one first."""
        name = ",".join(filter(None, (self.name, other.name)))
        return Draft(name, {**self.factors, **other.factors}, self.edits + other.edits, other.place)


class Grammar:
    """Reads blocks; what is wrong goes to `faults`, what is doubtful to `warnings`."""

    def __init__(self, faults: Problems) -> None:
        self.faults = faults
        self.warnings: list[str] = []

    def arms(self, node: Node | None, place: Place) -> list[Draft]:
        """The drafts of all blocks, in order; without blocks the base alone."""
        if node is None:
            return [Draft("base", {}, (), place)]
        blocks = node.items if isinstance(node, ListNode) else (node,)
        drafts: list[Draft] = []
        for index, block in enumerate(blocks):
            path = f"arms[{index}]" if isinstance(node, ListNode) else "arms"
            mapping = self._mapping(block, path, "a block of arms", ("case", *_CHANGES, *_GENERATORS))
            if mapping is not None:
                drafts += self._block(mapping, path)
        if not drafts and not len(self.faults):
            self.faults.add(
                "the study has no arms", node.place, "arms", "leave `arms` out to run the base alone"
            )
        if len(drafts) > MOST_ARMS:
            self.faults.add(f"the study has {len(drafts):,} arms, and at most {MOST_ARMS:,} are read", place)
            return []
        return drafts

    def _block(self, block: MappingNode, path: str) -> list[Draft]:
        case = self._text(block.get("case"), join(path, "case"))
        factors: dict[str, Value] = {"case": case} if case else {}
        start = Draft(word(case) if case else "", factors, tuple(self._changes(block, path)), block.place)
        stated = [key for key in _GENERATORS if key in block.items]
        if len(stated) > 1:
            what = f"a block has one of {', '.join(_GENERATORS)}, and this has {' and '.join(stated)}"
            self.faults.add(what, block.items[stated[1]].key, path, "write them as blocks of their own")
            return []
        if not stated:
            return [start if start.name else attrs.evolve(start, name="base")]
        key = stated[0]
        inner, below = block.items[key].node, join(path, key)
        if key == "axes":
            drafts = self._product(inner, below)
        elif key == "one_factor":
            drafts = self._one_factor(inner, below)
        else:
            drafts = self._parts(key, inner, below)
        return [start.then(draft) for draft in drafts]

    def _changes(self, node: MappingNode, path: str) -> Iterator[Edit]:
        """What `set` and `remove` say."""
        drop = self._flag(node.get("drop_unknown"), join(path, "drop_unknown"))
        removed = node.get("remove")
        for item in removed.items if isinstance(removed, ListNode) else [removed] if removed else []:
            if isinstance(item, Scalar) and item.is_text:
                yield Edit(item, None)
            elif not isinstance(item, Broken):
                what = f"remove takes the name of a part, or a list of them, and this is {describe(item)}"
                self.faults.add(what, item.place, join(path, "remove"))
        changes = node.get("set")
        if changes is None:
            return
        if not isinstance(changes, MappingNode):
            if not isinstance(changes, Broken):
                what = f"set takes a mapping of paths to values, and this is {describe(changes)}"
                self.faults.add(what, changes.place, join(path, "set"), "such as set: {sampler.steps: 50}")
            return
        for key, entry in changes.items.items():
            yield Edit(Scalar(key, key, TEXT, entry.key, changes.source), entry.node, drop)

    def _product(self, node: Node, path: str) -> list[Draft]:
        axes = self._axes(node, path)
        if math.prod(map(len, axes)) > MOST_ARMS:
            what = f"these axes make {math.prod(map(len, axes)):,} arms, and at most {MOST_ARMS:,} are read"
            self.faults.add(what, node.place, path)
            return []
        nothing = Draft("", {}, (), node.place)
        drafts = [nothing]
        for axis in axes:
            drafts = [before.then(choice) for before in drafts for choice in axis]
        return drafts

    def _one_factor(self, node: Node, path: str) -> list[Draft]:
        mapping = self._mapping(node, path, "one_factor", ("axes",))
        if mapping is None:
            return []
        axes = self._axes(mapping.get("axes"), join(path, "axes"), mapping.place)
        return [Draft("base", {}, (), node.place), *itertools.chain.from_iterable(axes)]

    def _axes(self, node: Node | None, path: str, place: Place | None = None) -> list[list[Draft]]:
        """The choices of each axis."""
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                this = "nothing" if node is None else describe(node)
                where = node.place if node is not None else place
                what = f"axes takes a mapping of names to axes, and this is {this}"
                self.faults.add(what, where, path, "such as axes: {sampler.steps: [10, 27, 50]}")
            return []
        return [
            self._axis(Scalar(name, name, TEXT, entry.key, node.source), entry.node, join(path, name))
            for name, entry in node.items.items()
        ]

    def _axis(self, name: Scalar, node: Node, path: str) -> list[Draft]:
        if isinstance(node, ListNode):
            values = [(item, label_of(item)) for item in node.items]
            return self._values(name.text.rpartition(".")[2], name, values, node, path, False)
        if not isinstance(node, MappingNode | Broken):
            what = f"an axis takes a list of values, or a mapping, and this is {describe(node)}"
            hint = f"such as {yaml_text(name.text)}: [1, 2]"
            self.faults.add(what, node.place, path, hint, _AXIS)
            return []
        mapping = self._mapping(node, path, "an axis", _AXIS)
        if mapping is None:
            return []
        drop = self._flag(mapping.get("drop_unknown"), join(path, "drop_unknown"))
        stated = [key for key in ("values", "range", "zip", "cases") if key in mapping.items]
        if len(stated) != 1:
            said = " and ".join(stated) or "none"
            what = f"an axis has one of values, range, zip and cases, and this has {said}"
            self.faults.add(what, mapping.place, path)
            return []
        key = stated[0]
        inner, below = mapping.items[key].node, join(path, key)
        if key == "cases":
            return self._cases(name.text, inner, below)
        if key == "zip":
            return self._zip(name.text, mapping, inner, below, drop)
        at = mapping.get("at")
        if not isinstance(at, Scalar) or not at.is_text:
            if not isinstance(at, Broken):
                where = mapping.place if at is None else at.place
                self.faults.add(
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
            what = f"values takes a list, or a mapping of labels to values, and this is {describe(node)}"
            self.faults.add(what, node.place, path)
        return []

    def _values(
        self, name: str, at: Scalar, values: Sequence[tuple[Node, Value]], node: Node, path: str, drop: bool
    ) -> list[Draft]:
        drafts = [
            Draft(f"{word(name)}={word(label)}", {name: label}, (Edit(at, value, drop),), value.place)
            for value, label in values
        ]
        return self._distinct(drafts, node, path)

    def _distinct(self, drafts: list[Draft], node: Node, path: str) -> list[Draft]:
        if not drafts and not isinstance(node, Broken) and not len(self.faults):
            self.faults.add("an axis has at least one value", node.place, path)
        seen: dict[str, Draft] = {}
        for draft in drafts:
            if draft.name in seen:
                what = f"two values of the axis are called {shown(draft.name)}"
                hint = f"the first is at {seen[draft.name].place}; write a mapping of labels to values"
                self.faults.add(what, draft.place, path, hint)
            seen.setdefault(draft.name, draft)
        return list(seen.values())

    def _zip(self, name: str, axis: MappingNode, node: Node, path: str, drop: bool) -> list[Draft]:
        """Several paths that change together."""
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                what = f"zip takes a mapping of paths to lists, and this is {describe(node)}"
                self.faults.add(
                    what, node.place, path, "such as zip: {sampler: [ddpm, ddim], sampler.steps: [150, 27]}"
                )
            return []
        columns: dict[str, tuple[Scalar, tuple[Node, ...]]] = {}
        for key, entry in node.items.items():
            if not isinstance(entry.node, ListNode):
                if not isinstance(entry.node, Broken):
                    self.faults.add(
                        f"zip takes lists, and this is {describe(entry.node)}",
                        entry.node.place,
                        join(path, key),
                    )
                return []
            columns[key] = (Scalar(key, key, TEXT, entry.key, node.source), entry.node.items)
        lengths = {key: len(items) for key, (_, items) in columns.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{key} has {count}" for key, count in lengths.items())
            self.faults.add(f"the lists of a zip are equally long, and {said}", node.place, path)
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
            self.faults.add(what, labels.place, join(path.rpartition(".")[0], "labels"))
        drafts = [
            Draft(
                f"{word(name)}={word(label)}",
                {name: label},
                tuple(Edit(at, items[row], drop) for at, items in columns.values()),
                next(iter(columns.values()))[1][row].place,
            )
            for row, label in enumerate(texts)
        ]
        return self._distinct(drafts, node, path)

    def _cases(self, name: str, node: Node, path: str) -> list[Draft]:
        """Named sets of changes, each with axes of its own."""
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                what = f"cases takes a mapping of names to changes, and this is {describe(node)}"
                self.faults.add(
                    what, node.place, path, "such as cases: {none: {remove: guidance}, cfg: {axes: ...}}"
                )
            return []
        drafts: list[Draft] = []
        for case, entry in node.items.items():
            below = join(path, case)
            mapping = self._mapping(entry.node, below, "a case", (*_CHANGES, "axes"))
            if mapping is None:
                continue
            start = Draft(
                f"{word(name)}={word(case)}", {name: case}, tuple(self._changes(mapping, below)), entry.key
            )
            inner = mapping.get("axes")
            drafts += (
                [start]
                if inner is None
                else [start.then(draft) for draft in self._product(inner, join(below, "axes"))]
            )
        return drafts

    def _range(self, node: Node, path: str) -> list[tuple[Node, Value]]:
        """{from, to, step}, or {from, to, count, scale: linear | log}; both ends are values."""
        mapping = self._mapping(node, path, "a range", ("from", "to", "step", "count", "scale"))
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
        elif scale is not None and (not isinstance(scale, Scalar) or scale.value not in ("linear", "log")):
            wrong = "the scale of a range is linear or log"
        elif "step" in numbers and (numbers["step"] == 0 or (last - first) / numbers["step"] < 0 or log):
            wrong = "the step of a range leads from its first value to its last, and has no log scale"
        elif "count" in numbers and (not isinstance(numbers["count"], int) or numbers["count"] < 2):
            wrong = "the count of a range is a whole number of at least 2"
        elif log and (first <= 0 or last <= 0):
            wrong = "a log range is of numbers above 0"
        if wrong or first is None or last is None:
            self.faults.add(wrong, mapping.place, path)
            return []
        values: Iterable[int | float]
        if "step" in numbers:
            count = math.floor((last - first) / numbers["step"] + 1e-9) + 1
            values = (_rounded(first + index * numbers["step"]) for index in range(min(count, MOST_ARMS + 1)))
        else:
            count = int(numbers["count"])
            shares = [index / (count - 1) for index in range(min(count, MOST_ARMS + 1))]
            values = (
                _rounded(first * (last / first) ** it if log else first + it * (last - first))
                for it in shares
            )
        return [(node_of(value, mapping.place, mapping.source), value) for value in values]

    def _parts(self, key: str, node: Node, path: str) -> list[Draft]:
        """Arms of which some parts are there and others are not. What a part's entry says takes it away."""
        allowed = ("parts", "pairs") if key == "leave_one_out" else ("parts",)
        mapping = self._mapping(node, path, key, allowed)
        if mapping is None:
            return []
        stated, below = mapping.get("parts"), join(path, "parts")
        if not isinstance(stated, MappingNode) or not stated.items:
            if not isinstance(stated, Broken):
                what = f"{key} takes `parts`, a mapping of names to what takes each of them away"
                hint = "such as parts: {guidance: {remove: guidance}, ema: {set: {train.ema: 0}}}"
                self.faults.add(what, mapping.place, below, hint)
            return []
        edits: dict[str, tuple[Edit, ...]] = {}
        for name, entry in stated.items.items():
            inner = self._mapping(entry.node, join(below, name), "a part", _CHANGES)
            edits[name] = tuple(self._changes(inner, join(below, name))) if inner is not None else ()
            if inner is not None and not edits[name] and not len(self.faults):
                what = f"nothing takes {shown(name)} away"
                self.faults.add(what, entry.key, join(below, name), "write `remove` or `set`")
        names = list(edits)
        if key == "leave_one_out":
            pairs = self._flag(mapping.get("pairs"), join(path, "pairs"))
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

    def _mapping(self, node: Node, path: str, what: str, keys: Sequence[str]) -> MappingNode | None:
        """A mapping that has no other keys; None after a fault."""
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                said = f"{what} takes a mapping, and this is {describe(node)}"
                self.faults.add(said, node.place, path, allowed=keys)
            return None
        for key, entry in node.items.items():
            if key not in keys:
                said = f"{what} has no {shown(key)}"
                self.faults.add(said, entry.key, join(path, key), allowed=keys, near=(key, keys))
        return node

    def _text(self, node: Node | None, path: str) -> str:
        if node is None or isinstance(node, Broken):
            return ""
        if isinstance(node, Scalar) and node.rule != NULL and node.text:
            return node.text
        self.faults.add(f"this takes a name, and is {describe(node)}", node.place, path)
        return ""

    def _flag(self, node: Node | None, path: str) -> bool:
        if node is None or isinstance(node, Broken):
            return False
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.faults.add(f"this takes true or false, and is {describe(node)}", node.place, path)
        return False


def label_of(node: Node) -> Value:
    """What a value is called: itself, or the name of a part, or what YAML makes of it."""
    if isinstance(node, Scalar):
        return node.value
    value = plain(node)
    if isinstance(value, dict) and set(value) == {"use"}:
        return str(value["use"])
    return yaml_text(value)


def word(label: Value) -> str:
    """A label as a piece of a name that needs no quotes in a shell."""
    text = label if isinstance(label, str) else yaml_text(label)
    return "".join(char if char.isalnum() or char in "._+-" else "-" for char in text).strip("-") or (
        "none" if not text else "-"
    )


def _rounded(value: int | float) -> int | float:
    """A number without the noise of binary fractions."""
    return value if isinstance(value, int) else float(f"{value:.12g}")
