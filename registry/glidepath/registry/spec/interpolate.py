"""`${text_encoder.width}`: values taken from elsewhere in the spec, or from the default of a parameter.

Paths start at the top of the spec; in a stage of a cascade, at the top of the stage, or at `stages` for what
stands in another one. Nothing is computed and no resolver is called; `${oc.env:NAME}` reads the
environment, where the caller allows it and nowhere else.

A part whose `use` refers to another part is that one, with what stands beside its `use` changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn

import attrs

from glidepath.registry.describe.fields import Level, Position, Slot
from glidepath.registry.spec.merge import as_part, merge
from glidepath.registry.spec.positions import Schema, owner, used
from glidepath.registry.text.problems import Place, Problems, shown
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
    describe,
    entries,
    join,
    node_of,
)
from glidepath.registry.text.yaml_tree import Unreadable

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_PATH = re.compile(r"\s*[^\s.\[\]:]+(?:\.[^\s.\[\]:]+|\[[0-9]{1,9}\])*\s*")
_STEP = re.compile(r"[^.\[\]]+")
_LONGEST_TEXT = 10_000
_MOST_LEVELS = 100
_MOST_KNOWN = 100
_MOST_REFERENCES = 10_000


@attrs.frozen
class _Scope:
    """Where paths start: the whole spec, or a stage of a cascade. path: its own, "" or "stages.NAME"."""

    node: MappingNode
    path: str = ""


@attrs.frozen
class _At:
    """A place in the spec. position: what it takes; scope: where paths in its values start."""

    node: Node
    position: Position | None
    scope: _Scope

    @property
    def slot(self) -> Slot | None:
        return self.position if isinstance(self.position, Slot) else None


@attrs.frozen
class _Reference:
    """What stands between "${" and "}"; its place, and the path of the value that it stands in."""

    text: str
    place: Place
    path: str


class _Stop(Exception):
    """A reference cannot be followed; why is among the problems."""


def interpolate(root: MappingNode, schema: Schema, problems: Problems, allow_env: bool) -> MappingNode:
    """The spec with every `${...}` replaced by what it refers to. One that leads nowhere is a fault.

    Raises:
        Unreadable: the spec becomes too large, which is among the problems.
    """
    resolved = _Interpolation(root, schema, problems, allow_env).resolve(root, "", _Scope(root))
    if not isinstance(resolved, MappingNode):
        raise Unreadable
    return resolved


class _Interpolation:
    def __init__(self, root: MappingNode, schema: Schema, problems: Problems, allow_env: bool) -> None:
        self.root = root
        self.schema = schema
        self.problems = problems
        self.allow_env = allow_env
        # by the id of the node and the path of its scope: stages may share what they extend
        self.done: dict[tuple[int, str], Node] = {}
        self.active: dict[tuple[int, str], str] = {}
        self.kept: list[Node] = []
        self.level = 0
        self.count = 0

    def resolve(self, node: Node, path: str, scope: _Scope) -> Node:
        """`node` without references. The same node is resolved once, however many refer to it."""
        if isinstance(node, Broken) or (isinstance(node, Scalar) and not _has_reference(node)):
            return node
        key = (id(node), scope.path)
        if key in self.active:
            ring = list(self.active.values())
            ring = [*ring[ring.index(self.active[key]) :], self.active[key]]
            what = "interpolations refer to one another in a circle"
            self.problems.add(what, node.place, self.active[key], " -> ".join(ring))
            raise _Stop
        if key not in self.done:
            if self.level >= _MOST_LEVELS:
                self.problems.add("interpolations lead too far into one another", node.place, path)
                raise _Stop
            self.kept.append(node)  # so that no other node gets its id
            self.level += 1
            try:
                self.done[key] = self._resolve(node, path, scope)
            finally:
                self.level -= 1
        return self.done[key]

    def _resolve(self, node: Scalar | MappingNode | ListNode, path: str, scope: _Scope) -> Node:
        resolved: Node
        if isinstance(node, MappingNode):
            items = {
                key: Entry(
                    entry.key,
                    self.resolve(entry.node, join(path, key), self.scope(path, key, entry.node, scope)),
                )
                for key, entry in node.items.items()
            }
            resolved = self.changed(MappingNode(items, node.place, node.source), node, path)
        elif isinstance(node, ListNode):
            resolved_items = (
                self.resolve(item, f"{path}[{index}]", scope) for index, item in enumerate(node.items)
            )
            resolved = ListNode(tuple(resolved_items), node.place, node.source)
        else:
            key = (id(node), scope.path)
            self.active[key] = path
            try:
                resolved = self.scalar(node, path, scope)
            except _Stop:
                resolved = Broken(node.place, node.source)
            del self.active[key]
        if resolved.size > MAX_NODES or resolved.depth > MAX_DEPTH:
            what = f"interpolations make the spec larger than {MAX_NODES:,} values or {MAX_DEPTH} levels"
            self.problems.add(what, node.place, path)
            return Broken(node.place, node.source)
        return resolved

    def changed(self, part: MappingNode, written: MappingNode, path: str) -> Node:
        """A resolved part; where its `use` referred to another part, that one with what stands beside it."""
        use, reference = part.get("use"), _borrowed(written)
        slot = self.position(path) if reference is not None else None
        if reference is None or not isinstance(slot, Slot):
            return part
        beside = {key: entry for key, entry in part.items.items() if key != "use"}
        if isinstance(use, ListNode) and len(use.items) == 1:
            use = as_part(use.items[0])
        if isinstance(use, MappingNode):
            over = MappingNode(beside, part.place, part.source)
            return merge(use, over, self.schema, Slot(slot.kind))
        if isinstance(use, ListNode):
            what = f"{reference.text} is a list of {entries(len(use.items))}, and one {slot.kind} is meant"
            hint = f"say which: {reference.text[:-1]}[0]}}; or change it where it is written"
            self.problems.add(what, reference.place, path, hint)
            return Broken(part.place, part.source)
        return part

    def position(self, path: str) -> Position | None:
        """What the place at a path takes, by what is written."""
        node: Node | None = self.root
        position: Position | None = Level.SPEC
        for key in _STEP.findall(path):
            if key.isdigit() and isinstance(node, ListNode) and isinstance(position, Slot):
                node, position = node.items[int(key)], Slot(position.kind)
                continue
            part = as_part(node) if node is not None and isinstance(position, Slot) else node
            if not isinstance(part, MappingNode):
                return None
            position, node = self.schema.below(position, part, key), part.get(key)
        return position

    def scope(self, path: str, key: str, node: Node, outer: _Scope) -> _Scope:
        """Where paths start in what stands under `key` of the mapping at `path`: a stage is a spec itself."""
        is_stage = path == "stages" and not outer.path and isinstance(node, MappingNode)
        return _Scope(node, join(path, key)) if is_stage and isinstance(node, MappingNode) else outer

    def scalar(self, node: Scalar, path: str, scope: _Scope) -> Node:
        if node.text == "???":
            self.problems.add(
                "a value must be filled in here", node.place, path, f"such as --set {path}=VALUE"
            )
            raise _Stop
        whole = _REFERENCE.fullmatch(node.text)
        if whole:
            target = self.follow(whole[1], _within(node, whole.start()), path, scope)
            if target.place != node.place:  # a default has no place of its own
                self.problems.lent[node.place] = target.place
            return attrs.evolve(target, place=node.place)
        if "${" in _REFERENCE.sub("", node.text):
            what, hint = "this interpolation is not closed, or holds another", "an interpolation is ${path}"
            self.problems.add(what, _within(node, node.text.find("${")), path, hint)
            raise _Stop
        text = _REFERENCE.sub(lambda found: self.piece(node, found, path, scope), node.text)
        if len(text) > _LONGEST_TEXT:
            what = f"interpolations make this text longer than {_LONGEST_TEXT:,} characters"
            self.problems.add(what, node.place, path)
            raise _Stop
        return Scalar(text, text, TEXT, node.place, node.source)

    def piece(self, node: Scalar, found: re.Match[str], path: str, scope: _Scope) -> str:
        place = _within(node, found.start())
        target = self.follow(found[1], place, path, scope)
        if isinstance(target, Scalar) and target.rule != NULL:
            return target.text
        self.problems.add(f"{found[0]} is {describe(target)}, which cannot be part of a text", place, path)
        raise _Stop

    def follow(self, reference: str, place: Place, path: str, scope: _Scope) -> Node:
        """What a reference leads to, itself resolved."""
        self.count += 1
        if self.count > _MOST_REFERENCES:
            self.problems.add(f"the spec has more than {_MOST_REFERENCES:,} interpolations", self.root.place)
            raise _Stop
        if ":" in reference:
            return self.resolver(reference, place, path)
        if not _PATH.fullmatch(reference):
            hint = "write the path from the top of the spec, such as ${text_encoder.width}"
            self.problems.add(f"{shown(reference)} is not a path", place, path, hint)
            raise _Stop
        keys = _STEP.findall(reference.strip())
        start = _Scope(self.root) if keys[0] == "stages" else scope
        at, so_far = _At(start.node, Level.SPEC, start), start.path
        for key in keys:
            further = self.step(at, key, so_far, _Reference(reference.strip(), place, path))
            is_entry = isinstance(at.node, ListNode) or (at.slot is not None and at.slot.many)
            so_far = f"{so_far}[{key}]" if is_entry else join(so_far, key)
            at = further
        return self.settled(at.node, so_far, at.scope)

    def settled(self, node: Node, path: str, scope: _Scope) -> Node:
        """`node` resolved."""
        resolved = self.resolve(node, path, scope)
        if isinstance(resolved, Broken):
            raise _Stop  # it was reported where it stands
        return resolved

    def step(self, at: _At, key: str, so_far: str, whose: _Reference) -> _At:
        """One key further. so_far: the path of `at`."""
        node = at.node
        if isinstance(node, Scalar) and _has_reference(node):
            node = self.settled(node, so_far, at.scope)
        if key.isdigit() and (isinstance(node, ListNode) or (at.slot and at.slot.many)):
            items = node.items if isinstance(node, ListNode) else (node,)
            if int(key) >= len(items):
                self.nowhere(whose, f"{so_far} has {entries(len(items))}, counted from 0")
            return _At(items[int(key)], at.slot and Slot(at.slot.kind), at.scope)
        part = as_part(node) if at.slot else node
        if isinstance(part, Broken):
            raise _Stop
        if not isinstance(part, MappingNode):
            self.nowhere(whose, f"{so_far} is {describe(node)}")
        base: Node = part
        if at.slot is not None and (borrowed := _borrowed(part)) is not None:
            base = self.settled(borrowed, join(so_far, "use"), at.scope)
            base = as_part(base.items[0]) if isinstance(base, ListNode) and len(base.items) == 1 else base
        key = self.schema.written(at.position, base, part, key)
        below = self.schema.below(at.position, base, key)
        value = part.get(key)
        if value is None and base is not part and isinstance(base, MappingNode):
            part = base
            key = self.schema.written(at.position, base, part, key)
            value = part.get(key)
        if value is not None:
            return _At(value, below, self.scope(so_far, key, value, at.scope))
        if at.position is Level.SPEC and (default := self.schema.default(key)):
            return _At(node_of(default, whose.place, part.source), below, at.scope)
        fields = self.schema.fields(at.position, used(base), owner(base))
        if key not in fields:
            written = (name for name in part.items if name not in fields and name != "use")
            known = list(islice(chain(fields, written), _MOST_KNOWN))
            self.nowhere(whose, f"{so_far or 'the spec'} has no {shown(key)}", key, known)
        if fields[key].default is attrs.NOTHING:
            self.nowhere(whose, f"{join(so_far, key)} is not written, and has no default")
        return _At(node_of(fields[key].default, whose.place, part.source), below, at.scope)

    def nowhere(self, whose: _Reference, why: str, key: str = "", known: Iterable[str] = ()) -> NoReturn:
        what = f"${{{whose.text}}} leads nowhere: {why}"
        self.problems.add(what, whose.place, whose.path, allowed=known, near=(key, known))
        raise _Stop

    def resolver(self, reference: str, place: Place, path: str) -> Node:
        """`${name:arguments}`: refused, but for the environment where the caller allows it."""
        name, _, argument = reference.partition(":")
        if name.strip() != "oc.env":
            hint = "a spec computes nothing; write the value, or the path of another: ${path}"
            self.problems.add(f"the resolver {shown(name)} is not accepted", place, path, hint)
            raise _Stop
        if not self.allow_env:
            hint = "write the value, or allow it with --allow-env"
            self.problems.add("a spec may not read the environment", place, path, hint)
            raise _Stop
        variable, comma, default = (word.strip() for word in argument.partition(","))
        text = os.environ.get(variable, default if comma else None)
        if text is None:
            what = f"the environment has no variable {shown(variable)}"
            self.problems.add(what, place, path, "set it, or write ${oc.env:NAME,default}")
            raise _Stop
        if "${" in text:
            self.problems.add(
                f"the environment variable {shown(variable)} holds an interpolation", place, path
            )
            raise _Stop
        # as an override's: typed by the field that it is for, text where that takes text
        value, rule = resolve(text)
        return Scalar(text, value, rule, place, Source("the environment", Path(), "", override=True))


def _borrowed(part: MappingNode) -> Scalar | None:
    """The `use` of a part that refers to something whole, which may be another part."""
    use = part.get("use")
    return use if isinstance(use, Scalar) and _REFERENCE.fullmatch(use.text) else None


def _has_reference(node: Scalar) -> bool:
    return "${" in node.text or node.text == "???"


def _within(node: Scalar, index: int) -> Place:
    """The place of a reference inside a text, as far as the line on show lets it be told."""
    place = node.place
    piece = node.text[index : index + 20]
    found = place.text.find(piece, max(place.column - 1 - place.shift, 0))
    return attrs.evolve(place, column=found + place.shift + 1) if found >= 0 else place
