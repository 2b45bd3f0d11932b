"""The resolved tree of a plan: the spec with every default written out, as values that JSON has."""

from __future__ import annotations

import enum
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import attrs

from glidepath.registry.describe.fields import fields
from glidepath.registry.plan.address import Address
from glidepath.registry.plan.parts import PartPlan, Parts, Runtime
from glidepath.registry.spec.requirements import PluginsSection
from glidepath.registry.text.yaml_text import yaml_text

_NO_SWITCHES = PluginsSection()


def resolved_tree(
    parts: Parts,
    runtime: Runtime,
    weights: Address | None = None,
    plugins: PluginsSection = _NO_SWITCHES,
    written: Callable[[PurePath], str] = str,
    stages: Mapping[str, tuple[Parts, Address | None]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The tree. Components have their full names.

    parts: without those of `stages`, which a cascade has: the parts and the file of weights of each.
    written: how a file is named.
    """
    writer = _Writer(written)
    tree = writer.pipeline(parts, None)
    if stages:
        tree["stages"] = {name: writer.pipeline(*stage) for name, stage in stages.items()}
    if weights is not None:
        tree["weights"] = writer.address(weights)
    tree["runtime"] = writer.value(runtime)
    if plugins != type(plugins)():
        tree["plugins"] = writer.value(plugins)
    return tree


def part_tree(part: PartPlan | tuple[PartPlan, ...], written: Callable[[PurePath], str] = str) -> Any:
    """A part, or the parts of a list, as a spec writes them, with every default written out.

    written: how a file is named.
    """
    return _Writer(written).position(part)


def plain_value(value: object, hint: Any = Any) -> Any:
    """A value of a parameter, such as its default, as `resolved_tree` writes it. hint: the annotation."""
    return _Writer(str).value(value, hint)


@attrs.frozen
class _Writer:
    """file: how a file is named. assets: the addresses of some files, as of `PartPlan`."""

    file: Callable[[PurePath], str]
    assets: Mapping[Path, Address] = MappingProxyType({})

    def pipeline(self, parts: Parts, weights: Address | None) -> dict[str, Any]:
        tree: dict[str, Any] = {slot: self.position(part) for slot, part in parts.items()}
        if weights is not None:
            tree["weights"] = self.address(weights)
        return tree

    def position(self, part: PartPlan | tuple[PartPlan, ...]) -> Any:
        return [self.part(item) for item in part] if isinstance(part, tuple) else self.part(part)

    def part(self, part: PartPlan) -> dict[str, Any]:
        tree: dict[str, Any] = {"use": part.registered.full_name}
        for name, field in fields(type(part.config)).items() if part.config is not None else ():
            if field.slot is None:
                writer = attrs.evolve(self, assets=part.assets)
                tree[name] = writer.value(getattr(part.config, field.attribute.name), field.hint)
            elif name in part.parts:
                tree[name] = self.position(part.parts[name])
            else:
                tree[name] = [] if field.slot.many else None
        if part.weights is not None:
            tree["weights"] = self.address(part.weights)
        return tree

    def address(self, address: Address) -> Any:
        path = self.file(Path(address.value)) if address.scheme == "file" else str(address)
        extra = {"variant": address.variant, "revision": address.revision, "sha256": address.sha256}
        stated = {key: value for key, value in extra.items() if value}
        return {"path": path, **stated} if stated else path

    def value(self, value: Any, hint: Any = Any) -> Any:
        """hint: the annotation: a default of 1 where a float is meant is 1.0, as a 1 in a spec would be."""
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, float) and not math.isfinite(value):
            return yaml_text(value)  # JSON has no infinity
        if value is None or isinstance(value, bool | int | float | str):
            return float(value) if type(value) is int and _only(hint) is float else value
        if isinstance(value, PurePath):
            address = self.assets.get(Path(value))
            return self.file(value) if address is None else self.address(address)
        inner = typing.get_args(_only(hint))
        if isinstance(value, Mapping):
            of = inner[1] if len(inner) == 2 else Any
            return {str(key): self.value(item, of) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            each = len(inner) == 1 or Ellipsis in inner
            hints = inner if len(inner) == len(value) else (inner[0] if each else Any,) * len(value)
            return [self.value(item, of) for item, of in zip(value, hints, strict=True)]
        kind: Any = type(value)
        if attrs.has(kind):
            return {
                name: self.value(getattr(value, field.attribute.name), field.hint)
                for name, field in fields(type(value)).items()
            }
        return str(value)


def _only(hint: Any) -> Any:
    """What an annotation is beside None; Any when it is several things."""
    if typing.get_origin(hint) is typing.Annotated:
        return _only(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return members[0] if len(members) == 1 else Any
    return hint
