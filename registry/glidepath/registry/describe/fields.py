"""What may stand where in a spec: slots at the top, or stages of slots; parts and their parameters below."""

from __future__ import annotations

import enum
import typing
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.describe.component import DEPRECATED, FORMERLY, FREE, MANY, PART
from glidepath.registry.text.tree import MappingNode, Node, Scalar
from glidepath.registry.discovery.unknown import Unknown

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue

SECTIONS = ("extends", "weights", "runtime", "plugins", "stages")
"""Keys at the top of a spec that are no parts."""

STAGE_SECTIONS = ("extends", "weights")
"""Keys of a stage that are no parts."""


@attrs.frozen
class Slot:
    """A position that takes a part of `kind`, or a list of them when `many`."""

    kind: str
    many: bool = False


class Level(enum.Enum):
    """A position that holds parts and is none. SPEC: a whole spec or a stage; STAGES: a mapping of stages."""

    SPEC = enum.auto()
    STAGES = enum.auto()


Position = Slot | Level
"""What stands at a place of a spec, where it is no mere value."""


@attrs.frozen(eq=False)
class Field:
    """A parameter of a config class, under the name that a spec gives it.

    hint: its annotation, resolved. slot: set when it is itself a part.
    formerly: its earlier names. deprecated: what to write in its place, "" when it stays.
    free: trained weights mean the same under any value of it.
    """

    name: str
    hint: Any
    attribute: attrs.Attribute[Any]
    slot: Slot | None
    formerly: tuple[str, ...] = ()
    deprecated: str = ""
    free: bool = False

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.attribute.default is attrs.NOTHING

    @property
    def default(self) -> object:
        """A fresh default. One that is computed from the other fields is known only to the class itself."""
        default: Any = self.attribute.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            return attrs.NOTHING if default.takes_self else default.factory()
        return default


def fields(config: type[Any]) -> Mapping[str, Field]:
    """The parameters of a config class by name.

    Raises:
        NameError, TypeError, ...: an annotation that cannot be resolved.
    """
    key: Any = config
    return _fields(key)


@cache
def _fields(config: Any) -> Mapping[str, Field]:
    hints = typing.get_type_hints(config)
    found = {}
    for attribute in attrs.fields(config):
        if attribute.init and not attribute.metadata.get("omegaconf_ignore"):
            kind = attribute.metadata.get(PART)
            slot = Slot(str(kind), bool(attribute.metadata.get(MANY))) if kind else None
            name = attribute.alias or attribute.name
            found[name] = Field(
                name,
                hints.get(attribute.name, Any),
                attribute,
                slot,
                formerly=tuple(attribute.metadata.get(FORMERLY, ())),
                deprecated=str(attribute.metadata.get(DEPRECATED, "")),
                free=bool(attribute.metadata.get(FREE)),
            )
    return found


def current(known: Mapping[str, Field], name: str) -> str:
    """The name that a parameter has now; the same, when it is no earlier name of one."""
    if name in known:
        return name
    return next((field.name for field in known.values() if name in field.formerly), name)


class Schema:
    """Answers without complaint: None where nothing is known. Faults are the plan's to report."""

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
            except Exception:
                self._fields[key] = {}
        return self._fields[key]

    def below(self, position: Position | None, node: Node, key: str) -> Position | None:
        """What a key of the node at a position takes."""
        if position is Level.SPEC:
            return Level.STAGES if key == "stages" else self.slot(key)
        if position is Level.STAGES:
            return Level.SPEC
        known = self.fields(position, used(node), owner(node))
        field = known.get(current(known, key))
        return field.slot if field else None

    def written(self, position: Position | None, part: Node, node: MappingNode, key: str) -> str:
        """The key under which `node` has a parameter, of several names; where it has it not, its name now.

        part: says which component it is.
        """
        known = self.fields(position, used(part), owner(part))
        name = current(known, key)
        names = (key, name, *known[name].formerly) if name in known else (key,)
        return next((one for one in names if one in node.items), name)

    def same(self, slot: Slot, one: Node, other: Node) -> bool:
        """Whether two parts in a slot are the same component, each named in its own way."""
        return used(one) == used(other) or self._full_name(slot, one) == self._full_name(slot, other) != ""

    def _full_name(self, slot: Slot, node: Node) -> str:
        try:
            return self.catalogue.look_up(slot.kind, used(node), owner(node)).full_name
        except Unknown:
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
