"""`${text_encoder.width}`: a value that stands elsewhere in the spec.

The meaning is that of OmegaConf's node interpolation, and a test holds the two against each other: a path
from the top, or with leading dots from the mapping around it; alone it gives the node, in a text its text. It
is followed here because OmegaConf knows no places, sets no bounds and calls whatever resolver the process has
registered, and because its import is a seventh of the time of `glidepath check`.

Stricter than OmegaConf: one interpolation inside another is refused, and so is every resolver;
`${oc.env:NAME}` reads the environment where the caller allows it. A stage of a cascade is a spec of its own:
paths in it start at its top, and `${stages.base.denoiser.image_size}` reaches into another one.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path

import attrs

from glidepath.registry.text.problems import Place, Problems, quoted
from glidepath.registry.text.scalars import NULL, TEXT, resolve
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
    describe_node,
    entries,
    join_path,
    walk,
)
from glidepath.registry.text.yaml_tree import Unreadable

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_PATH = re.compile(r"\s*(?P<up>\.*)(?P<keys>[^\s.\[\]:]+(?:\.[^\s.\[\]:]+|\[[0-9]{1,9}\])*)\s*")
_KEY = re.compile(r"[^.\[\]]+")
_LONGEST_TEXT = 10_000
_MOST_LEVELS = 100
_MOST_KNOWN = 100
_MOST_REFERENCES = 10_000

Keys = tuple[str | int, ...]
"""Where a value stands, from the top: keys of mappings, numbers of entries."""


class _Stop(Exception):
    """A reference cannot be followed; why is among the problems."""


def interpolate(root: MappingNode, problems: Problems, allow_env: bool) -> MappingNode:
    """The spec with every `${...}` replaced by what it refers to. One that leads nowhere is a problem.

    Raises:
        Unreadable: the spec becomes too large, which is among the problems.
    """
    if not any(_is_open(node) for _, node in walk(root)):
        return root
    resolved = _Interpolation(root, problems, allow_env).resolve(root, ())
    if not isinstance(resolved, MappingNode):
        raise Unreadable
    return resolved


class _Interpolation:
    def __init__(self, root: MappingNode, problems: Problems, allow_env: bool) -> None:
        self.root = root
        self.problems = problems
        self.allow_env = allow_env
        self.done: dict[Keys, Node] = {}
        self.active: dict[Keys, Node] = {}
        self.count = 0

    def resolve(self, node: Node, at: Keys) -> Node:
        """`node`, which stands at `at`, without references. What stands at one place is resolved once."""
        if isinstance(node, Broken) or (isinstance(node, Scalar) and not _is_open(node)):
            return node
        if at in self.active:
            first = list(self.active).index(at)
            ring = [item for item in list(self.active.items())[first:] if isinstance(item[1], Scalar)]
            paths = [_dotted(keys) for keys, _ in (*ring, ring[0])]
            what = "interpolations refer to one another in a circle"
            self.problems.add(what, ring[0][1].place, paths[0], " -> ".join(paths))
            raise _Stop
        if at not in self.done:
            if len(self.active) >= _MOST_LEVELS:
                self.problems.add("interpolations lead too far into one another", node.place, _dotted(at))
                raise _Stop
            self.active[at] = node
            try:
                resolved = self.resolved(node, at)
            finally:
                del self.active[at]
            if resolved.size > MAX_NODES or resolved.depth > MAX_DEPTH:
                what = f"interpolations make the spec larger than {MAX_NODES:,} values or {MAX_DEPTH} levels"
                self.problems.add(what, node.place, _dotted(at))
                resolved = Broken(node.place, node.source)
            self.done[at] = resolved
        return self.done[at]

    def resolved(self, node: Scalar | MappingNode | ListNode, at: Keys) -> Node:
        if isinstance(node, MappingNode):
            items = {
                key: Entry(entry.key, self.resolve(entry.node, (*at, key)))
                for key, entry in node.items.items()
            }
            # what refers to nothing stays the object that it is
            same = all(entry.node is items[key].node for key, entry in node.items.items())
            return node if same else MappingNode(items, node.place, node.source)
        if isinstance(node, ListNode):
            nodes = tuple(self.resolve(item, (*at, index)) for index, item in enumerate(node.items))
            same = all(old is new for old, new in zip(node.items, nodes, strict=True))
            return node if same else ListNode(nodes, node.place, node.source)
        try:
            return self.scalar(node, at)
        except _Stop:
            return Broken(node.place, node.source)

    def scalar(self, node: Scalar, at: Keys) -> Node:
        if node.text == "???":
            path = _dotted(at)
            hint = f"write it, or override it: {path}=VALUE"
            self.problems.add("a value must be filled in here", node.place, path, hint)
            raise _Stop
        whole = _REFERENCE.fullmatch(node.text)
        if whole:
            target = self.follow(whole[1], node.place, at)
            if target.place != node.place:  # what the environment gives has no other place
                self.problems.lent[node.place] = target.place
            return attrs.evolve(target, place=node.place)
        if "${" in _REFERENCE.sub("", node.text):
            what, hint = "this interpolation is not closed, or holds another", "an interpolation is ${path}"
            self.problems.add(what, _within(node, node.text.find("${")), _dotted(at), hint)
            raise _Stop
        text = _REFERENCE.sub(lambda match: self.piece(node, match, at), node.text)
        if len(text) > _LONGEST_TEXT:
            what = f"interpolations make this text longer than {_LONGEST_TEXT:,} characters"
            self.problems.add(what, node.place, _dotted(at))
            raise _Stop
        return Scalar(text, text, TEXT, node.place, node.source)

    def piece(self, node: Scalar, match: re.Match[str], at: Keys) -> str:
        place = _within(node, match.start())
        target = self.follow(match[1], place, at)
        if match.start() and node.text[match.start() - 1] == "\\":
            self.problems.add("a spec knows no escaped interpolation", place, _dotted(at))
            raise _Stop
        if isinstance(target, Scalar) and target.rule != NULL:
            return str(target.value)
        what = f"{match[0]} is {describe_node(target)}, which cannot be part of a text"
        self.problems.add(what, place, _dotted(at))
        raise _Stop

    def follow(self, reference: str, place: Place, at: Keys) -> Node:
        """What a reference that stands at `at` leads to, itself resolved."""
        self.count += 1
        if self.count > _MOST_REFERENCES:
            self.problems.add(f"the spec has more than {_MOST_REFERENCES:,} interpolations", self.root.place)
            raise _Stop
        if ":" in reference:
            return self.environment(reference, place, at)
        path = _PATH.fullmatch(reference)
        if not path or len(path["up"]) > len(at):
            hint = "write the path from the top of the spec, such as ${text_encoder.width}"
            self.problems.add(f"{quoted(reference)} is not a path", place, _dotted(at), hint)
            raise _Stop
        keys = _KEY.findall(path["keys"])
        in_stage = at[:1] == ("stages",) and len(at) > 2 and keys[0] != "stages"
        start: Keys = at[: -len(path["up"])] if path["up"] else at[:2] if in_stage else ()
        node: Node = self.root
        so_far: Keys = ()
        for key in (*start, *keys):
            node, so_far = self.step(node, so_far, str(key), reference, place, at)
        return self.settled(node, so_far)

    def settled(self, node: Node, at: Keys) -> Node:
        resolved = self.resolve(node, at)
        if isinstance(resolved, Broken):
            raise _Stop  # it was reported where it stands
        return resolved

    def step(
        self, node: Node, at: Keys, key: str, reference: str, place: Place, whose: Keys
    ) -> tuple[Node, Keys]:
        """The value under a key of `node`, which stands at `at`."""
        if isinstance(node, Scalar | Broken):
            node = self.settled(node, at)
        here = _dotted(at) or "the spec"
        known: list[str] = []
        if isinstance(node, ListNode):
            if key.isdigit() and int(key) < len(node.items):
                return node.items[int(key)], (*at, int(key))
            why = f"{here} is a list of {entries(len(node.items))}, counted from 0"
        elif isinstance(node, MappingNode):
            if key in node.items:
                return node.items[key].node, (*at, key)
            known = list(islice(node.items, _MOST_KNOWN))
            why = f"{quoted(key)} is not written in {here}"
        else:
            why = f"{here} is {describe_node(node)}"
        what = f"${{{reference.strip()}}} leads nowhere: {why}"
        self.problems.add(what, place, _dotted(whose), allowed=known, near=(key, known))
        raise _Stop

    def environment(self, reference: str, place: Place, at: Keys) -> Node:
        """`${oc.env:NAME}` or `${oc.env:NAME,default}`, where the caller allows it; no other resolver."""
        name, _, argument = reference.partition(":")
        variable, comma, default = (word.strip() for word in argument.partition(","))
        text = None
        if name.strip() != "oc.env":
            what = f"the resolver {quoted(name)} is not accepted"
            hint = "a spec computes nothing; write the value, or the path of another: ${path}"
        elif not self.allow_env:
            what = "a spec may not read the environment"
            hint = "write the value, or allow it with --allow-env"
        else:
            text = os.environ.get(variable, default if comma else None)
            what, hint = (
                f"the environment has no variable {quoted(variable)}",
                "set it, or write ${oc.env:NAME,default}",
            )
        if text is not None and "${" in text:
            what, hint, text = f"the environment variable {quoted(variable)} holds an interpolation", "", None
        if text is None:
            self.problems.add(what, place, _dotted(at), hint)
            raise _Stop
        # as an override's: typed by the field that it is for, text where that takes text
        value, rule = resolve(text)
        return Scalar(text, value, rule, place, Source("the environment", Path(), "", override=True))


def _is_open(node: Node) -> bool:
    """Whether a node is a value that refers to another, or is still to be filled in."""
    return isinstance(node, Scalar) and ("${" in node.text or node.text == "???")


def _dotted(at: Keys) -> str:
    path = ""
    for key in at:
        path = f"{path}[{key}]" if isinstance(key, int) else join_path(path, key)
    return path


def _within(node: Scalar, index: int) -> Place:
    """The place of a reference inside a text, as far as the line on show lets it be told."""
    place = node.place
    column = place.text.find(node.text[index : index + 20], max(place.column - 1 - place.shift, 0))
    return attrs.evolve(place, column=column + place.shift + 1) if column >= 0 else place
