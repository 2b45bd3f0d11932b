"""A JSON Schema of specs, for editors: one branch for each installed part.

Draft 7, since that is what the YAML language servers of editors know best. It says less than `glidepath
check`: what needs the whole spec (whether parts fit one another, what an interpolation stands for, what a
preset holds) is not in it.

A part has two descriptions. In a spec that extends nothing it says which it is (`use`), and gives each
parameter that has no default. In one that extends another, and in its stages, it may leave out what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import attrs

from glidepath.plugins.editors.value_schema import (
    INTERPOLATION,
    NULL,
    Json,
    described,
    object_schema,
    parameter_schema,
)
from glidepath.registry import (
    WEIGHT_EXTENSIONS,
    Catalogue,
    Field,
    Kind,
    NotFound,
    PluginsSection,
    Registered,
    Runtime,
    Slot,
    fields,
)

DRAFT = "http://json-schema.org/draft-07/schema#"

_STAGE_NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
_FOLDER = r"(^|/)[^/.]+(\.[^A-Za-z/.][^/]*)?/?"
_ENDINGS = "|".join(extension.removeprefix(".") for extension in WEIGHT_EXTENSIONS)


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
            schema["anyOf"].append(NULL)
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
        named = {it.full_name: self.named(it) for it in members}
        alone = [name for it in members if over or not self.required(it) for name in named[it.full_name]]
        branches: list[Json] = [
            {"if": _uses(self.names(it)), "then": self.branch(it, over), "else": True} for it in members
        ]
        mapping: Json = {
            "title": kind.name,
            "type": "object",
            "properties": {
                "use": {
                    "description": f"which {kind.name} it is",
                    "anyOf": [*chain.from_iterable(named.values()), INTERPOLATION],
                }
            },
        }
        if over:
            branches.append({"if": {"not": _has("use")}, "then": self.nameless(kind), "else": True})
        else:
            mapping["required"] = ["use"]
        if branches:
            mapping["allOf"] = branches
        return {"description": kind.summary, "anyOf": [*alone, mapping, INTERPOLATION]}

    def named(self, registered: Registered) -> list[Json]:
        """The names of a component, with what they stand for."""
        summary = registered.component.summary
        return [{"const": name, "description": summary} for name in self.names(registered)]

    def required(self, registered: Registered) -> list[str]:
        """The parameters that a part must have."""
        known = self.fields(registered) or {}
        return [name for name, field in known.items() if field.required]

    def names(self, registered: Registered) -> list[str]:
        """The names that stand for a component, the short one first."""
        return list(dict.fromkeys([self.catalogue.spelling(registered), registered.full_name]))

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
                "weights": {"$ref": "#/definitions/weights"},
            },
            "additionalProperties": False,
        }
        required = self.required(registered)
        return schema if over or not required else {**schema, "required": required}

    def nameless(self, kind: Kind) -> Json:
        """The parameters that a part of a kind may have, whichever it is."""
        found: dict[str, list[Json]] = {}
        for registered in self.catalogue.components(kind.name):
            known = self.fields(registered)
            if known is None:
                return {}
            for name, field in known.items():
                schema = self.parameter(field, over=True)
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
            return parameter_schema(field)
        schema = (
            self.position(field.slot, over) if field.slot.kind in self.catalogue.kinds else {"anyOf": [{}]}
        )
        if over or not field.required:
            schema["anyOf"].append(NULL)
        return {**described(field), **schema}

    def fields(self, registered: Registered) -> Mapping[str, Field] | None:
        """The parameters of a component; None where its class cannot be read."""
        try:
            config = self.catalogue.config_class(registered)
            return fields(config) if config is not None else {}
        except (NotFound, NameError, TypeError, AttributeError):
            return None


def _name(kind: Kind, over: bool) -> str:
    return f"{kind.name}, over another" if over else kind.name


def _has(key: str) -> Json:
    return {"type": "object", "required": [key], "properties": {key: {"not": NULL}}}


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
        "additionalProperties": {"anyOf": [{"$ref": stage}, NULL]},
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
        "pattern": rf"(\.({_ENDINGS})|\.index(\.[\w-]+)?\.json|{_FOLDER}|\$\{{.*\}}.*)$",
        "description": "a file or folder, package:PACKAGE/FILE, or hub:OWNER/NAME/FILE",
    }
    known = {
        "path": file,
        "variant": {"type": ["string", "number", "null"], "description": "which weights of a folder: fp16"},
        "revision": {
            "type": ["string", "number", "null"],
            "description": "a branch, a tag or a commit of a hub repository",
        },
        "sha256": {
            "description": "what the file must hash to; one that does not is not read",
            "anyOf": [
                {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                {"type": ["number", "null"]},  # digits alone are a number to YAML
                INTERPOLATION,
            ],
        },
    }
    mapping = {"type": "object", "properties": known, "required": ["path"], "additionalProperties": False}
    return {"description": "a file of weights", "anyOf": [file, mapping, NULL]}


def _extends(catalogue: Catalogue) -> Json:
    presets = [
        {"const": name, "description": preset.summary} for name, preset in sorted(catalogue.presets().items())
    ]
    own = [{"const": catalogue.preset_source(name).full_name} for name in sorted(catalogue.presets())]
    file = {"type": "string", "pattern": r"(\.ya?ml$|^[./])", "description": "a file next to this one"}
    one = {"anyOf": [*presets, *own, file]}
    return {
        "description": "what this spec changes: a preset, a file next to this one, or a list of them",
        "anyOf": [*one["anyOf"], {"type": "array", "items": one}, NULL],
    }


def _section(config: type[Any], description: str) -> Json:
    return {"description": description, "anyOf": [object_schema(config), NULL, INTERPOLATION]}
