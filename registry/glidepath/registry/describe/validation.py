"""Config classes as specs can write them: types that can be written, defaults that their validators allow."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Iterator, Mapping
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
class BadDefault:
    """A default that no spec could write: the fault of whoever wrote the config class, not of a spec.

    name: of the parameter. why: a clause, "which is out of range". right: what its validator asks, where that
        can be put in words.
    """

    name: str
    value: object
    why: str
    right: tuple[str, ...]


def bad_defaults(config: type[Any]) -> Iterator[BadDefault]:
    """The defaults of a config class that are refused where a spec writes nothing.

    A validator that also looks at a parameter without a default cannot be asked, and says nothing.

    Raises:
        NameError, TypeError, ...: an annotation that cannot be resolved.
    """
    known = fields(config)
    limits = {parameter.name: parameter.limits for parameter in parameters(config)}
    draft = object.__new__(config)
    for field in known.values():
        if field.default is not attrs.NOTHING:
            object.__setattr__(draft, field.attribute.name, converted(field, field.default))
    for name, field in known.items():
        validator = field.attribute.validator
        if validator is None or field.slot is not None or field.default is attrs.NOTHING:
            continue
        value = getattr(draft, field.attribute.name)
        try:
            validator(draft, field.attribute, value)
        except AttributeError:
            continue
        except Exception as error:
            limit = limits.get(field.attribute.name, "")
            allowed = tuple(options(validator)) or ((limit,) if limit else ())
            yield BadDefault(name, value, refusal(validator, allowed, error), allowed)


def refusal(validator: Any, right: tuple[str, ...], error: Exception) -> str:
    """Why a validator refuses a value, as a clause behind the value. right: what it asks, in words."""
    if not right:
        return f"of which its validator says: {message(error)}"
    return "which is not one of its values" if any(options(validator)) else "which is out of range"


def converted(field: Field, value: object) -> object:
    """A value as the constructor would hold it; as it is where the converter fails or needs the object."""
    convert = field.attribute.converter
    if convert is None or isinstance(convert, attrs.Converter):
        return value
    try:
        return convert(value)
    except Exception:
        return value


def options(validator: Any) -> Iterator[str]:
    """The values of an `in_` among validators."""
    for inner in getattr(validator, "_validators", ()):
        yield from options(inner)
    yield from map(str, getattr(validator, "options", ()))


def message(error: Exception) -> str:
    """What an exception says; attrs puts the message first among its arguments."""
    return str(error.args[0] if error.args else error) or type(error).__name__
