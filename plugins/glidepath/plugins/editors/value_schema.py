"""JSON Schemas of plain values: what an annotation and its validators ask of one."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry import Field, Limit, fields, limits, plain_value

Json = dict[str, Any]

NULL: Json = {"type": "null"}
INTERPOLATION: Json = {"$ref": "#/definitions/interpolation"}
"""What stands for a value that an interpolation gives; a schema that uses it has the definition."""

_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


def object_schema(config: type[Any]) -> Json:
    """An object of an attrs class that is no part."""
    known = fields(config)
    return {
        "type": "object",
        "properties": {name: parameter_schema(field) for name, field in known.items()},
        "required": [name for name, field in known.items() if field.required],
        "additionalProperties": False,
    }


def parameter_schema(field: Field) -> Json:
    """A parameter that is a plain value."""
    asked = tuple(limits(field.attribute.validator))
    alternatives = list(_alternatives(field.hint, asked))
    if field.unbounded:
        alternatives.append({"enum": [".inf", "-.inf"]})  # JSON has no infinity
    if not any(it.get("type") == "string" and set(it) == {"type"} for it in alternatives):
        alternatives.append(INTERPOLATION)
    about = described(field)
    if asked:
        text = ", ".join(map(str, asked))
        about["description"] = f"{about['description']} ({text})" if about else text
    default = field.default
    if not field.required and default is not attrs.NOTHING:
        about["default"] = plain_value(default, field.hint)
    return {**about, **(alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives})}


def described(field: Field) -> Json:
    """What a parameter means, as editors show it."""
    return {"description": field.doc} if field.doc else {}


def _alternatives(hint: Any, asked: Sequence[Limit]) -> Iterator[Json]:
    """What a value may be: a schema for each member of a union."""
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        yield from _alternatives(arguments[0], asked)
    elif origin in (typing.Union, types.UnionType):
        for member in arguments:
            yield from _alternatives(member, asked)
    elif hint in (None, type(None)):
        yield NULL
    else:
        yield from _limited(_one(hint, asked), [limit for limit in asked if not limit.each])


def _one(hint: Any, asked: Sequence[Limit]) -> Json:
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if isinstance(origin, type):
        if issubclass(origin, enum.Enum):
            return {"enum": [member.name for member in origin]}
        for plain, name in _PLAIN.items():
            if origin is plain:
                return {"type": name}
        if issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": _any_of(arguments[1] if arguments else Any)}
        if issubclass(origin, Sequence):
            return _array(origin, arguments, [attrs.evolve(it, each=False) for it in asked if it.each])
        if attrs.has(origin):
            return object_schema(origin)
    return {}


_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}


def _array(origin: type[Any], arguments: Sequence[Any], asked: Sequence[Limit]) -> Json:
    if issubclass(origin, tuple) and arguments and Ellipsis not in arguments:
        items = [_any_of(argument, asked) for argument in arguments]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    return {"type": "array", "items": _any_of(arguments[0] if arguments else Any, asked)}


def _any_of(hint: Any, asked: Sequence[Limit] = ()) -> Json:
    alternatives = [*_alternatives(hint, asked), INTERPOLATION]
    return {} if {} in alternatives else {"anyOf": alternatives}


def _limited(schema: Json, asked: Sequence[Limit]) -> Iterator[Json]:
    """A schema with what validators ask of a value of its type; several, where other values do as well."""
    schema, kind = dict(schema), schema.get("type")
    for limit in asked:
        if limit.ask in _BOUNDS and kind in ("integer", "number"):
            schema[_BOUNDS[limit.ask]] = limit.value
        elif limit.ask in ("at least", "at most") and kind in ("array", "string"):
            bound = "min" if limit.ask == "at least" else "max"
            schema[bound + ("Items" if kind == "array" else "Length")] = limit.value
        elif limit.ask == "matches" and kind == "string" and "(?" not in limit.value.pattern:
            schema["pattern"] = f"^({limit.value.pattern})$"
        elif limit.ask == "one of" and limit.others is None:
            schema["enum"] = [plain_value(option) for option in limit.value]
        elif limit.ask == "one of" and limit.others is not None:
            yield {"enum": list(limit.value)}
            if limit.others.pattern and kind == "string":
                schema["pattern"] = f"^({limit.others.pattern})$"
    yield schema
