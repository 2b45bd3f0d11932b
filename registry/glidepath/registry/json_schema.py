"""A JSON Schema of specs, for editors: one branch for each installed part.

Draft 7, since that is what the YAML language servers of editors know best. It says less than `glidepath
check`: what needs the whole spec (whether parts fit one another, what an interpolation stands for, what a
preset holds) is not in it.

A part has two descriptions. In a spec that extends nothing it says which it is (`use`), and gives each
parameter that has no default. In one that extends another, and in its stages, it may leave out what is there.
"""

from __future__ import annotations

import enum
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.address import EXTENSIONS
from glidepath.registry.catalogue import Unknown
from glidepath.registry.component import DOC, RESERVED, Kind
from glidepath.registry.parameters import Limit, limits
from glidepath.registry.plan import Runtime
from glidepath.registry.requirements import PluginsSection
from glidepath.registry.resolved import plain_value
from glidepath.registry.schema import Field, Slot, fields

if TYPE_CHECKING:
    from glidepath.registry.catalogue import Catalogue, Registered

DRAFT = "http://json-schema.org/draft-07/schema#"

Json = dict[str, Any]

_NULL: Json = {"type": "null"}
_INTERPOLATION: Json = {"$ref": "#/definitions/interpolation"}
_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}
_STAGE_NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
_ENDINGS = "|".join(extension.removeprefix(".") for extension in EXTENSIONS)


def spec_schema(catalogue: Catalogue) -> Json:
    """The schema of specs that name parts and presets of a catalogue."""
    parts = _Parts(catalogue)
    sources = sorted({f"{it.distribution} {it.version}".strip() for it in catalogue.components()})
    definitions = {
        "interpolation": {
            "type": "string",
            "pattern": r"\$\{.+\}",
            "description": "a value that stands elsewhere in the spec: ${text_encoder.width}",
        },
        "weights": _weights(),
        "extends": _extends(catalogue),
        "runtime": _section(Runtime, "where and how the pipeline runs"),
        "plugins": _section(PluginsSection, "which distributions the spec needs, which plugins it lets in"),
    }
    for kind in catalogue.kinds.values():
        for over in (False, True):
            definitions[_name(kind, over)] = parts.part(kind, over)
    definitions["stage"] = {
        "if": _has("extends"),
        "then": parts.pipeline("a stage", over=True),
        "else": parts.pipeline("a stage", over=False),
    }
    definitions["stage, over another"] = parts.pipeline("a stage", over=True)
    definitions["spec"] = _with_sections(parts.pipeline("a spec", over=False))
    definitions["spec, over another"] = _with_sections(parts.pipeline("a spec", over=True))
    definitions["cascade"] = _cascade("#/definitions/stage")
    definitions["cascade, over another"] = _cascade("#/definitions/stage, over another")
    return {
        "$schema": DRAFT,
        "title": "a spec of glidepath",
        "$comment": f"written by `glidepath schema` for: {', '.join(sources)}",
        "type": ["object", "null"],
        "if": _has("stages"),
        "then": _either("extends", "cascade"),
        "else": _either("extends", "spec"),
        "definitions": definitions,
    }


