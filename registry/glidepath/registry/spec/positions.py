"""What stands at each place of a spec: which part a node is, and which parameters it takes."""

from __future__ import annotations

from collections.abc import Mapping

from glidepath.registry.describe.fields import Field, Level, Position, Slot, fields
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound
from glidepath.registry.text.tree import MappingNode, Node, Scalar


class Schema:
    """Answers without complaint: None where nothing is known. Problems are the plan's to report."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._fields: dict[tuple[str, str, str], Mapping[str, Field]] = {}

    def slot(self, key: str) -> Slot | None:
        """What a key at the top takes."""
        kind = self.catalogue.slots.get(key)
        return Slot(kind.name, kind.many) if kind else None

    def default(self, key: str) -> str:
        """The part that stands in an absent slot, "" for none."""
        kind = self.catalogue.slots.get(key)
        return kind.default if kind else ""

    def fields(self, position: Position | None, use: str, own: str = "") -> Mapping[str, Field]:
        """The parameters of a part. own: as for `Catalogue.find`."""
        if not isinstance(position, Slot) or not use:
            return {}
        slot = position
        key = (slot.kind, use, own)
        if key not in self._fields:
            try:
                config = self.catalogue.config_class(self.catalogue.look_up(slot.kind, use, own))
                self._fields[key] = fields(config) if config is not None else {}
            except Exception:  # told where the part is planned
                self._fields[key] = {}
        return self._fields[key]

    def below(self, position: Position | None, node: Node, key: str) -> Position | None:
        """What a key of the node at a position takes."""
        if position is Level.SPEC:
            return Level.STAGES if key == "stages" else self.slot(key)
        if position is Level.STAGES:
            return Level.SPEC
        known = self.fields(position, used(node), owner(node))
        field = known.get(key)
        return field.slot if field else None

    def same(self, slot: Slot, part: Node, other: Node) -> bool:
        """Whether two parts in a slot are the same component, each named in its own way."""
        return used(part) == used(other) or self._full_name(slot, part) == self._full_name(slot, other) != ""

    def _full_name(self, slot: Slot, node: Node) -> str:
        try:
            return self.catalogue.look_up(slot.kind, used(node), owner(node)).full_name
        except NotFound:
            return ""


def used(node: Node) -> str:
    """The name that a part's `use` gives, "" when it does not give one."""
    use = _use(node)
    return use.text if isinstance(use, Scalar) and use.is_text else ""


def owner(node: Node) -> str:
    """The distribution that a part's `use` ships with, whose own part its short name means first."""
    use = _use(node)
    return use.source.distribution if use is not None else ""


def _use(node: Node) -> Node | None:
    return node.get("use") if isinstance(node, MappingNode) else node
