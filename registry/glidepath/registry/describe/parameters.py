"""The parameters of a component as a person reads them: types, limits, defaults, meanings, and an example."""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import attrs

from glidepath.registry.describe.component import DOC, MANY, PART, Kind
from glidepath.registry.describe.fields import FACTORY, fields, is_unbounded
from glidepath.registry.text.yaml_text import yaml_text

REQUIRED = object()
"""The default of a parameter that has none."""


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter.

    type: as a spec would be explained: "int", "list of int", "'legacy' | 'new'"; the kind, for a nested part.
    limits: what its validators ask, such as ">= 0, <= 1"; "" when they ask nothing that can be put in words.
    default: a value, or `REQUIRED`.
    part: the kind of a nested part, "" for a plain value; many: a list of them.
    unbounded: it may be infinite, as `doc` or its default says.
    """

    name: str
    type: str
    limits: str
    default: object
    doc: str
    part: str = ""
    many: bool = False
    unbounded: bool = False


def parameters(config: type[Any] | None) -> tuple[Parameter, ...]:
    """The parameters of a config class, in the order in which it states them."""
    known: Any = config
    return _parameters(known) if config is not None else ()


@cache
def _parameters(config: Any) -> tuple[Parameter, ...]:
    return tuple(_described(config))


def _described(config: type[Any]) -> Iterator[Parameter]:
    try:
        hints = {field.attribute.name: field.hint for field in fields(config).values()}
    except Exception:  # an annotation that only a type checker can resolve is shown as it is written
        hints = {}
    for field in attrs.fields(config):
        if not field.init or field.metadata.get("omegaconf_ignore"):
            continue
        kind, many = str(field.metadata.get(PART, "")), bool(field.metadata.get(MANY))
        default = _default(field)
        yield Parameter(
            name=field.name,
            type=(f"list of {kind}" if many else kind)
            if kind
            else type_text(hints.get(field.name, field.type)),
            limits=", ".join(map(str, limits(field.validator))),
            default=default,
            doc=str(field.metadata.get(DOC, "")),
            part=kind,
            many=many,
            unbounded=is_unbounded(field),
        )


def _default(field: attrs.Attribute[Any]) -> object:
    if field.default is attrs.NOTHING:
        return REQUIRED
    default: Any = field.default
    if isinstance(default, FACTORY):
        return "(computed from the others)" if default.takes_self else default.factory()
    return default


def type_text(annotation: Any) -> str:
    """A type annotation in words: "int | none", "list of float", "'legacy' | 'new'"."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_text(argument) for argument in arguments)
    if origin is typing.Literal:
        return " | ".join(repr(argument) for argument in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"list of {len(arguments)}: {', '.join(type_text(argument) for argument in arguments)}"
    if origin in (list, tuple) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return f"list of {type_text(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {type_text(arguments[0])} to {type_text(arguments[1])}"
    if annotation in (None, type(None)):
        return "none"
    if annotation is Any:
        return "anything"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " | ".join(repr(member.name) for member in annotation)
    return str(getattr(annotation, "__name__", annotation))


@attrs.frozen
class Limit:
    """What a validator asks of a value.

    ask: ">=", ">", "<=", "<", "one of", "at least", "at most" (entries, or characters), or "matches".
    value: the bound, the options, the count, or the pattern.
    each: it is asked of each entry of the value.
    others: a pattern of values that do as well as the options, which are examples; None where there are none.
    """

    ask: str
    value: Any
    each: bool = False
    others: re.Pattern[str] | None = None

    def __str__(self) -> str:
        text = {
            "one of": lambda: f"one of {', '.join(str(option) for option in self.value)}",
            "at least": lambda: f"at least {self.value} long",
            "at most": lambda: f"at most {self.value} long",
            "matches": lambda: f"matches {self.value.pattern}",
        }.get(self.ask, lambda: f"{self.ask} {self.value}")()
        return f"each {text}" if self.each else text


def limits(validator: Any) -> Iterator[Limit]:
    """What attrs validators ask, read from their attributes: attrs does not publish their classes.

    What cannot be put in words is passed over.
    """
    if validator is None:
        return
    if isinstance(validator, list | tuple) or hasattr(validator, "_validators"):
        for inner in getattr(validator, "_validators", validator):
            yield from limits(inner)
    elif hasattr(validator, "compare_op") and hasattr(validator, "bound"):
        yield Limit(validator.compare_op, validator.bound)
    elif hasattr(validator, "options"):
        # a validator of a plugin's own may show examples so
        own = not type(validator).__module__.startswith("attr")
        others = getattr(validator, "pattern", re.compile("")) if own else None
        yield Limit("one of", tuple(validator.options), others=others)
    elif hasattr(validator, "min_length"):
        yield Limit("at least", validator.min_length)
    elif hasattr(validator, "max_length"):
        yield Limit("at most", validator.max_length)
    elif hasattr(validator, "pattern"):
        yield Limit("matches", validator.pattern)
    elif hasattr(validator, "member_validator"):
        yield from (attrs.evolve(limit, each=True) for limit in limits(validator.member_validator))
        yield from limits(getattr(validator, "iterable_validator", None))
    elif hasattr(validator, "validator"):  # optional(...)
        yield from limits(validator.validator)


def example(kind: Kind, name: str, described: Sequence[Parameter], names: Mapping[str, Sequence[str]]) -> str:
    """A piece of a spec that names a component with every parameter at its default, to paste and edit.

    name: as the spec is to spell it. names: the installed parts of each kind, for parameters that are parts.
    """
    lines = [f"use: {name}", *(_line(parameter, names.get(parameter.part, ())) for parameter in described)]
    head = f"{kind.slot or kind.name}:"
    if len(lines) == 1:
        return f"{head}\n  - {name}" if kind.many else f"{head} {name}"
    first = "  - " if kind.many else "  "
    return "\n".join([head, first + lines[0], *((len(first) * " ") + line for line in lines[1:])])


def _line(parameter: Parameter, names: Sequence[str]) -> str:
    if parameter.part and parameter.default in (None, REQUIRED) and names:
        value = f"[{names[0]}]" if parameter.many else names[0]
        return f"{parameter.name}: {value}" + (f"  # or {', '.join(names[1:])}" if names[1:] else "")
    if parameter.default is REQUIRED:
        return f"{parameter.name}: ???  # required: {parameter.type}"
    return f"{parameter.name}: {yaml_text(parameter.default)}"


def parameter_table(config: type[Any] | None) -> str:
    """A row for each parameter of a config class: its name, type and limits, default, and meaning.

    What `glidepath show --markdown` prints.
    """
    described = parameters(config)
    if not described:
        return "It has no parameters."
    return markdown_table(
        ("parameter", "type", "default", "meaning"),
        [
            (
                f"`{parameter.name}`",
                f"{parameter.type} {parameter.limits}".rstrip(),
                "*required*" if parameter.default is REQUIRED else f"`{yaml_text(parameter.default)}`",
                parameter.doc,
            )
            for parameter in described
        ],
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; vertical bars in its cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