@attrs.frozen
class _Parts:
    """Descriptions of what stands in slots. over: in a spec that extends another."""

    catalogue: Catalogue

    def pipeline(self, title: str, over: bool) -> Json:
        """All slots, and what a spec and a stage have beside them."""
        slots = {slot: self.slot(kind, over) for slot, kind in self.catalogue.slots.items()}
        required = [slot for slot, kind in self.catalogue.slots.items() if kind.required]
        schema = {
            "title": title,
            "type": ["object", "null"] if over else "object",
            "properties": {
                "extends": {"$ref": "#/definitions/extends"},
                **slots,
                "weights": {"$ref": "#/definitions/weights"},
            },
            "additionalProperties": False,
        }
        return schema if over else {**schema, "required": required}

    def slot(self, kind: Kind, over: bool) -> Json:
        """What a slot of the top level takes."""
        schema = self.position(Slot(kind.name, kind.many), over)
        if over or not kind.required:
            schema["anyOf"].append(_NULL)
        return {"description": kind.summary, **schema}

    def position(self, slot: Slot, over: bool) -> Json:
        """A part, or a list of parts."""
        reference = {"$ref": f"#/definitions/{_name(self.catalogue.kinds[slot.kind], over)}"}
        if not slot.many:
            return {"anyOf": [reference]}
        # the entries of a list replace those of another, so that each is whole
        whole = {"$ref": f"#/definitions/{_name(self.catalogue.kinds[slot.kind], False)}"}
        return {"anyOf": [reference, {"type": "array", "items": {"anyOf": [whole]}}]}

    def part(self, kind: Kind, over: bool) -> Json:
        """A part of a kind: its name, or its name with parameters."""
        members = self.catalogue.components(kind.name)
        named = {it.full_name: list(self.named(it)) for it in members}
        alone = [name for it in members if over or not self.required(it) for name in named[it.full_name]]
        branches = [
            {
                "if": _uses([*self.names(it), *self.earlier_names(it)]),
                "then": self.branch(it, over),
                "else": True,
            }
            for it in members
        ]
        mapping: Json = {
            "title": kind.name,
            "type": "object",
            "properties": {
                "use": {
                    "description": f"which {kind.name} it is",
                    "anyOf": [*chain.from_iterable(named.values()), _INTERPOLATION],
                }
            },
        }
        if over:
            branches.append({"if": {"not": _has("use")}, "then": self.nameless(kind), "else": True})
        else:
            mapping["required"] = ["use"]
        if branches:
            mapping["allOf"] = branches
        return {"description": kind.summary, "anyOf": [*alone, mapping, _INTERPOLATION]}

    def named(self, registered: Registered) -> Iterator[Json]:
        """The names of a component, the earlier ones too, with what they stand for."""
        component = registered.component
        for name in self.names(registered):
            yield {"const": name, "description": component.summary, **_deprecation(component.deprecated)}
        for name in self.earlier_names(registered):
            yield {"const": name, **_deprecation(f"it is called {self.catalogue.spelling(registered)} now")}

    def required(self, registered: Registered) -> list[str]:
        """The parameters that a part must have, but those that may stand under an earlier name."""
        known = self.fields(registered) or {}
        return [name for name, field in known.items() if field.required and not field.formerly]

    def names(self, registered: Registered) -> list[str]:
        """The names that stand for a component, the short one first."""
        return list(dict.fromkeys([self.catalogue.spelling(registered), registered.full_name]))

    def earlier_names(self, registered: Registered) -> list[str]:
        """The names that stood for a component once, and do where nothing else has them now."""
        kind = registered.component.kind
        taken = {name for it in self.catalogue.components(kind) for name in self.names(it)}
        spellings = (
            name
            for short in registered.component.formerly
            for name in (short, f"{registered.distribution}/{short}")
        )
        return [name for name in spellings if name not in taken]

    def branch(self, registered: Registered, over: bool) -> Json:
        """The parameters of a part."""
        known = self.fields(registered)
        about = {"title": registered.full_name, "description": registered.component.summary}
        if known is None:  # its plugin has a fault, which is not the spec's
            return about
        schema: Json = {
            **about,
            "properties": {
                "use": True,
                **{name: self.parameter(field, over) for name, field in known.items()},
                **self.earlier_parameters(known, over),
                "weights": {"$ref": "#/definitions/weights"},
            },
            "additionalProperties": False,
        }
        required = self.required(registered)
        return schema if over or not required else {**schema, "required": required}

    def earlier_parameters(self, known: Mapping[str, Field], over: bool) -> Json:
        """Parameters under the names that they once had."""
        return {
            name: {**self.parameter(field, over), **_deprecation(f"it is called {field.name} now")}
            for field in known.values()
            for name in field.formerly
            if name not in known
        }

    def nameless(self, kind: Kind) -> Json:
        """The parameters that a part of a kind may have, whichever it is."""
        found: dict[str, list[Json]] = {}
        for registered in self.catalogue.components(kind.name):
            known = self.fields(registered)
            if known is None:
                return {}
            parameters = {name: self.parameter(field, over=True) for name, field in known.items()}
            for name, schema in {**self.earlier_parameters(known, over=True), **parameters}.items():
                if schema not in found.setdefault(name, []):
                    found[name].append(schema)
        return {
            "properties": {
                **{name: one[0] if len(one) == 1 else {"anyOf": one} for name, one in found.items()},
                "weights": {"$ref": "#/definitions/weights"},
            },
            "additionalProperties": False,
        }

    def parameter(self, field: Field, over: bool) -> Json:
        """A parameter, which may be a part."""
        if field.slot is None:
            return _parameter(field)
        schema = (
            self.position(field.slot, over) if field.slot.kind in self.catalogue.kinds else {"anyOf": [{}]}
        )
        if over or not field.required:
            schema["anyOf"].append(_NULL)
        return {**_about(field), **schema}

    def fields(self, registered: Registered) -> Mapping[str, Field] | None:
        """The parameters of a component; None where its class cannot be read."""
        try:
            config = self.catalogue.config_class(registered)
            known = fields(config) if config is not None else {}
        except (Unknown, NameError, TypeError, AttributeError):
            return None
        return {name: field for name, field in known.items() if name not in RESERVED}


def _name(kind: Kind, over: bool) -> str:
    return f"{kind.name}, over another" if over else kind.name


def _has(key: str) -> Json:
    return {"type": "object", "required": [key], "properties": {key: {"not": _NULL}}}


def _uses(names: Sequence[str]) -> Json:
    return {"type": "object", "required": ["use"], "properties": {"use": {"enum": list(names)}}}


