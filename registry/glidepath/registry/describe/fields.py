"""What may stand where in a spec: slots at the top, or stages of slots; parts and their parameters below."""

from __future__ import annotations

import enum
import math
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import attrs

from glidepath.registry.describe.component import ASSET, DOC, FREE, MANY, PART, UNBOUNDED

FACTORY: Any = attrs.Factory
"""Of a default that is computed: a class, which attrs declares as a function."""

SECTIONS = ("extends", "weights", "runtime", "plugins", "stages")
"""Keys at the top of a spec that are no parts; no kind may claim one as its slot."""

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
    free: trained weights mean the same under any value of it.
    """

    name: str
    hint: Any
    attribute: attrs.Attribute[Any]
    slot: Slot | None
    free: bool = False

    @property
    def doc(self) -> str:
        """What it means, as `doc` tells it; "" where it does not."""
        return str(self.attribute.metadata.get(DOC, ""))

    @property
    def asset(self) -> bool:
        """Whether it names what the part reads, a file or a folder."""
        return bool(self.attribute.metadata.get(ASSET))

    @property
    def unbounded(self) -> bool:
        """Whether it may be infinite, as `doc` or its default says."""
        return is_unbounded(self.attribute)

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.attribute.default is attrs.NOTHING

    @property
    def default(self) -> object:
        """A fresh default. One that is computed from the other fields is known only to the class itself."""
        default: Any = self.attribute.default
        if isinstance(default, FACTORY):
            return attrs.NOTHING if default.takes_self else default.factory()
        return default


def is_unbounded(attribute: attrs.Attribute[Any]) -> bool:
    """Whether a number may be infinite."""
    return bool(attribute.metadata.get(UNBOUNDED)) or attribute.default in (math.inf, -math.inf)


def fields(config: type[Any]) -> Mapping[str, Field]:
    """The parameters of a config class by name.

    Raises:
        NameError, TypeError, ...: an annotation that cannot be resolved.
    """
    key: Any = config
    return _fields(key)


@cache
def _fields(config: Any) -> Mapping[str, Field]:
    types = typing.get_type_hints(config)
    by_name = {}
    for attribute in attrs.fields(config):
        if attribute.init and not attribute.metadata.get("omegaconf_ignore"):
            kind = attribute.metadata.get(PART)
            slot = Slot(str(kind), bool(attribute.metadata.get(MANY))) if kind else None
            name = attribute.alias or attribute.name
            by_name[name] = Field(
                name,
                types.get(attribute.name, Any),
                attribute,
                slot,
                free=bool(attribute.metadata.get(FREE)),
            )
    return by_name
