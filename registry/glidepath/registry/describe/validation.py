"""A value held against the validator of its parameter, and defaults that their own validators refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from glidepath.registry.describe.fields import Field, fields
from glidepath.registry.describe.parameters import parameters


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
            told = tuple(options(validator)) or tuple(filter(None, [limits.get(field.attribute.name, "")]))
            yield BadDefault(name, value, refusal(validator, told, error), told)


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
    for one in getattr(validator, "_validators", ()):
        yield from options(one)
    yield from map(str, getattr(validator, "options", ()))


def message(error: Exception) -> str:
    """What an exception says; attrs puts the message first among its arguments."""
    return str(error.args[0] if error.args else error) or type(error).__name__
