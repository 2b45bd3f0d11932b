"""Config classes as specs can write them: types that can be written, defaults that their validators allow."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry.describe.fields import Field, fields
from glidepath.registry.describe.parameters import parameters, type_text

_PLAIN = (str, Path, int, float, bool, bytes, object, Any, None, type(None))
_SEQUENCES = (tuple, list, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


@attrs.frozen
class WholeAtLeast:
    """Validator: a whole number is at least `bound`. A value of another type, a text say, is let through."""

    bound: int
    compare_op: str = attrs.field(default=">=", init=False)  # by which messages and schemas know the range

    def __call__(self, _instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        """Raises ValueError for a number that is too small."""
        if isinstance(value, int) and value < self.bound:
            raise ValueError(f"{attribute.name} must be at least {self.bound}, got {value}")


def unwritable(config: type[Any]) -> Mapping[str, str]:
    """The parameters of a config class whose types no spec can write, each with its type in words.

    Raises:
        NameError, TypeError, ...: an annotation that cannot be resolved.
    """
    return {
        name: type_text(field.hint)
        for name, field in fields(config).items()
        if field.slot is None and not _is_writable(field.hint)
    }


def _is_writable(hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        return _is_writable(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return any(_is_writable(argument) for argument in arguments if argument is not type(None))
    if origin in _SEQUENCES:
        return all(argument is Ellipsis or _is_writable(argument) for argument in arguments)
    if origin in _MAPPINGS:
        return all(map(_is_writable, arguments))
    if origin is typing.Literal or any(origin is plain for plain in _PLAIN):
        return True
    return isinstance(hint, type) and (attrs.has(hint) or issubclass(hint, enum.Enum))


@attrs.frozen(eq=False)
class Refusal:
    """A value of a parameter that its validator refuses.

    name: of the parameter. says: what the validator raised. options: the values of an `in_` among validators.
    limits: what else it asks, where that can be put in words.
    """

    name: str
    value: object
    says: str
    options: tuple[str, ...]
    limits: str

    @property
    def right(self) -> tuple[str, ...]:
        """What would do, in words; () where that is not known."""
        return self.options or ((self.limits,) if self.limits else ())

    @property
    def why(self) -> str:
        """A clause behind the value: "which is out of range"."""
        if not self.right:
            return f"of which its validator says: {self.says}"
        return "which is not one of its values" if self.options else "which is out of range"


def bad_defaults(config: type[Any]) -> Iterator[Refusal]:
    """The defaults of a config class that are refused where a spec writes nothing.

    They are the fault of whoever wrote the class, not of a spec. Raises as `refused` does.
    """
    known = fields(config)
    defaults = {name: field.default for name, field in known.items() if field.default is not attrs.NOTHING}
    return refused(config, defaults, [name for name in defaults if known[name].slot is None])


def refused(config: type[Any], values: Mapping[str, object], asked: Collection[str]) -> Iterator[Refusal]:
    """Values that the validators of a config class refuse, each asked by itself: a constructor stops at one.

    values: of parameters. asked: those whose validators are asked. One that also looks at a parameter without
        a value cannot be asked, and says nothing.

    Raises:
        NameError, TypeError, ...: an annotation that cannot be resolved.
    """
    known = fields(config)
    limits = {parameter.name: parameter.limits for parameter in parameters(config)}
    draft = object.__new__(config)
    for name, value in values.items():
        object.__setattr__(draft, known[name].attribute.name, _converted(known[name], value))
    for name in asked:
        attribute = known[name].attribute
        value = getattr(draft, attribute.name)
        try:
            if attribute.validator is not None:
                attribute.validator(draft, attribute, value)
        except AttributeError:
            continue
        except Exception as error:
            choices = tuple(_options(attribute.validator))
            yield Refusal(name, value, message(error), choices, limits.get(attribute.name, ""))


def _converted(field: Field, value: object) -> object:
    """A value as the constructor would hold it; as it is where the converter fails or needs the object."""
    convert = field.attribute.converter
    if convert is None or isinstance(convert, attrs.Converter):
        return value
    try:
        return convert(value)
    except Exception:
        return value


def _options(validator: Any) -> Iterator[str]:
    for inner in getattr(validator, "_validators", ()):
        yield from _options(inner)
    yield from map(str, getattr(validator, "options", ()))


def message(error: Exception) -> str:
    """What an exception says; attrs puts the message first among its arguments."""
    return str(error.args[0] if error.args else error) or type(error).__name__
