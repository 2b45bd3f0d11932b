"""How a later layer of a spec changes an earlier one.

As `OmegaConf.merge` does it, mappings merge, and lists and values replace. What OmegaConf cannot know: a part
that becomes another one loses the parameters of the first, the bare name `ddim` is {use: ddim}, and a list of
parts may take the place of a single one.
"""

from __future__ import annotations

from glidepath.registry.describe.fields import Position, Slot
from glidepath.registry.spec.positions import Schema, used
from glidepath.registry.text.tree import Entry, MappingNode, Node, Scalar


def as_part(node: Node) -> Node:
    """The bare name of a part written out: `ddim` is {use: ddim}."""
    if isinstance(node, Scalar) and node.is_text:
        return MappingNode({"use": Entry(node.place, node)}, node.place, node.source)
    return node


def merge(base: Node, over: Node, schema: Schema, position: Position | None = None) -> Node:
    """`over` on `base`: mappings merge, all else replaces. A part with another `use` replaces the part whole.

    position: what stands there, None for a value that is no part.
    """
    slot = position if isinstance(position, Slot) else None
    if slot and not (isinstance(base, Scalar) and isinstance(over, Scalar)):
        base, over = as_part(base), as_part(over)
    if not isinstance(base, MappingNode) or not isinstance(over, MappingNode):
        return over
    if slot and used(over) and not schema.same(slot, over, base):
        return over
    part = over if used(over) else base
    items = dict(base.items)
    for key, entry in over.items.items():
        # an address is one thing: the hash of another file would not do
        if key in items and key != "weights":
            below = schema.below(position, part, key)
            items[key] = Entry(entry.key, merge(items[key].node, entry.node, schema, below))
        else:
            items[key] = entry
    # a part is where its `use` is
    whole = part if slot else over
    return MappingNode(items, whole.place, whole.source)
