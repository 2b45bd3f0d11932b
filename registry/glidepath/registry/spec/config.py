"""The parameters of a part: from a piece of a spec to a config object, or to every fault in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs

from glidepath.registry.describe.component import RESERVED
from glidepath.registry.describe.fields import Field, fields
from glidepath.registry.describe.parameters import Parameter, parameters, type_text
from glidepath.registry.describe.validation import bad_defaults, converted, message, options
from glidepath.registry.spec.typed import FAILED, Typing
from glidepath.registry.text.problems import Place, Problems, nearest, quoted
from glidepath.registry.text.tree import MappingNode, Node, Scalar, join_path
from glidepath.registry.text.yaml_text import yaml_text

_LONGEST_NAME = 100
_MOST_MISSPELT = 10


@attrs.frozen
class Config:
    """A config object, and where its values came from.

    value: the object; `FAILED` after a fault.
    places: where each parameter was written, None for a default; without those that are parts.
    draft: after a fault, an object without the parameters that have one: to ask it for those raises
        AttributeError. None where it is not known which those are.
    """

    value: Any
    places: Mapping[str, Place | None]
    draft: Any = None


class ConfigReader:
    """Reads config objects and adds what is wrong with them to `problems`."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def read(
        self,
        config: type[Any],
        node: MappingNode,
        path: str,
        owner: str,
        *,
        supplier: str = "glidepath-diffusion",
        reserved: tuple[str, ...] = RESERVED,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
    ) -> Config:
        """An object of `config` from the entries of `node`. Parameters that are parts become None, or ().

        owner: as messages name it, "sampler ddim". supplier: the distribution and version that `config` is
        from, and so its defaults. reserved: keys of `node` that are no parameters.
        elsewhere: hints for keys that are right in another place.
        """
        return self._read(config, node, path, owner, self._problems, supplier, reserved, elsewhere)

    def _nested(
        self, config: type[Any], node: MappingNode, path: str, name: str, problems: Problems, *, supplier: str
    ) -> Any:
        return self._read(config, node, path, name, problems, supplier, (), {}).value

    def _read(
        self,
        config: type[Any],
        node: MappingNode,
        path: str,
        owner: str,
        problems: Problems,
        supplier: str,
        reserved: tuple[str, ...],
        elsewhere: Mapping[str, str],
    ) -> Config:
        try:
            known = {name: field for name, field in fields(config).items() if name not in reserved}
            about = {parameter.name: parameter for parameter in parameters(config)}
        except Exception as error:
            what = f"the parameters of {owner} cannot be read: {type(error).__name__}: {error}"
            problems.add(what, node.place, path, "it is a fault of the plugin")
            return Config(FAILED, {})
        before = len(problems)
        strangers: list[str] = []
        for key, entry in node.items.items():
            if key not in known and key not in reserved:
                what = f"{owner} has no parameter {quoted(key)}" + ("" if known else ", nor any other")
                hint = elsewhere.get(key, "") or missing_space(key, (*known, *reserved))
                problems.add(
                    what, entry.key, join_path(path, key), hint, known, None if hint else (key, known)
                )
                strangers += [] if key in elsewhere else [key]
        draft = _Draft(config, known, about, node, path, owner, problems, supplier)
        nested = partial(self._nested, supplier=supplier)
        for name, field in known.items():
            described = about.get(field.attribute.name)
            typing = Typing(name, field.hint, described, problems, nested)
            draft.fill(field, partial(typing.value, hint=field.hint, path=join_path(path, name)))
        value = draft.finish()
        if len(problems) == before:
            return Config(value, draft.places)
        return Config(
            FAILED, draft.places, draft.without(_meant(strangers, known)) if draft.is_told else None
        )


def missing_space(key: str, known: Collection[str]) -> str:
    """A hint where a colon without a space behind it has made one word of a key and its value."""
    name, colon, value = key.partition(":")
    return f"a space is missing after the colon: {name}: {value}" if colon and name in known else ""


