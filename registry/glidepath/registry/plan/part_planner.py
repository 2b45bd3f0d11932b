"""The plan of a part: its component, its config, its inner parts, and every problem of them collected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry.describe.fields import Slot
from glidepath.registry.describe.validation import unwritable
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound, Registered
from glidepath.registry.plan.address import Address, cached_path, local_path, read_address
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.spec.config import ConfigReader, missing_space
from glidepath.registry.spec.merge import as_part
from glidepath.registry.spec.positions import Schema
from glidepath.registry.spec.requirements import PluginsSection, refused_by
from glidepath.registry.spec.typed import FAILED
from glidepath.registry.text.problems import Place, Problems
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
    Broken,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    join_path,
    node_of,
    present,
)

_MOST_PARTS = 100
_LONGEST_NAME = 200
_DEFAULT = Place("default")
_NONE = ("", "none", "null", "nil", "no", "off", "false", "disabled")
_NOT_USE = ("name", "type", "kind", "class", "target", "_target_", "uses")


def plan_part(kind: str, name: str, parameters: Mapping[str, object], catalogue: Catalogue) -> PartPlan:
    """The plan of one part that stands in no spec. Imports no implementation and builds nothing.

    name: as `use` would give it. parameters: as a spec would write them beside it; relative paths are
        relative to the current directory.

    Raises:
        SpecError: with every problem.
    """
    title = f"{kind}/{name}"
    problems = Problems([title])
    node = node_of({**parameters, "use": name}, Place(title), Source(title, Path(), ""))
    planned = PartPlanner(catalogue, problems).position(node, Slot(kind), kind)
    if not isinstance(planned, PartPlan) or len(problems):
        raise problems.error()
    return planned


@attrs.frozen
class _NoParameters:
    """The config class of a component without one."""


@attrs.define(eq=False)
class PartPlanner:
    """Plans the parts of a spec, or of another file. What is wrong goes to `problems`.

    complete: False when some of the spec could not be read, so that nothing is said about what is missing.
    need_weights: a file of weights that is not there is a problem.
    plugins: which plugins the spec lets in.
    within: what the parts stand in, as messages call it: "spec" or "stage".
    whole: whether no part was missing since it was last set.
    """

    catalogue: Catalogue
    problems: Problems
    complete: bool = True
    need_weights: bool = False
    plugins: PluginsSection = attrs.Factory(PluginsSection)
    within: str = "spec"
    whole: bool = True
    _count: int = 0
    _schema: Schema = attrs.field(
        init=False, default=attrs.Factory(lambda self: Schema(self.catalogue), takes_self=True)
    )

    def position(
        self, node: Node, slot: Slot, path: str, empty: str = ""
    ) -> PartPlan | tuple[PartPlan, ...] | None:
        """The part, or the list of parts, that stands in a slot or a parameter.

        empty: what is written where no part is to stand there, "" where one must.
        """
        if slot.many:
            items = node.items if isinstance(node, ListNode) else (node,)
            planned = [
                self._part(item, slot.kind, f"{path}[{index}]", empty) for index, item in enumerate(items)
            ]
            return tuple(part for part in planned if part is not None)
        if isinstance(node, ListNode):
            hint = "leave out the list" if len(node.items) == 1 else "write the one that is meant"
            what = f"{path} takes one {slot.kind}, and this is a list"
            self.problems.add(what, node.place, path, hint, self.names(slot.kind))
            self.whole = False
            return None
        return self._part(node, slot.kind, path, empty)

    def _part(self, node: Node, kind: str, path: str, empty: str) -> PartPlan | None:
        planned = self._planned(node, kind, path, empty)
        self.whole = self.whole and planned is not None
        return planned

    def _planned(self, node: Node, kind: str, path: str, empty: str = "") -> PartPlan | None:
        self._count += 1
        if self._count > _MOST_PARTS:
            if self._count == _MOST_PARTS + 1:
                self.problems.add(f"the spec has more than {_MOST_PARTS} parts", node.place, path)
            return None
        part = as_part(node)
        if not isinstance(part, MappingNode):
            if not isinstance(part, Broken):
                this = describe_node(part)
                what = f"{path} takes the name of a {kind}, or a mapping with a 'use', and this is {this}"
                self.problems.add(
                    what, part.place, path, _how_to_go_without(part, kind, empty), self.names(kind)
                )
            return None
        registered = self._registered(part, kind, path, empty)
        if registered is None:
            return None
        place = part.items["use"].node.place
        try:
            config_class = self.catalogue.config_class(registered)
        except NotFound as unknown:
            self.problems.add(unknown.what, place, path, unknown.hint, unknown.allowed)
            return None
        owner = f"{kind} {registered.component.name}"
        supplier = f"{registered.distribution} {registered.version}"
        if config_class is not None and self._is_unwritable(config_class, registered, part, path):
            return None
        elsewhere = {
            slot: f"{slot} is a slot of its own: write it at the top of the {self.within}"
            for slot in self.catalogue.slots
        }
        elsewhere |= dict.fromkeys(_NOT_USE, f"name the {kind} with the key 'use'")
        assets: dict[Path, Address] = {}

        def asset(name: str, node: Node, path: str) -> Path | None:
            address = read_address(node, path, self.catalogue, self.problems, name=name)
            if address is None:
                return None
            local = local_path(address, self.catalogue) or cached_path(address) or Path(str(address))
            assets[local] = address
            return local

        config = ConfigReader(self.problems, asset).read(
            config_class or _NoParameters, part, path, owner, supplier=supplier, elsewhere=elsewhere
        )
        inner = self._inner(registered, part, kind, path)
        weights = self.weights(part, path)
        if config.value is FAILED:
            return None
        planned = PartPlan(
            path=path,
            registered=registered,
            config=config.value if config_class else None,
            parts=inner,
            places=config.places,
            weights=weights,
            assets=assets,
            place=place,
        )
        return planned if self._is_sound(planned) else None

    def _is_unwritable(self, config: type[Any], registered: Registered, part: MappingNode, path: str) -> bool:
        """Whether a part has parameters that no spec can write, and so no record of an image could keep."""
        try:
            odd = unwritable(config)
        except Exception:  # told where the parameters are read
            return False
        owner = f"{registered.component.kind} {registered.component.name}"
        supplier = f"{registered.distribution} {registered.version}"
        for name, kind in odd.items():
            node = part.get(name) or part.items["use"].node
            what = f"{owner} of {supplier}: its parameter {name!r} is {kind}, which no spec can write"
            hint = f"report it to the authors of {supplier}"
            self.problems.add(what, node.place, join_path(path, name), hint)
        return bool(odd)

    def _registered(self, part: MappingNode, kind: str, path: str, empty: str) -> Registered | None:
        use = part.get("use")
        if use is None:
            if self.complete:
                what = f"{path} does not say which {kind} it is"
                hint = _how_to_name(part, self.names(kind))
                if key := next((key for key in _NOT_USE if present(part.get(key)) is not None), ""):
                    hint = f"the key is 'use', not {key!r}"
                elif spaced := next(filter(None, (missing_space(key, ("use",)) for key in part.items)), ""):
                    hint = spaced
                self.problems.add(what, part.place, path, hint, self.names(kind))
            return None
        if (
            not isinstance(use, Scalar)
            or not (use.is_text or use.source.override)
            or len(use.text) > _LONGEST_NAME
        ):
            if not isinstance(use, Broken):
                what = f"use takes the name of a {kind}, and this is {describe_node(use)}"
                hint = _how_to_go_without(use, kind, empty)
                self.problems.add(what, use.place, join_path(path, "use"), hint, self.names(kind))
            return None
        try:
            registered = self.catalogue.find(kind, use.text, use.source.distribution)
        except NotFound as unknown:
            hint = missing_space(use.text, ("use",)) or _how_to_go_without(use, kind, empty) or unknown.hint
            self.problems.add(unknown.what, use.place, path, hint, unknown.allowed)
            return None
        if switch := refused_by(self.plugins, registered):
            what = f"{registered.full_name} is of the plugin {registered.plugin!r}, which {switch} keeps out"
            self.problems.add(what, use.place, path, f"change {switch}")
            return None
        return registered

    def _inner(
        self, registered: Registered, part: MappingNode, kind: str, path: str
    ) -> dict[str, PartPlan | tuple[PartPlan, ...]]:
        """The parts that are parameters of a part."""
        inner: dict[str, PartPlan | tuple[PartPlan, ...]] = {}
        for name, field in self._schema.fields(Slot(kind), registered.full_name).items():
            if field.slot is None:
                continue
            node, below = part.get(name), join_path(path, name)
            if node is None and field.required:
                what = f"{kind} {registered.component.name} needs {name!r}, which is a {field.slot.kind}"
                self.problems.add(what, part.place, below, allowed=self.names(field.slot.kind))
                self.whole = False
                continue
            if node is None:
                node = node_of(field.default, _DEFAULT, part.source)
            if present(node) is None and not field.default:
                continue
            empty = "" if field.required or field.default else without_part(field.slot.many)
            before, self.whole = self.whole, True
            planned = self.position(node, field.slot, below, empty)
            if planned is not None and self.whole:  # its owner counts on every part of a list
                inner[name] = planned
            self.whole = self.whole and before
        return inner

    def _is_sound(self, planned: PartPlan) -> bool:
        """Whether a part's component has nothing to say against its parameters."""
        registered = planned.registered
        try:
            refused = list(registered.component.check(planned.config))
        except Exception as error:
            what = f"{registered.full_name} cannot check its parameters: {type(error).__name__}: {error}"
            hint = f"it is a fault of {registered.distribution}"
            self.problems.add(what, planned.place, planned.path, hint)
            return False
        for name, message in refused:
            place = planned.places.get(name) or planned.place
            self.problems.add(message, place, join_path(planned.path, name) if name else planned.path)
        return not refused

    def names(self, kind: str) -> list[str]:
        return [self.catalogue.spelling(registered) for registered in self.catalogue.components(kind)]

    def weights(self, node: MappingNode, path: str) -> Address | None:
        written = present(node.get("weights"))
        if written is None:
            return None
        return read_address(
            written,
            join_path(path, "weights"),
            self.catalogue,
            self.problems,
            must_exist=self.need_weights,
        )


def without_part(many: bool) -> str:
    """What is written in a place for parts that holds none."""
    return "[]" if many else "null"


def _how_to_name(part: MappingNode, names: Collection[str]) -> str:
    """A hint where a mapping has no `use`: its only key may be the name, with the parameters below it."""
    use, inner = next(iter(part.items), ""), next(iter(part.items.values()), None)
    if len(part.items) == 1 and use in names and inner is not None:
        keys = list(inner.node.items) if isinstance(inner.node, MappingNode) else []
    else:
        use, keys = "NAME", list(part.items)
    return f"name it as 'use', such as {{{', '.join([f'use: {use}', *(f'{key}: ...' for key in keys)])}}}"


def _how_to_go_without(node: Node, kind: str, empty: str) -> str:
    """A hint where a word for "none" stands in the place of a part. empty: as of `_position`."""
    is_meant = isinstance(node, Scalar) and node.text.casefold() in _NONE
    return f"for no {kind}, write {empty}" if empty and is_meant else ""
