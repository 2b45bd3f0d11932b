"""What the page knows of kinds, parts, parameters and presets: what `glidepath show` knows, as JSON."""

from __future__ import annotations

import enum
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from glidepath.registry import (
    Catalogue,
    Field,
    NotFound,
    Registered,
    Runtime,
    fields,
    limits,
    part_document,
    plain_value,
)

_BOUNDS = {">=": "least", ">": "above", "<=": "most", "<": "below"}


def catalogue_document(catalogue: Catalogue) -> dict[str, Any]:
    """All kinds with their parts, the presets, and the section `runtime`."""
    return {
        "kinds": [
            {
                "name": kind.name,
                "slot": kind.slot,
                "many": kind.many,
                "required": kind.required,
                "sampling": kind.sampling,
                "default": kind.default,
                "instead_of": list(kind.instead_of),
                "summary": kind.summary,
                "parts": [_part(catalogue, it) for it in catalogue.components(kind.name)],
            }
            for kind in catalogue.kinds.values()
        ],
        "presets": [{"name": name, "summary": it.summary} for name, it in catalogue.presets().items()],
        "runtime": [
            {"name": name, "doc": field.doc, "required": False, "default": plain(field), **widget(field)}
            for name, field in fields(Runtime).items()
        ],
        "failures": [f"{record.title}: {record.error}" for record in catalogue.failures],
    }


def _part(catalogue: Catalogue, registered: Registered) -> dict[str, Any]:
    """A part, as `glidepath show --json` has it, with what its parameters look like in a form."""
    try:
        document: dict[str, Any] = part_document(catalogue, registered)
        config = catalogue.config_class(registered)
    except NotFound as unknown:
        component = registered.component
        reason = "; ".join(filter(None, (unknown.what, unknown.hint)))
        known = {"name": component.name, "use": catalogue.spelling(registered), "summary": component.summary}
        return {**known, "full": registered.full_name, "unusable": reason, "parameters": [], "references": []}
    known_fields: Mapping[str, Field] = fields(config) if config is not None else {}
    told = {it["name"]: it for it in document["parameters"]}
    keys = ("name", "use", "summary", "distribution", "version", "references", "unusable")
    return {
        **{key: document[key] for key in keys},
        "full": registered.full_name,
        "parameters": [
            {
                "name": name,
                "doc": field.doc,
                "type": told.get(field.attribute.name, {}).get("type", ""),
                "limits": told.get(field.attribute.name, {}).get("limits", ""),
                "required": field.required,
                "default": plain(field),
                "part": field.slot.kind if field.slot else "",
                "many": bool(field.slot and field.slot.many),
                **widget(field),
            }
            for name, field in known_fields.items()
        ],
    }


def plain(field: Field) -> Any:
    """A default as JSON has it; None for one that is computed, or for none."""
    default = field.default
    if field.required or not isinstance(default, str | int | float | bool | list | tuple | dict | enum.Enum):
        return None
    value = plain_value(default, field.hint)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def widget(field: Field) -> dict[str, Any]:
    """What a parameter is entered with: a "box" to tick, a "number", a "choice" of some, or a "text" of YAML.

    whole: of a number. least, above, most, below: its bounds. choices: texts, or other plain values.
    optional: null is right too.
    """
    members = _members(field.hint)
    optional = type(None) in members
    members = [it for it in members if it is not type(None)]
    choices = [choice for it in members for choice in _choices(it)]
    asked = [limit for limit in limits(field.attribute.validator) if not limit.each]
    for limit in asked:
        if limit.ask == "one of" and limit.others is None:
            choices = [it for it in limit.value if isinstance(it, str | int | float)]
    found: dict[str, Any] = {"optional": optional, "widget": "text"}
    if choices and (len(members) == len([it for it in members if _choices(it)]) or members == [str]):
        return {**found, "widget": "choice", "choices": choices}
    if members == [bool]:
        return {**found, "widget": "box"}
    if members and all(it in (int, float) for it in members):
        bounds = {_BOUNDS[it.ask]: it.value for it in asked if it.ask in _BOUNDS}
        finite = {ask: bound for ask, bound in bounds.items() if math.isfinite(bound)}
        return {**found, "widget": "number", "whole": members == [int], **finite}
    return found


def _members(hint: Any) -> list[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _members(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return [member for argument in arguments for member in _members(argument)]
    return [hint]


def _choices(hint: Any) -> list[Any]:
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [member.name for member in hint]
    return []
