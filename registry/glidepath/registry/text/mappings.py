"""Values of Python, or of OmegaConf, to a tree in which each value knows its dotted path.

This is how a spec that was never written down is read: `{"extends": "base", "sampler": {"steps": 20}}`, or
what Hydra composes.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import PurePath

from glidepath.registry.text.problems import Place, Problems, quoted
from glidepath.registry.text.scalars import BOOL, FLOAT, INT, NULL, TEXT
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Broken,
    Entry,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    join_path,
)
from glidepath.registry.text.yaml_text import yaml_text
from glidepath.registry.text.yaml_tree import Unreadable

_MOST_BITS = 1_000


def mapping_tree(values: object, source: Source, problems: Problems) -> Node:
    """The tree of a mapping. Its places are the source's name and the dotted path of each value.

    A path becomes text, an enumeration's member its name, a tuple a list, an `${interpolation}` of a
    `DictConfig` the text that it is. What YAML could not write is a problem, and broken in the tree.

    Raises:
        Unreadable: it is too large or too deep, which is among the problems.
    """
    return _Reading(source, problems).node(values, "", 1)


class _Reading:
    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.count = 0

    def node(self, value: object, path: str, depth: int) -> Node:
        place = Place(self.source.name, path=path)
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            what = f"{self.source.name} has more than {MAX_NODES:,} values or {MAX_DEPTH} levels"
            self.problems.add(what, place, path)
            raise Unreadable
        value = _plain(value)
        if isinstance(value, Mapping):
            items = {}
            for key, item in value.items():
                if self.is_key(key, path):
                    node = self.node(item, join_path(path, key), depth + 1)
                    items[key] = Entry(node.place, node)
            return MappingNode(items, place, self.source)
        if isinstance(value, list | tuple):
            nodes = [self.node(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
            return ListNode(tuple(nodes), place, self.source)
        if isinstance(value, str):
            return Scalar(value, value, TEXT, place, self.source)
        if value is None or isinstance(value, bool | float) or (type(value) is int and _is_short(value)):
            rule = {type(None): NULL, bool: BOOL, int: INT}.get(type(value), FLOAT)
            return Scalar(yaml_text(value), value, rule, place, self.source)
        what = f"a value of type {type(value).__name__} cannot stand in a spec"
        hint = "text, numbers, truth values, None, paths, lists and mappings can"
        self.problems.add(what, place, path, hint)
        return Broken(place, self.source)

    def is_key(self, key: object, path: str) -> bool:
        if isinstance(key, str):
            return True
        what = f"a key is text, and {quoted(repr(key))} is of type {type(key).__name__}"
        self.problems.add(what, Place(self.source.name, path=path), path)
        return False


def _plain(value: object) -> object:
    """A value of YAML in place of one that stands for it."""
    omegaconf = sys.modules.get("omegaconf")  # who has made such a config has imported it
    if omegaconf is not None and omegaconf.OmegaConf.is_config(value):
        return omegaconf.OmegaConf.to_container(value, resolve=False)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    item = getattr(value, "item", None)
    if getattr(value, "shape", None) == () and callable(item):  # a number of numpy or torch
        return item()
    return value


def _is_short(value: int) -> bool:
    return value.bit_length() <= _MOST_BITS
