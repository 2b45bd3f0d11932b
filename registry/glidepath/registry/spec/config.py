"""The parameters of a part: from a piece of a spec to a config object, or to every problem in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from glidepath.registry.describe.component import RESERVED
from glidepath.registry.describe.fields import Field, fields
from glidepath.registry.describe.parameters import Parameter, parameters, type_text
from glidepath.registry.describe.validation import Refusal, bad_defaults, message, refused
from glidepath.registry.spec.typed import FAILED, ReadsAsset, Typing
from glidepath.registry.text.problems import Place, Problems, quoted
from glidepath.registry.text.tree import Broken, MappingNode, Node, Scalar, describe_node, join_path, present
from glidepath.registry.text.yaml_text import yaml_text

T = TypeVar("T")


@attrs.frozen
class Config:
    """A config object, and where its values came from.

    value: the object; `FAILED` after a problem.
    places: where each parameter was written, None for a default; without those that are parts.
    """

    value: Any
    places: Mapping[str, Place | None]


class ConfigReader:
    """Reads config objects and adds what is wrong with them to `problems`.

    asset: reads what a spec writes for a parameter that is an asset: (parameter, node, path) -> where that
        is, None after a problem. Without it they are plain paths.
    """

    def __init__(self, problems: Problems, asset: ReadsAsset | None = None) -> None:
        self._problems = problems
        self._asset = asset

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
        try:
            known = {name: field for name, field in fields(config).items() if name not in reserved}
            about = {parameter.name: parameter for parameter in parameters(config)}
        except Exception as error:
            what = f"the parameters of {owner} cannot be read: {type(error).__name__}: {error}"
            self._problems.add(what, node.place, path, "it is a fault of the plugin")
            return Config(FAILED, {})
        before = len(self._problems)
        for key, entry in node.items.items():
            if key not in known and key not in reserved:
                what = f"{owner} has no parameter {quoted(key)}" + ("" if known else ", nor any other")
                hint = elsewhere.get(key, "") or missing_space(key, (*known, *reserved))
                near = None if hint else (key, (*known, *reserved))
                self._problems.add(what, entry.key, join_path(path, key), hint, known, near)
        reading = _Reading(config, known, about, node, path, owner, self._problems, supplier, self._asset)
        value = reading.value()
        return Config(value if len(self._problems) == before else FAILED, reading.places)


def read_section(root: MappingNode, key: str, config: type[T], problems: Problems) -> T | None:
    """A section of plain parameters; its defaults where nothing is written, None after a problem."""
    node = present(root.get(key)) or MappingNode({}, root.place, root.source)
    if isinstance(node, MappingNode):
        value = ConfigReader(problems).read(config, node, key, key, reserved=()).value
        return value if isinstance(value, config) else None
    if not isinstance(node, Broken):
        what = f"{key} takes a mapping, and this is {describe_node(node)}"
        problems.add(what, node.place, key, allowed=fields(config))
    return None


def missing_space(key: str, known: Collection[str]) -> str:
    """A hint where a colon without a space behind it has made one word of a key and its value."""
    name, colon, value = key.partition(":")
    return f"a space is missing after the colon: {name}: {value}" if colon and name in known else ""


@attrs.define
class _Reading:
    """One reading of one config object."""

    config: type[Any]
    known: Mapping[str, Field]
    about: Mapping[str, Parameter]
    node: MappingNode
    path: str
    owner: str
    problems: Problems
    supplier: str
    asset: ReadsAsset | None = None
    places: dict[str, Place | None] = attrs.Factory(dict)

    def value(self) -> Any:
        """The object, or `FAILED` once all that is wrong with its fields is among the problems."""
        values = {name: self._field(field) for name, field in self.known.items()}
        reason = None
        if not any(value is FAILED for value in values.values()):
            try:
                written = {name: value for name, value in values.items() if value is not attrs.NOTHING}
                return self.config(**written)
            except Exception as error:
                reason = error
        before = len(self.problems)
        self._validate(values)
        self._blame_defaults()
        if reason is not None and len(self.problems) == before:
            self.problems.add(f"{self.owner}: {message(reason)}", self.node.place, self.path)
        return FAILED

    def _field(self, field: Field) -> Any:
        """The value of a field, `FAILED` after a problem, `NOTHING` where its default stands."""
        if field.slot is not None:
            return () if field.slot.many else None
        written, path = self.node.get(field.name), join_path(self.path, field.name)
        about = self.about.get(field.attribute.name)
        if written is not None:
            self.places[field.name] = written.place
            asset = self.asset if field.asset else None
            typing = Typing(field.name, field.hint, about, self.problems, self._nested, asset)
            return typing.value(written, field.hint, path)
        if not field.required:
            self.places[field.name] = None
            return attrs.NOTHING
        hint = f"{field.name} takes {type_text(field.hint)}" + (
            f": {about.doc}" if about and about.doc else ""
        )
        what = f"{self.owner} needs {field.name!r}, which has no default"
        self.problems.add(what, self.node.place, path, hint)
        return FAILED

    def _nested(self, config: type[Any], node: MappingNode, path: str, name: str, problems: Problems) -> Any:
        reader = ConfigReader(problems, self.asset)
        return reader.read(config, node, path, name, supplier=self.supplier, reserved=()).value

    def _validate(self, values: Mapping[str, Any]) -> None:
        """Add the values that are written and that validators refuse."""
        known = {
            name: field.default if values[name] is attrs.NOTHING else values[name]
            for name, field in self.known.items()
        }
        given = {name: it for name, it in known.items() if it is not FAILED and it is not attrs.NOTHING}
        written = [name for name in given if name in self.node.items and not self.known[name].slot]
        for refusal in refused(self.config, given, written):
            self._out_of_range(refusal, self.node.items[refusal.name].node)

    def _blame_defaults(self) -> None:
        """Add the defaults that stand where nothing is written, and that no spec could write."""
        for bad in bad_defaults(self.config):
            if self.node.get(bad.name) is None:
                self.problems.add(
                    f"{self.owner} of {self.supplier}: its own default of {bad.name!r} is "
                    f"{yaml_text(bad.value)}, {bad.why}",
                    self.node.place,
                    join_path(self.path, bad.name),
                    f"this spec is not at fault: report it to the authors of {self.supplier}; "
                    f"until it is mended, write {bad.name} yourself",
                    bad.right,
                )

    def _out_of_range(self, refusal: Refusal, node: Node) -> None:
        name, about = refusal.name, self.about.get(self.known[refusal.name].attribute.name)
        text = node.text if isinstance(node, Scalar) else yaml_text(refusal.value)
        self.problems.add(
            f"{name} is {text}, {refusal.why}" if refusal.right else f"{name} is {text}: {refusal.says}",
            node.place,
            join_path(self.path, name),
            f"{name}: {about.doc}" if about and about.doc else "",
            refusal.right,
            (str(refusal.value), refusal.options) if refusal.options else None,
        )
