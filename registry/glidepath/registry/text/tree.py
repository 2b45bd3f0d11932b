"""What a spec says, as a tree in which every value knows where it was written."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from glidepath.registry.text.problems import Place
from glidepath.registry.text.scalars import BOOL, FLOAT, INT, NULL, TEXT, Value
from glidepath.registry.text.source import Source
from glidepath.registry.text.yaml_text import yaml_text

MAX_DEPTH = 50
MAX_NODES = 10_000
"""Limits of a tree, aliases and interpolations expanded; they make recursion over it safe."""


@attrs.frozen(eq=False)
class Scalar:
    """A text, number, truth value or null. text: as written; value: as YAML reads it, by `rule`."""

    text: str
    value: Value
    rule: str
    place: Place
    source: Source
    size: int = 1
    depth: int = 1

    @property
    def is_text(self) -> bool:
        """Whether it is text for YAML: quoted, or like nothing else."""
        return self.rule == TEXT


@attrs.frozen(eq=False)
class Broken:
    """Stands where a problem was reported, so that nothing more is said about the value that is not there."""

    place: Place
    source: Source
    size: int = 1
    depth: int = 1


@attrs.frozen(eq=False)
class Entry:
    """A value in a mapping, and where its key is."""

    key: Place
    node: Node


def _size_of_mapping(node: MappingNode) -> int:
    return 1 + sum(entry.node.size for entry in node.items.values())


def _depth_of_mapping(node: MappingNode) -> int:
    return 1 + max((entry.node.depth for entry in node.items.values()), default=0)


@attrs.frozen(eq=False)
class MappingNode:
    """A mapping. size: how many nodes it stands for, aliases expanded; depth: how deep they go."""

    items: Mapping[str, Entry]
    place: Place
    source: Source
    size: int = attrs.field(init=False, default=attrs.Factory(_size_of_mapping, takes_self=True))
    depth: int = attrs.field(init=False, default=attrs.Factory(_depth_of_mapping, takes_self=True))

    def get(self, key: str) -> Node | None:
        """The value of a key, None when it is not there."""
        entry = self.items.get(key)
        return entry.node if entry else None

    def key(self, key: str) -> Scalar:
        """One of its keys, as a text with its place."""
        return Scalar(key, key, TEXT, self.items[key].key, self.source)


def _size_of_list(node: ListNode) -> int:
    return 1 + sum(item.size for item in node.items)


def _depth_of_list(node: ListNode) -> int:
    return 1 + max((item.depth for item in node.items), default=0)


@attrs.frozen(eq=False)
class ListNode:
    """A list."""

    items: tuple[Node, ...]
    place: Place
    source: Source
    size: int = attrs.field(init=False, default=attrs.Factory(_size_of_list, takes_self=True))
    depth: int = attrs.field(init=False, default=attrs.Factory(_depth_of_list, takes_self=True))


Node = Scalar | Broken | MappingNode | ListNode


def node_value(node: Node) -> Any:
    """The value as dicts, lists and YAML's scalars; None for what is broken."""
    if isinstance(node, MappingNode):
        return {key: node_value(entry.node) for key, entry in node.items.items()}
    if isinstance(node, ListNode):
        return [node_value(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every node below and at `node`, with its dotted path: "a.b", "list[0].c"."""
    yield path, node
    if isinstance(node, MappingNode):
        for key, entry in node.items.items():
            yield from walk(entry.node, join_path(path, key))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from walk(item, f"{path}[{index}]")


def present(node: Node | None) -> Node | None:
    """The node, None for a null: that takes away what an earlier layer put there."""
    return None if isinstance(node, Scalar) and node.rule == NULL else node


def join_path(path: str, key: str) -> str:
    """The dotted path of a key."""
    return f"{path}.{key}" if path else key


def describe_node(node: Node) -> str:
    """What a node is, for a message: "text", "a number", "a list"."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    rule = node.rule if isinstance(node, Scalar) else TEXT
    return {NULL: "null", BOOL: "a truth value", TEXT: "text"}.get(rule, "a number")


def entries(count: int) -> str:
    """How many entries a list has."""
    return "1 entry" if count == 1 else f"{count} entries"


def node_of(value: object, place: Place, source: Source) -> Node:
    """A tree for a value that nobody wrote: a default."""
    kind: Any = type(value)
    if attrs.has(kind):
        fields = attrs.fields(kind)
        value = {(field.alias or field.name): getattr(value, field.name) for field in fields}
    if isinstance(value, Mapping):
        items = {str(key): Entry(place, node_of(item, place, source)) for key, item in value.items()}
        return MappingNode(items, place, source)
    if isinstance(value, list | tuple):
        return ListNode(tuple(node_of(item, place, source) for item in value), place, source)
    if value is None or isinstance(value, bool | int | float):
        rule = {type(None): NULL, bool: BOOL, int: INT}.get(type(value), FLOAT)
        return Scalar(yaml_text(value), value, rule, place, source)
    text = value.name if isinstance(value, enum.Enum) else str(value)
    return Scalar(text, text, TEXT, place, source)
