"""Where the values of a study file are written."""

from __future__ import annotations

from glidepath.registry import Place
from glidepath.registry.text.tree import MappingNode, Node


def place_of(root: MappingNode, path: str) -> Place:
    """Where a value is written, or the nearest thing around it."""
    return node_at(root, path).place


def node_at(root: MappingNode, path: str) -> Node:
    """A value, or the nearest thing around it."""
    node: Node = root
    for key in path.split("."):
        inner = node.get(key) if isinstance(node, MappingNode) else None
        if inner is None:
            break
        node = inner
    return node
