"""A plan made of a spec: the component of each part found, its config read, and every fault collected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from glidepath.registry.describe.fields import Slot, fields
from glidepath.registry.describe.validation import unwritable
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound, Registered
from glidepath.registry.plan.contracts import check_cascade, check_fit
from glidepath.registry.plan.parts import PartPlan, Parts, Runtime, flat
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.resolved import resolved_tree
from glidepath.registry.spec.address import Address, read_address
from glidepath.registry.spec.config import ConfigReader, missing_space
from glidepath.registry.spec.merge import as_part
from glidepath.registry.spec.positions import Schema
from glidepath.registry.spec.requirements import PluginsSection, check_requirements, refused_by
from glidepath.registry.spec.spec import Spec
from glidepath.registry.spec.top_keys import (
    check_cascade_keys,
    check_spec_keys,
    check_stage_keys,
    command_that_reads,
)
from glidepath.registry.spec.typed import FAILED
from glidepath.registry.text.problems import Place, Problems, quoted
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

T = TypeVar("T")

_MOST_PARTS = 100
_LONGEST_NAME = 200
_STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DEFAULT = Place("default")
_NONE = ("", "none", "null", "nil", "no", "off", "false", "disabled")
_NOT_USE = ("name", "type", "kind", "class", "target", "_target_", "uses")


def make_plan(spec: Spec, catalogue: Catalogue, *, need_weights: bool = False) -> Plan:
    """The plan of a spec. Imports no implementation and builds nothing.

    This is where all problems of a spec come together: those that were found when it was read, and those of
    its parts.

    need_weights: a file of weights that is not there is a fault.

    Raises:
        SpecError: with every fault of the spec.
    """
    problems = Problems(spec.files, spec.lent)
    problems.extend(spec.problems)
    plan = Planner(catalogue, problems, complete=spec.complete, need_weights=need_weights).plan(spec)
    if plan is None:
        raise problems.error()
    return plan


def plan_part(kind: str, name: str, parameters: Mapping[str, object], catalogue: Catalogue) -> PartPlan:
    """The plan of one part that stands in no spec. Imports no implementation and builds nothing.

    name: as `use` would give it. parameters: as a spec would write them beside it; relative paths are
        relative to the current directory.

    Raises:
        SpecError: with every fault.
    """
    title = f"{kind}/{name}"
    problems = Problems([title])
    node = node_of({**parameters, "use": name}, Place(title), Source(title, Path(), ""))
    planned = Planner(catalogue, problems)._planned(node, kind, kind)
    if planned is None or len(problems):
        raise problems.error()
    return planned


@attrs.frozen
class _NoParameters:
    """The config class of a component without one."""


class Planner:
    """Makes a plan, or adds all that is in its way to `problems`.

    complete: False when some of the spec could not be read, so that nothing is said about what is missing.
    """

    def __init__(
        self, catalogue: Catalogue, problems: Problems, *, complete: bool = True, need_weights: bool = False
    ) -> None:
        self._catalogue = catalogue
        self._schema = Schema(catalogue)
        self._problems = problems
        self._complete = complete
        self._whole = complete
        self._top = "spec"
        self._need_weights = need_weights
        self._configs = ConfigReader(problems)
        self._plugins = PluginsSection()
        self._count = 0

    def plan(self, spec: Spec) -> Plan | None:
        """The plan, None when there are problems."""
        root = spec.root
        command, key = command_that_reads(root, self._catalogue)
        if command:
            what = f"this is a file for `glidepath {command}`, and no spec"
            self._problems.add(what, root.items[key].key)
            return None
        stages = present(root.get("stages"))
        if stages is None:
            check_spec_keys(root, self._catalogue, self._problems)
        else:
            check_cascade_keys(root, self._catalogue, self._problems)
        self._plugins = self._section(root, "plugins", PluginsSection) or self._plugins
        runtime = self._section(root, "runtime", Runtime)
        check_requirements(root, self._catalogue, self._problems)
        if stages is None:
            weights, parts = self._pipeline(root, "")
            if len(self._problems) or runtime is None:
                return None
            return self._made(spec, runtime, weights, parts)
        weights = self._weights(root, "")
        pipelines = self._stages(stages)
        parts_of = {path: tuple(flat(parts)) for path, (_, parts) in pipelines.items()}
        check_cascade(parts_of, self._problems)
        if len(self._problems) or runtime is None:
            return None
        made = {
            path.removeprefix("stages."): self._made(spec, runtime, *pipeline, path=path)
            for path, pipeline in pipelines.items()
        }
        return self._made(spec, runtime, weights, {}, stages=made)

    def part(self, node: Node, slot: Slot, path: str) -> PartPlan | tuple[PartPlan, ...] | None:
        """What stands in a slot, or in a place for parts of another file; None, or fewer, after a problem.

        Whether it fits other parts is for `check_fit`.
        """
        return self._position(node, slot, path)

    def _made(
        self,
        spec: Spec,
        runtime: Runtime,
        weights: Address | None,
        parts: Parts,
        *,
        stages: Mapping[str, Plan] = MappingProxyType({}),
        path: str = "",
    ) -> Plan:
        """A plan of what was found without fault."""
        versions = {part.registered.distribution: part.registered.version for part in flat(parts)}
        for stage in stages.values():
            versions.update(stage.distributions)
        return Plan(
            parts=parts,
            runtime=runtime,
            weights=weights,
            spec=spec,
            tree=resolved_tree(
                parts,
                runtime,
                weights,
                self._plugins,
                _below(spec.folder),
                {name: (stage.parts, stage.weights) for name, stage in stages.items()},
            ),
            plugins=self._plugins,
            distributions=dict(sorted(versions.items())),
            stages=stages,
            path=path,
        )

    def _stages(self, node: Node) -> dict[str, tuple[Address | None, Parts]]:
        """The weights and parts of each stage, by its path."""
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                what = f"stages takes a mapping of names to specs, and this is {describe_node(node)}"
                self._problems.add(what, node.place, "stages", "such as stages: {base: ..., up: ...}")
            return {}
        found = {}
        for name, entry in node.items.items():
            path = join_path("stages", name)
            stage = present(entry.node)
            if stage is not None and not _STAGE_NAME.fullmatch(name):
                what = f"{quoted(name)} is no name of a stage"
                self._problems.add(what, entry.key, path, "letters, digits, - and _, a letter or digit first")
            if isinstance(stage, MappingNode):
                check_stage_keys(stage, path, self._catalogue, self._problems)
                found[path] = self._pipeline(stage, path)
            elif stage is not None and not isinstance(stage, Broken):
                what = f"a stage takes a spec, and this is {describe_node(stage)}"
                hint = "a preset or a file stands behind `extends`: {extends: NAME}"
                self._problems.add(what, stage.place, path, hint)
        if not any(present(entry.node) for entry in node.items.values()) and self._complete:
            self._problems.add("a cascade needs at least one stage", node.place, "stages")
        return found

    def _pipeline(self, root: MappingNode, path: str) -> tuple[Address | None, Parts]:
        """The weights and parts of a spec without stages, or of a stage."""
        self._whole = self._complete
        self._top = "stage" if path else "spec"
        weights = self._weights(root, path)
        parts = self._slots(root, path)
        check_fit(tuple(flat(parts)), self._whole, self._catalogue, self._problems, path)
        return weights, parts

    def _section(self, root: MappingNode, key: str, config: type[T]) -> T | None:
        node = present(root.get(key))
        if node is None:
            return config()
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                what = f"{key} takes a mapping, and this is {describe_node(node)}"
                self._problems.add(what, node.place, key, allowed=fields(config))
            return None
        value: T | object = self._configs.read(config, node, key, key, reserved=()).value
        return value if isinstance(value, config) else None

    def _weights(self, node: MappingNode, path: str) -> Address | None:
        written = present(node.get("weights"))
        if written is None:
            return None
        return read_address(
            written,
            join_path(path, "weights"),
            self._catalogue,
            self._problems,
            must_exist=self._need_weights,
        )

    def _slots(self, root: MappingNode, path: str) -> Parts:
        parts: dict[str, PartPlan | tuple[PartPlan, ...]] = {}
        for key, kind in self._catalogue.slots.items():
            node = present(root.get(key))
            if node is None and kind.default:
                node = node_of(kind.default, _DEFAULT, root.source)
            if node is not None:
                empty = "" if kind.required or kind.default else _nothing(kind.many)
                part = self._position(node, Slot(kind.name, kind.many), join_path(path, key), empty)
                if part is not None:
                    parts[key] = part
            elif kind.required:
                if self._complete:
                    place = root.items[key].node.place if key in root.items else root.place
                    what = f"a {'stage' if path else 'spec'} needs a {key}, and this has none"
                    hint = f"{key}: {kind.summary}"
                    self._problems.add(what, place, join_path(path, key), hint, self._names(kind.name))
                self._whole = False
        return parts

    def _position(
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
            self._problems.add(what, node.place, path, hint, self._names(slot.kind))
            self._whole = False
            return None
        return self._part(node, slot.kind, path, empty)

    def _part(self, node: Node, kind: str, path: str, empty: str) -> PartPlan | None:
        planned = self._planned(node, kind, path, empty)
        self._whole = self._whole and planned is not None
        return planned

    def _planned(self, node: Node, kind: str, path: str, empty: str = "") -> PartPlan | None:
        self._count += 1
        if self._count > _MOST_PARTS:
            if self._count == _MOST_PARTS + 1:
                self._problems.add(f"the spec has more than {_MOST_PARTS} parts", node.place, path)
            return None
        part = as_part(node)
        if not isinstance(part, MappingNode):
            if not isinstance(part, Broken):
                this = describe_node(part)
                what = f"{path} takes the name of a {kind}, or a mapping with a 'use', and this is {this}"
                self._problems.add(
                    what, part.place, path, _how_to_go_without(part, kind, empty), self._names(kind)
                )
            return None
        registered = self._registered(part, kind, path, empty)
        if registered is None:
            return None
        place = part.items["use"].node.place
        try:
            config_class = self._catalogue.config_class(registered)
        except NotFound as unknown:
            self._problems.add(unknown.what, place, path, unknown.hint, unknown.allowed)
            return None
        owner = f"{kind} {registered.component.name}"
        supplier = f"{registered.distribution} {registered.version}"
        if config_class is not None and self._is_unwritable(config_class, registered, part, path):
            return None
        elsewhere = {
            slot: f"{slot} is a slot of its own: write it at the top of the {self._top}"
            for slot in self._catalogue.slots
        }
        config = self._configs.read(
            config_class or _NoParameters, part, path, owner, supplier=supplier, elsewhere=elsewhere
        )
        inner = self._inner(registered, part, kind, path)
        weights = self._weights(part, path)
        if config.value is FAILED:
            return None
        planned = PartPlan(
            path=path,
            registered=registered,
            config=config.value if config_class else None,
            parts=inner,
            places=config.places,
            weights=weights,
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
            hint = f"report it to the authors of {supplier}, or choose another {registered.component.kind}"
            self._problems.add(what, node.place, join_path(path, name), hint)
        return bool(odd)

    def _registered(self, part: MappingNode, kind: str, path: str, empty: str) -> Registered | None:
        use = part.get("use")
        if use is None:
            if self._complete:
                what = f"{path} does not say which {kind} it is"
                hint = "name it as 'use'"
                if key := next((key for key in _NOT_USE if present(part.get(key)) is not None), ""):
                    hint = f"the key is 'use', not {key!r}"
                elif spaced := next(filter(None, (missing_space(key, ("use",)) for key in part.items)), ""):
                    hint = spaced
                self._problems.add(what, part.place, path, hint, self._names(kind))
            return None
        if (
            not isinstance(use, Scalar)
            or not (use.is_text or use.source.override)
            or len(use.text) > _LONGEST_NAME
        ):
            if not isinstance(use, Broken):
                what = f"use takes the name of a {kind}, and this is {describe_node(use)}"
                hint = _how_to_go_without(use, kind, empty)
                self._problems.add(what, use.place, join_path(path, "use"), hint, self._names(kind))
            return None
        try:
            registered = self._catalogue.find(kind, use.text, use.source.distribution)
        except NotFound as unknown:
            hint = missing_space(use.text, ("use",)) or _how_to_go_without(use, kind, empty) or unknown.hint
            self._problems.add(unknown.what, use.place, path, hint, unknown.allowed)
            return None
        if switch := refused_by(self._plugins, registered):
            what = f"{registered.full_name} is of the plugin {registered.plugin!r}, which {switch} keeps out"
            self._problems.add(what, use.place, path, f"change {switch}, or choose another {kind}")
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
                self._problems.add(what, part.place, below, allowed=self._names(field.slot.kind))
                self._whole = False
                continue
            if node is None:
                node = node_of(field.default, _DEFAULT, part.source)
            if present(node) is None and not field.default:
                continue
            empty = "" if field.required or field.default else _nothing(field.slot.many)
            planned = self._position(node, field.slot, below, empty)
            if planned is not None:
                inner[name] = planned
        return inner

    def _is_sound(self, planned: PartPlan) -> bool:
        """Whether a part's component has nothing to say against its parameters."""
        registered = planned.registered
        try:
            refused = list(registered.component.check(planned.config))
        except Exception as error:
            what = f"{registered.full_name} cannot check its parameters: {type(error).__name__}: {error}"
            hint = f"it is a fault of {registered.distribution}"
            self._problems.add(what, planned.place, planned.path, hint)
            return False
        for name, message in refused:
            place = planned.places.get(name) or planned.place
            self._problems.add(message, place, join_path(planned.path, name) if name else planned.path)
        return not refused

    def _names(self, kind: str) -> list[str]:
        return [self._catalogue.spelling(registered) for registered in self._catalogue.components(kind)]


def _nothing(many: bool) -> str:
    """What is written in a place for parts that holds none."""
    return "[]" if many else "null"


def _how_to_go_without(node: Node, kind: str, empty: str) -> str:
    """A hint where a word for "none" stands in the place of a part. empty: as of `_position`."""
    is_meant = isinstance(node, Scalar) and node.text.casefold() in _NONE
    return f"for no {kind}, write {empty}" if empty and is_meant else ""


def _below(folder: Path | None) -> Callable[[PurePath], str]:
    """How files are named that are relative to a folder where they are below it."""
    home = folder.absolute() if folder is not None else None

    def written(path: PurePath) -> str:
        if home is not None and path.is_absolute() and path.is_relative_to(home):
            return path.relative_to(home).as_posix()
        return str(path)

    return written
