"""Single values of a spec changed: by `--set path=value`, or by another file, which can remove parts too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from glidepath.registry.describe.component import RESERVED
from glidepath.registry.describe.fields import Level, Position, Slot
from glidepath.registry.spec.merge import as_part, merge
from glidepath.registry.spec.positions import Schema, owner, used
from glidepath.registry.text.problems import (
    Place,
    Problem,
    Problems,
    SpecError,
    did_you_mean,
    printable,
    quoted,
)
from glidepath.registry.text.scalars import NULL
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
    MAX_DEPTH,
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
from glidepath.registry.text.yaml_tree import Unreadable, read_tree

_SEGMENT = re.compile(r"(?P<dot>\.?)(?P<key>[^.\[\]]+)|\[(?P<index>[0-9]{1,9})\]")


@attrs.frozen
class Override:
    """An override that messages call by the name of the option which stands for it, not `--set`.

    trusted: it may name files; those of a stranger name none. drop_unknown: as a `Change` has it.
    """

    text: str
    name: str
    trusted: bool = True
    drop_unknown: bool = False


@attrs.frozen(eq=False)
class Change:
    """A change of a spec that another file states.

    path: where, such as "guidance[0].scale". value: what to put there; None removes the part.
    drop_unknown: when a part gives way to another, leave out parameters that the new one does not have.
    """

    path: Scalar
    value: Node | None
    drop_unknown: bool = False


def option_override(path: str, option: str, value: str) -> Override:
    """What an option with its value, `--dtype half`, stands for."""
    return Override(f"{path}={json.dumps(value, ensure_ascii=False)}", f"{option} {value}")


def as_overrides(given: object) -> list[str | Override]:
    """The overrides of a call, which a type checker has not looked at.

    Raises:
        SpecError: they are no list of texts.
    """
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        listed = list(given)
        odd = next((item for item in listed if not isinstance(item, str | Override)), None)
        if odd is None:
            return listed
        what = f"an override is a text PATH=VALUE, and this is of type {type(odd).__name__}: {odd!r}"
    else:
        what = f"overrides are a list of texts, and this is of type {type(given).__name__}: {given!r}"
    raise SpecError([Problem(what=printable(what, 200), hint='write a list such as ["sampler.steps=50"]')])


@attrs.frozen
class _Segment:
    """A piece of a path. index: set for "[3]" and for "3"; key: "" for "[3]"."""

    key: str
    index: int | None
    place: Place


def override_source(number: int, override: str | Override) -> Source:
    """The source of an override, counted from 1. Its relative paths are relative to the current directory."""
    if isinstance(override, str):
        override = Override(override, f"--set #{number}")
    text = override.text
    folder, skip = Path() if override.trusted else None, text.find("=") + 1
    return Source(override.name, folder, text, skip=skip, override=True, trusted=override.trusted)


def apply(
    root: MappingNode,
    source: Source,
    schema: Schema,
    problems: Problems,
    position: Position | None = Level.SPEC,
    drop_unknown: bool = False,
) -> MappingNode:
    """The spec with an override applied. A wrong override is reported and changes nothing.

    "sampler.steps=20" sets a parameter, "sampler=ddim" puts another part in a slot, "guidance[0].scale=2" and
    "guidance.0.scale=2" reach into a list, "stages.up.sampler.steps=27" into a stage of a cascade. The value
    is YAML; a mapping is merged into what is there.

    position: what the root is; None for a file that is no spec, and holds values only. drop_unknown: as a
        `Change` has it.
    """
    if not source.skip:
        place = source.at(len(source.text))
        problems.add("an override is PATH=VALUE, and this has no '='", place, hint="such as sampler.steps=50")
        return root
    segments = _segments(source.text[: source.skip - 1], source.at, problems)
    if segments is None:
        return root
    if _sets_extends(segments, problems):
        return root
    try:
        value = read_tree(source, problems) or Scalar("", None, NULL, source.at(source.skip), source)
    except Unreadable:
        return root
    changed = _Edit(source, value, schema, problems, drop_unknown).put(root, segments, "", position)
    return changed if isinstance(changed, MappingNode) else root


def apply_change(root: MappingNode, change: Change, schema: Schema, problems: Problems) -> MappingNode:
    """The spec with a change applied, as `apply` does it. A wrong one is reported and changes nothing."""
    segments = _segments(change.path.text, lambda _index: change.path.place, problems)
    if segments is None or _sets_extends(segments, problems):
        return root
    edit = _Edit(change.path.source, change.value, schema, problems, change.drop_unknown)
    changed = edit.put(root, segments, "", Level.SPEC)
    return changed if isinstance(changed, MappingNode) else root


def _sets_extends(segments: Sequence[_Segment], problems: Problems) -> bool:
    """Whether a path leads to what a spec, or a stage, extends: that is merged already. It is reported."""
    keys = [segment.key for segment in segments]
    if keys[0] != "extends" and (keys[0] != "stages" or keys[2:3] != ["extends"]):
        return False
    hint = "name the preset or the file as the spec" if len(keys) < 3 else "write it in a file"
    place = segments[min(len(segments) - 1, 2)].place
    problems.add("extends cannot be set", place, ".".join(keys[:3]), hint)
    return True


def _segments(text: str, at: Callable[[int], Place], problems: Problems) -> list[_Segment] | None:
    segments: list[_Segment] = []
    position = 0
    while position < len(text) or not segments:
        match = _SEGMENT.match(text, position)
        # a dot stands between keys, and nowhere else
        if not match or (match["key"] is not None and bool(match["dot"]) != bool(segments)):
            hint = "write names joined by dots, and [0] for an entry of a list: guidance[0].scale"
            problems.add("this is not a path", at(position), hint=hint)
            return None
        key = (match["key"] or "").strip()
        digits = match["index"] or (key if key.isascii() and key.isdigit() and len(key) < 10 else "")
        index = int(digits) if digits else None
        segments.append(_Segment(key, index, at(position + len(match["dot"] or ""))))
        position = match.end()
    if len(segments) >= MAX_DEPTH:
        problems.add(f"the path is more than {MAX_DEPTH - 1} levels deep", segments[0].place)
        return None
    return segments


@attrs.frozen
class _Edit:
    """A value that goes where a path leads; None: the part that stands there goes."""

    source: Source
    value: Node | None
    schema: Schema
    problems: Problems
    drop_unknown: bool = False

    def put(
        self, node: Node | None, segments: list[_Segment], path: str, position: Position | None
    ) -> Node | None:
        """`node` with the value at `segments` below it; None when that cannot be."""
        if not segments and self.value is None:  # the only part of what takes a list
            return ListNode((), self.source.place(0, 0), self.source)
        if not segments and self.value is not None:
            merged = self.value if node is None else merge(node, self.value, self.schema, position)
            if node is not None and isinstance(position, Slot) and self.source.override:
                self.require_kept(node, merged, path)
            return self.fitted(merged, position)
        segment, *rest = segments
        slot = position if isinstance(position, Slot) else None
        if isinstance(node, ListNode):
            return self.put_in_list(node, segment, rest, path, slot)
        if slot is not None and slot.many and segment.index is not None:
            # a single part stands for a list of one
            if segment.index > 0:
                self.no_entry(segment, path, 1)
                return None
            return self.put(node, rest, f"{path}[0]", Slot(slot.kind))
        if isinstance(node, Scalar) and "${" in node.text:
            what = f"{path} is {node.text}, which is taken from elsewhere whole"
            self.problems.add(what, segment.place, path, f"set what it is taken from, or all of {path}")
            return None
        if slot is not None and node is not None:
            node = as_part(node)
        if node is None or (isinstance(node, Scalar) and node.rule == NULL):
            node = MappingNode({}, segment.place, self.source)
        if not isinstance(node, MappingNode) or not segment.key:
            what = "a mapping" if not segment.key else describe_node(node)
            wanted = "a list" if not segment.key else "a mapping"
            self.problems.add(f"{path or 'the spec'} is {what}, not {wanted}", segment.place, path)
            return None
        if position is Level.STAGES and rest and segment.key not in node.items:
            # a value alone makes no stage
            hint = did_you_mean(segment.key, node.items)
            what = f"there is no stage {quoted(segment.key)}"
            self.problems.add(what, segment.place, join_path(path, segment.key), hint, node.items)
            return None
        below = self.schema.below(position, node, segment.key)
        if self.value is None and not rest:
            return self.without(node, segment, path, position, below)
        changed = self.put(node.get(segment.key), rest, join_path(path, segment.key), below)
        if changed is None:
            return None
        items = dict(node.items)
        # where only a value below changes, the key is still where it was
        key = items[segment.key].key if rest and segment.key in items else segment.place
        items[segment.key] = Entry(key, changed)
        whole = MappingNode(items, node.place, node.source)
        return self.fitted(whole, position) if segment.key == "use" and not rest else whole

    def require_kept(self, node: Node, merged: Node, path: str) -> None:
        """Report what an earlier override set in a part, where another part takes its place."""
        kept = {at for at, _ in walk(merged, path)}
        for at, lost in walk(node, path):
            if lost.source.override and at not in kept:
                what = f"{lost.source.name} sets {at}, and this puts another part there"
                self.problems.add(what, merged.place, at, "write it after this one")

    def put_in_list(
        self, node: ListNode, segment: _Segment, rest: list[_Segment], path: str, slot: Slot | None
    ) -> Node | None:
        if segment.index is None:
            self.problems.add(
                f"{path} is a list, and {quoted(segment.key)} is no number",
                segment.place,
                path,
                f"write which entry is meant: {path}[0].{segment.key}",
            )
            return None
        if segment.index >= len(node.items):
            self.no_entry(segment, path, len(node.items))
            return None
        index = segment.index
        changed: tuple[Node, ...] = ()
        if rest or self.value is not None:
            entry = self.put(node.items[index], rest, f"{path}[{index}]", slot and Slot(slot.kind))
            if entry is None:
                return None
            changed = (entry,)
        items = (*node.items[:index], *changed, *node.items[index + 1 :])
        return ListNode(items, node.place, node.source)

    def without(
        self, node: MappingNode, segment: _Segment, path: str, position: Position | None, slot: object
    ) -> Node | None:
        """A mapping without one of its parts: what its slot is then is for its kind to say."""
        key, at = segment.key, join_path(path, segment.key)
        if not isinstance(slot, Slot):
            what = f"there is no part at {quoted(at)} that could be removed"
            hint = did_you_mean(at, self.schema.catalogue.slots)
            self.problems.add(what, segment.place, hint=hint or "name a slot, or an entry: guidance[0]")
            return None
        if position is Level.SPEC and self.schema.catalogue.slots[key].required:
            what = f"a spec needs a {key}: it can be swapped, and not removed"
            self.problems.add(what, segment.place, at)
            return None
        items = {other: entry for other, entry in node.items.items() if other != key}
        if key in node.items and slot.many:
            items[key] = Entry(node.items[key].key, ListNode((), segment.place, self.source))
        elif key in node.items and position is Level.SPEC and not self.schema.default(key):
            nothing = Scalar("null", None, NULL, segment.place, self.source)
            items[key] = Entry(node.items[key].key, nothing)
        return MappingNode(items, node.place, node.source)

    def fitted(self, node: Node, position: Position | None) -> Node:
        """A part without the parameters that it does not have, where those are to be dropped."""
        if not self.drop_unknown or not isinstance(position, Slot) or not isinstance(node, MappingNode):
            return node
        known = self.schema.fields(position, used(node), owner(node))
        items = {key: entry for key, entry in node.items.items() if key in known or key in RESERVED}
        return MappingNode(items, node.place, node.source) if known else node

    def no_entry(self, segment: _Segment, path: str, count: int) -> None:
        self.problems.add(
            f"{path} has {entries(count)}, counted from 0, and this names entry {segment.index}",
            segment.place,
            path,
            "to add one, set the whole list",
        )