def _meant(strangers: Sequence[str], known: Mapping[str, Field]) -> set[str]:
    """The parameters that misspelt keys may stand for; where they are not written, a default is not meant."""
    if len(strangers) > _MOST_MISSPELT:
        return set(known)
    near = [nearest(key[:_LONGEST_NAME], known) for key in strangers]
    return set(known) if "" in near else set(near)


def without(config: Any, names: Collection[str]) -> Any:
    """A config object that lacks some parameters: to ask it for one of them raises AttributeError."""
    draft = object.__new__(type(config))
    for name, field in fields(type(config)).items():
        if name not in names and hasattr(config, field.attribute.name):
            object.__setattr__(draft, field.attribute.name, getattr(config, field.attribute.name))
    return draft


@attrs.define
class _Draft:
    """A config object in the making.

    refused: the parameters whose values their validators refuse. is_told: each fault is of one parameter.
    """

    config: type[Any]
    known: Mapping[str, Field]
    about: Mapping[str, Parameter]
    node: MappingNode
    path: str
    owner: str
    problems: Problems
    supplier: str
    values: dict[str, Any] = attrs.Factory(dict)
    places: dict[str, Place | None] = attrs.Factory(dict)
    refused: set[str] = attrs.Factory(set)
    is_told: bool = True

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
            self.problems.add(what, self.node.place, join_path(self.path, field.name), hint)
        else:
            self.places[field.name] = None

    def finish(self) -> Any:
        """The object, or `FAILED` once all that its validators say is among the problems."""
        reason = None
        if not any(value is FAILED for value in self.values.values()):
            try:
                return self.config(**self.values)
            except Exception as error:
                reason = error
        before = len(self.problems)
        self._validate()
        self._blame_defaults()
        if reason is not None and len(self.problems) == before:
            self.problems.add(f"{self.owner}: {message(reason)}", self.node.place, self.path)
            self.is_told = False
        return FAILED

    def without(self, names: Collection[str]) -> Any:
        """The object as far as it is sound, and without some parameters more, where those are not written."""
        draft = object.__new__(self.config)
        for field in self.known.values():
            value = self.values.get(field.name, field.default)
            is_default = self.places.get(field.name) is None
            left_out = field.name in self.refused or (is_default and field.name in names)
            if value is not FAILED and value is not attrs.NOTHING and not left_out:
                object.__setattr__(draft, field.attribute.name, converted(field, value))
        return draft

    def _validate(self) -> None:
        """Ask the validators of each field by themselves: a constructor stops at its first fault."""
        draft = self.without(())
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
                self.refused.add(field.name)
                self._out_of_range(field, value, written, error)

    def _blame_defaults(self) -> None:
        """Add the defaults that stand where nothing is written, and that no spec could write."""
        for bad in bad_defaults(self.config):
            if self.node.get(bad.name) is None:
                self.refused.add(bad.name)
                self.problems.add(
                    f"{self.owner} of {self.supplier}: its own default of {bad.name!r} is "
                    f"{yaml_text(bad.value)}, {bad.why}",
                    self.node.place,
                    join_path(self.path, bad.name),
                    f"this spec is not at fault: report it to the authors of {self.supplier}; "
                    f"until it is mended, write {bad.name} yourself",
                    bad.right,
                )

    def _out_of_range(self, field: Field, value: object, node: Node, error: Exception) -> None:
        about = self.about.get(field.attribute.name)
        limits = about.limits if about else ""
        choices = list(options(field.attribute.validator))
        text = node.text if isinstance(node, Scalar) else yaml_text(value)
        why = "not one of its values" if choices else "out of range"
        known = choices or limits
        self.problems.add(
            f"{field.name} is {text}, which is {why}"
            if known
            else f"{field.name} is {text}: {message(error)}",
            node.place,
            join_path(self.path, field.name),
            f"{field.name}: {about.doc}" if about and about.doc else "",
            choices or ([limits] if limits else []),
            (str(value), choices) if choices else None,
        )