def _either(key: str, name: str) -> Json:
    """What holds where there is a key, and where there is not."""
    return {
        "if": _has(key),
        "then": {"$ref": f"#/definitions/{name}, over another"},
        "else": {"$ref": f"#/definitions/{name}"},
    }


def _with_sections(pipeline: Json) -> Json:
    sections = {
        "stages": {
            "description": "in place of parts, for a cascade: a spec for each",
            "type": ["object", "null"],
        },
        "runtime": {"$ref": "#/definitions/runtime"},
        "plugins": {"$ref": "#/definitions/plugins"},
    }
    return {**pipeline, "properties": {**pipeline["properties"], **sections}}


def _cascade(stage: str) -> Json:
    stages = {
        "description": "a pipeline for each, in order: each starts from the images of the one before it",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": _STAGE_NAME},
        "additionalProperties": {"anyOf": [{"$ref": stage}, _NULL]},
    }
    sections = {key: {"$ref": f"#/definitions/{key}"} for key in ("extends", "weights", "runtime", "plugins")}
    return {
        "title": "a cascade",
        "type": "object",
        "properties": {**sections, "stages": stages},
        "additionalProperties": False,
    }


def _weights() -> Json:
    file = {
        "type": "string",
        "pattern": rf"(\.({_ENDINGS})|\$\{{.*\}}.*)$",
        "description": "a file, package:PACKAGE/FILE, or hub:OWNER/NAME/FILE",
    }
    known = {
        "path": file,
        "revision": {
            "type": ["string", "number", "null"],
            "description": "a branch, a tag or a commit of a hub repository",
        },
        "sha256": {
            "description": "what the file must hash to; one that does not is not read",
            "anyOf": [
                {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                {"type": ["number", "null"]},  # digits alone are a number to YAML
                _INTERPOLATION,
            ],
        },
    }
    mapping = {"type": "object", "properties": known, "required": ["path"], "additionalProperties": False}
    return {"description": "a file of weights", "anyOf": [file, mapping, _NULL]}


def _extends(catalogue: Catalogue) -> Json:
    presets = [
        {"const": name, "description": preset.summary} for name, preset in sorted(catalogue.presets().items())
    ]
    own = [{"const": catalogue.preset_source(name).full_name} for name in sorted(catalogue.presets())]
    file = {"type": "string", "pattern": r"(\.ya?ml$|^[./])", "description": "a file next to this one"}
    one = {"anyOf": [*presets, *own, file]}
    return {
        "description": "what this spec changes: a preset, a file next to this one, or a list of them",
        "anyOf": [*one["anyOf"], {"type": "array", "items": one}, _NULL],
    }


def _section(config: type[Any], description: str) -> Json:
    return {"description": description, "anyOf": [_object(config), _NULL, _INTERPOLATION]}


def _object(config: type[Any]) -> Json:
    """An object of an attrs class that is no part."""
    known = fields(config)
    return {
        "type": "object",
        "properties": {name: _parameter(field) for name, field in known.items()},
        "required": [name for name, field in known.items() if field.required],
        "additionalProperties": False,
    }


def _parameter(field: Field) -> Json:
    """A parameter that is a plain value."""
    asked = tuple(limits(field.attribute.validator))
    alternatives = list(_alternatives(field.hint, asked))
    if not any(it.get("type") == "string" and set(it) == {"type"} for it in alternatives):
        alternatives.append(_INTERPOLATION)
    about = _about(field)
    if asked:
        told = ", ".join(map(str, asked))
        about["description"] = f"{about['description']} ({told})" if "description" in about else told
    default = field.default
    if not field.required and default is not attrs.NOTHING:
        value = plain_value(default, field.hint)
        if _is_json(value):
            about["default"] = value
    return {**about, **(alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives})}


def _about(field: Field) -> Json:
    said = field.attribute.metadata.get(DOC)
    about = _deprecation(field.deprecated)
    return {"description": str(said), **about} if said else about


def _deprecation(text: str) -> Json:
    """What editors strike through. Not of the standard, which has nothing for it in draft 7."""
    return {"deprecationMessage": text} if text else {}


def _alternatives(hint: Any, asked: Sequence[Limit]) -> Iterator[Json]:
    """What a value may be: a schema for each member of a union."""
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        yield from _alternatives(arguments[0], asked)
    elif origin in (typing.Union, types.UnionType):
        for member in arguments:
            yield from _alternatives(member, asked)
    elif hint in (None, type(None)):
        yield _NULL
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
            return _object(origin)
    return {}


_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}


def _array(origin: type[Any], arguments: Sequence[Any], asked: Sequence[Limit]) -> Json:
    if issubclass(origin, tuple) and arguments and Ellipsis not in arguments:
        items = [_any_of(argument, asked) for argument in arguments]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    return {"type": "array", "items": _any_of(arguments[0] if arguments else Any, asked)}


def _any_of(hint: Any, asked: Sequence[Limit] = ()) -> Json:
    alternatives = [*_alternatives(hint, asked), _INTERPOLATION]
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


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_json(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)
