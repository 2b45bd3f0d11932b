"""The parameters of a part: from a piece of a spec to a config object, or to every fault in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs

from glidepath.registry.component import RESERVED
from glidepath.registry.faults import Faults, shown
from glidepath.registry.parameters import Parameter, parameters, type_text, yaml_text
from glidepath.registry.problems import Place
from glidepath.registry.schema import Field, fields
from glidepath.registry.tree import MappingNode, Node, Scalar, join
from glidepath.registry.typed import FAILED, Leaves, Typing


@attrs.frozen
class Config:
    """A config object, and where its values came from.

    value: the object; `FAILED` after a fault.
    places: where each parameter was written, None for a default; without those that are parts.
    """

    value: Any
    places: Mapping[str, Place | None]


class ConfigReader:
    """Reads config objects and adds what is wrong with them to `faults`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._leaves = Leaves()

    def read(
        self,
        config: type[Any],
        node: MappingNode,
        path: str,
        owner: str,
        *,
        reserved: tuple[str, ...] = RESERVED,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
    ) -> Config:
        """An object of `config` from the entries of `node`. Parameters that are parts become None, or ().

        owner: as messages name it, "sampler ddim". reserved: keys of `node` that are no parameters.
        elsewhere: hints for keys that are right in another place.
        """
        return self._read(config, node, path, owner, self._faults, reserved, elsewhere)

    def _nested(self, config: type[Any], node: MappingNode, path: str, name: str, faults: Faults) -> Any:
        return self._read(config, node, path, name, faults, (), {}).value

    def _read(
        self,
        config: type[Any],
        node: MappingNode,
        path: str,
        owner: str,
        faults: Faults,
        reserved: tuple[str, ...],
        elsewhere: Mapping[str, str],
    ) -> Config:
        try:
            known = {name: field for name, field in fields(config).items() if name not in reserved}
            about = {parameter.name: parameter for parameter in parameters(config)}
        except Exception as error:
            what = f"the parameters of {owner} cannot be read: {type(error).__name__}: {error}"
            faults.add(what, node.place, path, "it is a fault of the plugin")
            return Config(FAILED, {})
        before = len(faults)
        for key, entry in node.items.items():
            if key not in known and key not in reserved:
                what = f"{owner} has no parameter {shown(key)}" + ("" if known else ", nor any other")
                hint = elsewhere.get(key, "")
                faults.add(what, entry.key, join(path, key), hint, known, None if hint else (key, known))
        draft = _Draft(config, known, about, node, path, owner, faults)
        for name, field in known.items():
            described = about.get(field.attribute.name)
            typing = Typing(name, field.hint, described, faults, self._leaves, self._nested)
            draft.fill(field, partial(typing.value, hint=field.hint, path=join(path, name)))
        value = draft.finish()
        # with a misspelt key, the default in its place may not be what is meant
        return Config(FAILED if len(faults) > before else value, draft.places)


@attrs.frozen
class _Draft:
    """A config object in the making."""

    config: type[Any]
    known: Mapping[str, Field]
    about: Mapping[str, Parameter]
    node: MappingNode
    path: str
    owner: str
    faults: Faults
    values: dict[str, Any] = attrs.Factory(dict)
    places: dict[str, Place | None] = attrs.Factory(dict)

    def fill(self, field: Field, value: Callable[[Node], Any]) -> None:
        """Give a field its value."""
        written = self.node.get(field.name)
        if field.slot is not None:
            self.values[field.name] = () if field.slot.many else None
        elif written is not None:
            self.values[field.name] = value(written)
            self.places[field.name] = written.place
        elif field.required:
            self.values[field.name] = FAILED
            about = self.about.get(field.attribute.name)
            hint = f"{field.name} takes {type_text(field.hint)}" + (
                f": {about.doc}" if about and about.doc else ""
            )
            what = f"{self.owner} needs {field.name!r}, which has no default"
            self.faults.add(what, self.node.place, join(self.path, field.name), hint)
        else:
            self.places[field.name] = None

    def finish(self) -> Any:
        """The object, or `FAILED` once all that its validators say is among the faults."""
        reason = None
        if not any(value is FAILED for value in self.values.values()):
            try:
                return self.config(**self.values)
            except Exception as error:
                reason = error
        before = len(self.faults)
        self._validate()
        if reason is not None and len(self.faults) == before:
            self.faults.add(f"{self.owner}: {_message(reason)}", self.node.place, self.path)
        return FAILED

    def _validate(self) -> None:
        """Ask the validators of each field by themselves: a constructor stops at its first fault."""
        draft = object.__new__(self.config)
        for field in self.known.values():
            value = self.values.get(field.name, field.default)
            if value is not FAILED and value is not attrs.NOTHING:
                object.__setattr__(draft, field.attribute.name, _converted(field, value))
        for field in self.known.values():
            written = self.node.get(field.name)
            validator = field.attribute.validator
            if (
                validator is None
                or written is None
                or field.slot is not None
                or self.values[field.name] is FAILED
            ):
                continue
            value = getattr(draft, field.attribute.name)
            try:
                validator(draft, field.attribute, value)
            except Exception as error:
                self._out_of_range(field, value, written, error)

    def _out_of_range(self, field: Field, value: object, node: Node, error: Exception) -> None:
        about = self.about.get(field.attribute.name)
        limits = about.limits if about else ""
        options = [str(option) for option in _options(field.attribute.validator)]
        text = node.text if isinstance(node, Scalar) else yaml_text(value)
        why = "not one of its values" if options else "out of range"
        known = options or limits
        self.faults.add(
            f"{field.name} is {text}, which is {why}"
            if known
            else f"{field.name} is {text}: {_message(error)}",
            node.place,
            join(self.path, field.name),
            f"{field.name}: {about.doc}" if about and about.doc else "",
            options or ([limits] if limits else []),
            (str(value), options) if options else None,
        )


def _message(error: Exception) -> str:
    """What an exception says; attrs puts the message first among its arguments."""
    return str(error.args[0] if error.args else error) or type(error).__name__


def _converted(field: Field, value: object) -> object:
    convert = field.attribute.converter
    if convert is None or isinstance(convert, attrs.Converter):
        return value
    try:
        return convert(value)
    except Exception:
        return value


def _options(validator: Any) -> Iterator[object]:
    """The values of an `in_` among validators."""
    for one in getattr(validator, "_validators", ()):
        yield from _options(one)
    yield from getattr(validator, "options", ())
