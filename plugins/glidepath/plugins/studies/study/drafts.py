"""Arms as a study file states them, before anything is known of their specs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

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
    node_value,
    present,
    quoted,
    yaml_text,
)

MOST_ARMS = 100_000
CHANGES = ("set", "remove", "drop_unknown")
"""The keys that change a spec."""


@attrs.frozen(eq=False)
class Draft:
    """An arm as the file states it, before anything is known of its spec.

    name: of what it varies, such as "sampler=ddim,steps=27".
    factors: the value of each axis, or whether a part is there.
    """

    name: str
    factors: Mapping[str, Value]
    changes: tuple[Change, ...]
    place: Place

    def then(self, other: Draft) -> Draft:
        """Both changes, this one first."""
        name = ",".join(filter(None, (self.name, other.name)))
        return Draft(name, {**self.factors, **other.factors}, self.changes + other.changes, other.place)


class DraftReader:
    """What the readers of blocks and of axes share. Problems are gathered in `problems`."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._doubled: set[str] = set()

    def joined(self, before: Draft, after: Draft) -> Draft:
        """Both drafts as one arm. Two axes of one name are a problem, which is told once for each name."""
        for name in before.factors.keys() & after.factors.keys() - self._doubled:
            self._doubled.add(name)
            what = f"an arm has two axes that are called {quoted(name)}"
            self.problems.add(what, after.place, hint="name one of them: NAME: {at: PATH, values: [...]}")
        return before.then(after)

    def changes(self, node: MappingNode, path: str) -> Iterator[Change]:
        """What `set` and `remove` say."""
        drop = self.flag(node.get("drop_unknown"), join_path(path, "drop_unknown"))
        removed = node.get("remove")
        for item in removed.items if isinstance(removed, ListNode) else [removed] if removed else []:
            if isinstance(item, Scalar) and item.is_text:
                yield Change(item, None)
            elif not isinstance(item, Broken):
                what = (
                    f"remove takes the name of a part, or a list of them, and this is {describe_node(item)}"
                )
                self.problems.add(what, item.place, join_path(path, "remove"))
        changes = node.get("set")
        if changes is None:
            return
        if not isinstance(changes, MappingNode):
            if not isinstance(changes, Broken):
                what = f"set takes a mapping of paths to values, and this is {describe_node(changes)}"
                self.problems.add(
                    what, changes.place, join_path(path, "set"), "such as set: {sampler.steps: 50}"
                )
            return
        for key, entry in changes.items.items():
            yield Change(changes.key(key), entry.node, drop)

    def mapping(self, node: Node, path: str, what: str, keys: Sequence[str]) -> MappingNode | None:
        """A mapping that has no other keys; None after a problem."""
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                said = f"{what} takes a mapping, and this is {describe_node(node)}"
                self.problems.add(said, node.place, path, allowed=keys)
            return None
        for key, entry in node.items.items():
            if key not in keys:
                said = f"{what} has no {quoted(key)}"
                self.problems.add(said, entry.key, join_path(path, key), allowed=keys, near=(key, keys))
        return node

    def name(self, node: Node | None, path: str) -> str:
        if node is None or isinstance(node, Broken):
            return ""
        if isinstance(node, Scalar) and present(node) is not None and node.text:
            return node.text
        self.problems.add(f"this takes a name, and is {describe_node(node)}", node.place, path)
        return ""

    def flag(self, node: Node | None, path: str) -> bool:
        if node is None or isinstance(node, Broken):
            return False
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.problems.add(f"this takes true or false, and is {describe_node(node)}", node.place, path)
        return False


def label_of(node: Node) -> Value:
    """What a value is called: itself, or the name of a part, or what YAML makes of it."""
    if isinstance(node, Scalar):
        return node.value
    value = node_value(node)
    if isinstance(value, dict) and set(value) == {"use"}:
        return str(value["use"])
    return yaml_text(value)


def word(label: Value) -> str:
    """A label as a piece of a name that needs no quotes in a shell."""
    text = label if isinstance(label, str) else yaml_text(label)
    return "".join(char if char.isalnum() or char in "._+-" else "-" for char in text).strip("-") or (
        "none" if not text else "-"
    )
