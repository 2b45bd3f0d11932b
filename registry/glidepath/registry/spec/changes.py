"""Changes of a spec: a value put at a path, or a part removed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import attrs

from glidepath.registry.describe.component import RESERVED
from glidepath.registry.describe.fields import Level, Position, Slot
from glidepath.registry.spec.overrides import put
from glidepath.registry.spec.positions import Schema, owner, used
from glidepath.registry.text.problems import Problems, did_you_mean, quoted
from glidepath.registry.text.scalars import NULL
from glidepath.registry.text.tree import ListNode, MappingNode, Node, Scalar

_STEP = re.compile(r"[^.\[\]]+")


@attrs.frozen(eq=False)
class Change:
    """One change.

    path: where, such as "guidance[0].scale". value: what to put there; None removes the part.
    drop_unknown: when a part gives way to another, leave out parameters that the new one does not have.
    """

    path: Scalar
    value: Node | None
    drop_unknown: bool = False


def apply_change(root: MappingNode, change: Change, schema: Schema, problems: Problems) -> MappingNode:
    """The spec with a change applied. A wrong one is reported and changes nothing."""
    if change.value is None:
        return _removed(root, change.path, schema, problems)
    root = put(root, change.path, change.value, schema, problems)
    if change.drop_unknown:
        steps = _STEP.findall(change.path.text)
        part = steps[:-1] if steps[-1] == "use" else steps
        return _changed(root, part, schema, lambda node, at: _fitted(node, at, schema))
    return root


def _fitted(node: Node, position: Position | None, schema: Schema) -> Node:
    """A part without the parameters that it does not have."""
    if not isinstance(position, Slot) or not isinstance(node, MappingNode):
        return node
    known = schema.fields(position, used(node), owner(node))
    if not known:
        return node
    kept = {key: entry for key, entry in node.items.items() if key in known or key in RESERVED}
    return MappingNode(kept, node.place, node.source)


def _removed(root: MappingNode, path: Scalar, schema: Schema, problems: Problems) -> MappingNode:
    """The spec without a part. What a slot is without one is for its kind to say: empty, or its default."""
    *above, last = _STEP.findall(path.text) or [""]
    removed: list[str] = []

    def without(node: Node, position: Position | None) -> Node:
        if isinstance(node, ListNode) and last.isdigit() and int(last) < len(node.items):
            removed.append(last)
            rest = [item for index, item in enumerate(node.items) if index != int(last)]
            return ListNode(tuple(rest), node.place, node.source)
        if not isinstance(node, MappingNode):
            return node
        slot = schema.below(position, node, last)
        if not isinstance(slot, Slot):
            return node
        removed.append(last)
        if position is Level.SPEC and schema.catalogue.slots[last].required:
            what = f"a spec needs a {last}: it can be swapped, and not removed"
            problems.add(what, path.place, path.text)
            return node
        items = {key: entry for key, entry in node.items.items() if key != last}
        if slot.many and last in node.items:
            old = node.items[last]
            items[last] = attrs.evolve(old, node=ListNode((), path.place, path.source))
        elif position is Level.SPEC and last in node.items and not schema.default(last):
            nothing = Scalar("null", None, NULL, path.place, path.source)
            items[last] = attrs.evolve(node.items[last], node=nothing)
        return MappingNode(items, node.place, node.source)

    changed = _changed(root, above, schema, without)
    if not removed:
        what = f"there is no part at {quoted(path.text)} that could be removed"
        hint = did_you_mean(path.text, schema.catalogue.slots)
        problems.add(what, path.place, hint=hint or "name a slot, such as guidance, or an entry: guidance[0]")
    return changed


def _changed(
    root: MappingNode,
    steps: Sequence[str],
    schema: Schema,
    replace: Callable[[Node, Position | None], Node],
) -> MappingNode:
    """The spec with another node at the end of some steps; the same one where they lead nowhere."""

    def below(node: Node, steps: Sequence[str], position: Position | None) -> Node:
        if not steps:
            return replace(node, position)
        step, *rest = steps
        if isinstance(node, ListNode) and step.isdigit() and int(step) < len(node.items):
            inner = Slot(position.kind) if isinstance(position, Slot) else None
            items = list(node.items)
            items[int(step)] = below(items[int(step)], rest, inner)
            return ListNode(tuple(items), node.place, node.source)
        if isinstance(node, MappingNode) and step in node.items:
            entry = node.items[step]
            inside = below(entry.node, rest, schema.below(position, node, step))
            return MappingNode(
                {**node.items, step: attrs.evolve(entry, node=inside)}, node.place, node.source
            )
        return node

    changed = below(root, steps, Level.SPEC)
    assert isinstance(changed, MappingNode)  # a mapping at the top stays one
    return changed
