"""A plan: each part of a spec with its component, its config and its inner parts. Nothing is built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from glidepath.registry.address import Address, local_file, read_address
from glidepath.registry.catalogue import Unknown
from glidepath.registry.component import doc
from glidepath.registry.config import ConfigReader
from glidepath.registry.faults import Faults, shown
from glidepath.registry.files import below_here, is_there
from glidepath.registry.fit import check_cascade, check_fit, flat
from glidepath.registry.merge import as_part
from glidepath.registry.problems import Place, Problem, did_you_mean
from glidepath.registry.requirements import PluginsSection, check_requirements, refused_by
from glidepath.registry.resolved import resolved_tree
from glidepath.registry.scalars import NULL
from glidepath.registry.schema import SECTIONS, STAGE_SECTIONS, Schema, Slot, current, fields
from glidepath.registry.source import Source
from glidepath.registry.tree import Broken, ListNode, MappingNode, Node, Scalar, describe, join, node_of
from glidepath.registry.typed import FAILED
from glidepath.registry.writable import unwritable

if TYPE_CHECKING:
    from glidepath.registry.catalogue import Catalogue, Registered
    from glidepath.registry.spec import Spec

__all__ = ["Address", "PartPlan", "Plan", "Planner", "Runtime", "canonical_json", "make_plan"]

T = TypeVar("T")

_MOST_PARTS = 100
_LONGEST_NAME = 200
_STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DEFAULT = Place("default")
_NOT_USE = ("name", "type", "kind", "class", "target", "_target_", "uses")
# what YAML forbids, or takes for the end of a line
_NEEDS_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


class _Device:
    """Validator: a device as torch names it."""

    options = ("auto", "cpu", "cuda", "cuda:N", "mps")
    pattern = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?|mps")

    def __call__(self, _instance: object, _attribute: object, value: str) -> None:
        if not self.pattern.fullmatch(value):
            raise ValueError(f"{value!r} is none of {', '.join(self.options)}")


@attrs.frozen(kw_only=True)
class Runtime:
    """Where and how a pipeline runs; it changes what an image costs, not what it shows."""

    device: str = attrs.field(
        default="auto", validator=_Device(), metadata=doc("where; auto takes a GPU when there is one")
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = attrs.field(
        default="auto", metadata=doc("of the denoiser; auto takes what the device is fast at")
    )
    compile: bool = attrs.field(default=False, metadata=doc("compile the denoiser before the first image"))
    channels_last: Literal["auto"] | bool = attrs.field(
        default="auto", metadata=doc("memory layout of images; auto takes what the device is fast at")
    )


@attrs.frozen(kw_only=True, eq=False)
class PartPlan:
    """A part of a plan.

    path: "sampler", "guidance[0]", "text_encoder.tokenizer"; in a cascade "stages.up.sampler".
    config: of the component's config class; None when it has no parameters.
    parts: inner parts by parameter; a tuple where the parameter takes a list; absent where there is none.
    places: where each parameter was written, None for a default.
    weights: its own file of weights.
    """

    path: str
    registered: Registered
    config: Any
    parts: Mapping[str, PartPlan | tuple[PartPlan, ...]]
    places: Mapping[str, Place | None]
    weights: Address | None
    place: Place

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the value of each parameter came from: "default", or "file:line:column"."""
        return {name: "default" if place is None else str(place) for name, place in self.places.items()}


_Parts = Mapping[str, PartPlan | tuple[PartPlan, ...]]


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """A spec that can be assembled. That of a cascade has stages in the place of parts.

    parts: by slot; a tuple where the slot takes several. An optional slot that is empty is absent.
    weights: one file that holds the weights of all parts under the names of their slots, in a cascade under
        those of stage and slot.
    tree: the spec with every default written out, as values that JSON has. It is itself a spec of this plan;
        files below the spec's folder are relative to that.
    distributions: the version of each distribution that supplies a part.
    plugins: which plugins the spec lets in.
    stages: of a cascade, in order: a plan for each, with the cascade's runtime.
    path: where it stands in the spec: "", or "stages.NAME".
    warnings: what of the spec is right as yet, and is to go; of the whole plan, not of its stages.
    """

    parts: _Parts
    runtime: Runtime
    weights: Address | None
    spec: Spec
    tree: Mapping[str, Any]
    distributions: Mapping[str, str]
    plugins: PluginsSection = attrs.field(factory=PluginsSection)
    stages: Mapping[str, Plan] = MappingProxyType({})
    path: str = ""
    warnings: Sequence[Problem] = ()

    def portable_tree(self) -> Mapping[str, Any]:
        """The tree as an image carries it: a file below the current directory is written relative to that,
        any other as its bare name.
        """
        return resolved_tree(self.parts, self.runtime, self.weights, self.plugins, below_here, self.stages)

    def pipelines(self) -> Mapping[str, Plan]:
        """The plan of each pipeline by its stage's name; that of a spec without stages, under ""."""
        return self.stages or {"": self}

    def all_parts(self) -> Iterator[PartPlan]:
        """Every part, those in slots before those inside them, stage by stage."""
        for plan in self.pipelines().values():
            yield from flat(plan.parts)

    def missing_weights(self, catalogue: Catalogue) -> Mapping[str, Address]:
        """Those of `all_weights` whose file is not there. Whether a hub has one is not asked."""
        return {
            path: address
            for path, address in self.all_weights().items()
            if (file := local_file(address, catalogue)) is not None and not is_there(file)
        }

    def all_weights(self) -> Mapping[str, Address]:
        """Every file of weights, by what it belongs to: "" for the whole, a stage's path, or a part's."""
        of_plans = [(plan.path, plan.weights) for plan in (self, *self.stages.values())]
        of_parts = [(part.path, part.weights) for part in self.all_parts()]
        return {path: address for path, address in (*of_plans, *of_parts) if address is not None}

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from, by dotted path: "default", or "file:line:column"."""
        return {
            join(part.path, name): source
            for part in self.all_parts()
            for name, source in [("use", str(part.place)), *part.sources.items()]
        }


def canonical_json(value: object, indent: int | None = None) -> str:
    """JSON of a `Plan.tree`, the same for the same values: to be hashed, kept, or read as a spec again.

    Keys are sorted, but for the stages of a cascade, whose order says something. Not `json.dumps` as it is:
    YAML does not know JSON's escapes of characters beyond the first 65,536.
    """
    separators = (",", ": " if indent else ":")
    text = json.dumps(_ordered(value), separators=separators, ensure_ascii=False, indent=indent)
    return _NEEDS_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _ordered(value: object, is_top: bool = True) -> object:
    if isinstance(value, list | tuple):
        return [_ordered(item, False) for item in value]
    if not isinstance(value, Mapping):
        return value
    ordered = {key: _ordered(value[key], False) for key in sorted(value)}
    if is_top and isinstance(value.get("stages"), Mapping):
        ordered["stages"] = {name: _ordered(stage, False) for name, stage in value["stages"].items()}
    return ordered


def make_plan(spec: Spec, catalogue: Catalogue, *, need_weights: bool = False) -> Plan:
    """The plan of a spec. Imports no implementation and builds nothing.

    need_weights: a file of weights that is not there is a fault.

    Raises:
        SpecError: with every fault of the spec.
    """
    faults = Faults(spec.files, spec.lent)
    plan = Planner(catalogue, faults, need_weights=need_weights).plan(spec)
    if plan is None:
        raise faults.error()
    return plan


def plan_part(kind: str, name: str, parameters: Mapping[str, object], catalogue: Catalogue) -> PartPlan:
    """The plan of one part that stands in no spec. Imports no implementation and builds nothing.

    name: as `use` would give it. parameters: as a spec would write them beside it; relative paths are
        relative to the current directory.

    Raises:
        SpecError: with every fault.
    """
    title = f"{kind}/{name}"
    faults = Faults([title])
    node = node_of({**parameters, "use": name}, Place(title), Source(title, Path(), ""))
    planned = Planner(catalogue, faults)._planned(node, kind, kind)
    if planned is None or len(faults):
        raise faults.error()
    return planned


@attrs.frozen
class _NoParameters:
    """The config class of a component without one."""


class Planner:
    """Makes a plan, or adds all that is in its way to `faults`.

    complete: False when some of the spec could not be read, so that nothing is said about what is missing.
    """

    def __init__(
        self, catalogue: Catalogue, faults: Faults, *, complete: bool = True, need_weights: bool = False
    ) -> None:
        self._catalogue = catalogue
        self._schema = Schema(catalogue)
        self._faults = faults
        self._complete = complete
        self._whole = complete
        self._top = "spec"
        self._need_weights = need_weights
        self._configs = ConfigReader(faults)
        self._plugins = PluginsSection()
        self._count = 0

    def plan(self, spec: Spec) -> Plan | None:
        """The plan, None when there are faults."""
        root = spec.root
        stages = _present(root.get("stages"))
        if stages is None:
            self._unknown_keys(root, "", SECTIONS)
        else:
            self._keys_of_a_cascade(root)
        self._plugins = self._section(root, "plugins", PluginsSection) or self._plugins
        runtime = self._section(root, "runtime", Runtime)
        check_requirements(root, self._catalogue, self._faults)
        if stages is None:
            weights, parts = self._pipeline(root, "")
            if len(self._faults) or runtime is None:
                return None
            return self._made(spec, runtime, weights, parts)
        weights = self._weights(root, "")
        pipelines = self._stages(stages)
        check_cascade({path: tuple(flat(parts)) for path, (_, parts) in pipelines.items()}, self._faults)
        if len(self._faults) or runtime is None:
            return None
        made = {
            path.removeprefix("stages."): self._made(spec, runtime, *pipeline, path=path)
            for path, pipeline in pipelines.items()
        }
        return self._made(spec, runtime, weights, {}, stages=made)

    def part(self, node: Node, slot: Slot, path: str) -> PartPlan | tuple[PartPlan, ...] | None:
        """What stands in a slot, or in a place for parts of another file; None, or fewer, after a fault.

        Whether it fits other parts is for `check_fit`.
        """
        return self._position(node, slot, path)

    def _made(
        self,
        spec: Spec,
        runtime: Runtime,
        weights: Address | None,
        parts: _Parts,
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
            tree=resolved_tree(parts, runtime, weights, self._plugins, _below(spec.folder), stages),
            plugins=self._plugins,
            distributions=dict(sorted(versions.items())),
            stages=stages,
            path=path,
            warnings=() if path else self._faults.warnings,
        )

    def _keys_of_a_cascade(self, root: MappingNode) -> None:
        """Parts stand in stages, not beside them."""
        slots = {key for key, entry in root.items.items() if key in self._catalogue.slots}
        for key in slots:
            if _present(root.get(key)) is not None:
                what = f"a cascade has no {key} of its own: each of its stages has one"
                hint = f"write it in a stage; `stages` is written at {root.items['stages'].key}"
                self._faults.add(what, root.items[key].key, key, hint)
        others = {key: entry for key, entry in root.items.items() if key not in slots}
        self._unknown_keys(MappingNode(others, root.place, root.source), "", SECTIONS)

    def _stages(self, node: Node) -> dict[str, tuple[Address | None, _Parts]]:
        """The weights and parts of each stage, by its path."""
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                what = f"stages takes a mapping of names to specs, and this is {describe(node)}"
                self._faults.add(what, node.place, "stages", "such as stages: {base: ..., up: ...}")
            return {}
        found = {}
        for name, entry in node.items.items():
            path = join("stages", name)
            stage = _present(entry.node)
            if stage is not None and not _STAGE_NAME.fullmatch(name):
                what = f"{shown(name)} is no name of a stage"
                self._faults.add(what, entry.key, path, "letters, digits, - and _, a letter or digit first")
            if isinstance(stage, MappingNode):
                self._keys_of_a_stage(stage, path)
                found[path] = self._pipeline(stage, path)
            elif stage is not None and not isinstance(stage, Broken):
                what = f"a stage takes a spec, and this is {describe(stage)}"
                hint = "a preset or a file stands behind `extends`: {extends: NAME}"
                self._faults.add(what, stage.place, path, hint)
        if not any(_present(entry.node) for entry in node.items.values()) and self._complete:
            self._faults.add("a cascade needs at least one stage", node.place, "stages")
        return found

    def _keys_of_a_stage(self, stage: MappingNode, path: str) -> None:
        others = dict(stage.items)
        reasons = {
            "runtime": ("a stage has no runtime of its own", "write it at the top of the cascade"),
            "plugins": ("a stage has no plugins of its own", "write it at the top of the cascade"),
            "stages": ("a stage is no cascade itself", "write its stages beside the others"),
            "extends": ("extends cannot be set", "write it in a file"),
        }
        for key, (what, hint) in reasons.items():
            entry = others.pop(key, None)
            if entry is not None and _present(entry.node) is not None:
                self._faults.add(what, entry.key, join(path, key), hint)
        self._unknown_keys(MappingNode(others, stage.place, stage.source), path, STAGE_SECTIONS)

    def _pipeline(self, root: MappingNode, path: str) -> tuple[Address | None, _Parts]:
        """The weights and parts of a spec without stages, or of a stage."""
        self._whole = self._complete
        self._top = "stage" if path else "spec"
        weights = self._weights(root, path)
        parts = self._slots(root, path)
        check_fit(tuple(flat(parts)), self._whole, self._catalogue, self._faults, path)
        return weights, parts

    def _unknown_keys(self, root: MappingNode, path: str, sections: Sequence[str]) -> None:
        known = [*self._catalogue.slots, *sections]
        for key, entry in root.items.items():
            if key not in known:
                hint = did_you_mean(key[:_LONGEST_NAME], known)
                if not hint and key in self._catalogue.kinds:
                    hint = f"a {key} stands inside another part"
                if not hint:
                    hint = "; ".join(
                        f"the {record.title} failed to load and may add it: {record.error}"
                        for record in self._catalogue.failures
                    )
                what = f"a {'stage' if path else 'spec'} has no {shown(key)}"
                self._faults.add(what, entry.key, join(path, key), hint, known)

    def _section(self, root: MappingNode, key: str, config: type[T]) -> T | None:
        node = _present(root.get(key))
        if node is None:
            return config()
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                what = f"{key} takes a mapping, and this is {describe(node)}"
                self._faults.add(what, node.place, key, allowed=fields(config))
            return None
        value: T | object = self._configs.read(config, node, key, key, reserved=()).value
        return value if isinstance(value, config) else None

    def _weights(self, node: MappingNode, path: str) -> Address | None:
        written = _present(node.get("weights"))
        if written is None:
            return None
        return read_address(
            written, join(path, "weights"), self._catalogue, self._faults, must_exist=self._need_weights
        )

    def _slots(self, root: MappingNode, path: str) -> _Parts:
        parts: dict[str, PartPlan | tuple[PartPlan, ...]] = {}
        for key, kind in self._catalogue.slots.items():
            node = _present(root.get(key))
            if node is None and kind.default:
                node = node_of(kind.default, _DEFAULT, root.source)
            if node is not None:
                part = self._position(node, Slot(kind.name, kind.many), join(path, key))
                if part is not None:
                    parts[key] = part
            elif kind.required:
                if self._complete:
                    place = root.items[key].node.place if key in root.items else root.place
                    what = f"a {'stage' if path else 'spec'} needs a {key}, and this has none"
                    hint = f"{key}: {kind.summary}"
                    self._faults.add(what, place, join(path, key), hint, self._names(kind.name))
                self._whole = False
        return parts

    def _position(self, node: Node, slot: Slot, path: str) -> PartPlan | tuple[PartPlan, ...] | None:
        """The part, or the list of parts, that stands in a slot or a parameter."""
        if slot.many:
            items = node.items if isinstance(node, ListNode) else (node,)
            planned = [self._part(item, slot.kind, f"{path}[{index}]") for index, item in enumerate(items)]
            return tuple(part for part in planned if part is not None)
        if isinstance(node, ListNode):
            hint = "leave out the list" if len(node.items) == 1 else "write the one that is meant"
            what = f"{path} takes one {slot.kind}, and this is a list"
            self._faults.add(what, node.place, path, hint, self._names(slot.kind))
            self._whole = False
            return None
        return self._part(node, slot.kind, path)

    def _part(self, node: Node, kind: str, path: str) -> PartPlan | None:
        planned = self._planned(node, kind, path)
        self._whole = self._whole and planned is not None
        return planned

    def _planned(self, node: Node, kind: str, path: str) -> PartPlan | None:
        self._count += 1
        if self._count > _MOST_PARTS:
            if self._count == _MOST_PARTS + 1:
                self._faults.add(f"the spec has more than {_MOST_PARTS} parts", node.place, path)
            return None
        part = as_part(node)
        if not isinstance(part, MappingNode):
            if not isinstance(part, Broken):
                this = describe(part)
                what = f"{path} takes the name of a {kind}, or a mapping with a 'use', and this is {this}"
                self._faults.add(what, part.place, path, allowed=self._names(kind))
            return None
        registered = self._registered(part, kind, path)
        if registered is None:
            return None
        place = part.items["use"].node.place
        try:
            config_class = self._catalogue.config_class(registered)
        except Unknown as unknown:
            self._faults.add(unknown.what, place, path, unknown.hint, unknown.allowed)
            return None
        owner = f"{kind} {registered.component.name}"
        part = self._in_words_of_today(part, config_class or _NoParameters, registered, path)
        elsewhere = {
            slot: f"{slot} is a slot of its own: write it at the top of the {self._top}"
            for slot in self._catalogue.slots
        }
        config = self._configs.read(config_class or _NoParameters, part, path, owner, elsewhere=elsewhere)
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
        return planned if self._passes_its_check(planned) else None

    def _registered(self, part: MappingNode, kind: str, path: str) -> Registered | None:
        use = part.get("use")
        if use is None:
            if self._complete:
                what = f"{path} does not say which {kind} it is"
                hint = "name it as 'use'"
                if key := next((key for key in _NOT_USE if _present(part.get(key)) is not None), ""):
                    hint = f"the key is 'use', not {key!r}"
                self._faults.add(what, part.place, path, hint, self._names(kind))
            return None
        if (
            not isinstance(use, Scalar)
            or not (use.is_text or use.source.override)
            or len(use.text) > _LONGEST_NAME
        ):
            if not isinstance(use, Broken):
                what = f"use takes the name of a {kind}, and this is {describe(use)}"
                self._faults.add(what, use.place, join(path, "use"), allowed=self._names(kind))
            return None
        try:
            registered = self._catalogue.find(kind, use.text, use.source.distribution)
        except Unknown as unknown:
            self._faults.add(unknown.what, use.place, path, unknown.hint, unknown.allowed)
            return None
        if switch := refused_by(self._plugins, registered):
            what = f"{registered.full_name} is of the plugin {registered.plugin!r}, which {switch} keeps out"
            self._faults.add(what, use.place, path, f"change {switch}, or choose another {kind}")
            return None
        self._warn_of_age(use, registered, path)
        return registered

    def _warn_of_age(self, use: Scalar, registered: Registered, path: str) -> None:
        component = registered.component
        name = use.text.rpartition("/")[2]
        if name != component.name:
            what = f"the {component.kind} {name!r} is called {component.name!r} now"
            self._faults.warn(what, use.place, path, f"write {use.text[: -len(name)]}{component.name}")
        if component.deprecated:
            what = f"{component.kind} {registered.full_name} is deprecated: {component.deprecated}"
            self._faults.warn(what, use.place, path)

    def _in_words_of_today(
        self, part: MappingNode, config: type[Any], registered: Registered, path: str
    ) -> MappingNode:
        """A part with the names that its parameters have now."""
        try:
            known, odd = fields(config), unwritable(config)
        except Exception:  # told where the parameters are read
            return part
        owner = f"{registered.component.kind} {registered.component.name}"
        items = {}
        for key, entry in part.items.items():
            name, below = current(known, key), join(path, key)
            if name != key and name in part.items:
                hint = f"leave out {key!r}, which is its earlier name"
                what = f"{owner}: {name!r} is written twice, also as {key!r}"
                self._faults.add(what, entry.key, below, hint)
                continue
            if name != key:
                what = f"{owner}: the parameter {key!r} is called {name!r} now"
                self._faults.warn(what, entry.key, below, f"write {name}")
            if name in known and known[name].deprecated:
                what = f"{owner}: the parameter {name!r} is deprecated: {known[name].deprecated}"
                self._faults.warn(what, entry.key, below)
            if name in odd:
                what = f"{owner}: {name!r} is {odd[name]}, which no spec can write"
                release = f"{registered.distribution} {registered.version}"
                hint = f"leave it out, and report it to the authors of {release}"
                self._faults.add(what, entry.key, below, hint)
                continue
            items[name] = entry
        return MappingNode(items, part.place, part.source)

    def _inner(
        self, registered: Registered, part: MappingNode, kind: str, path: str
    ) -> dict[str, PartPlan | tuple[PartPlan, ...]]:
        """The parts that are parameters of a part."""
        inner: dict[str, PartPlan | tuple[PartPlan, ...]] = {}
        for name, field in self._schema.fields(Slot(kind), registered.full_name).items():
            if field.slot is None:
                continue
            node, below = part.get(name), join(path, name)
            if node is None and field.required:
                what = f"{kind} {registered.component.name} needs {name!r}, which is a {field.slot.kind}"
                self._faults.add(what, part.place, below, allowed=self._names(field.slot.kind))
                self._whole = False
                continue
            if node is None:
                node = node_of(field.default, _DEFAULT, part.source)
            if _present(node) is None and not field.default:
                continue
            planned = self._position(node, field.slot, below)
            if planned is not None:
                inner[name] = planned
        return inner

    def _passes_its_check(self, planned: PartPlan) -> bool:
        """Whether a component has nothing to say against its own config."""
        registered = planned.registered
        before = len(self._faults)
        try:
            for name, message in registered.component.check(planned.config):
                place = planned.places.get(name) or planned.place
                self._faults.add(message, place, join(planned.path, name) if name else planned.path)
        except Exception as error:
            what = f"{registered.full_name} cannot check its parameters: {type(error).__name__}: {error}"
            self._faults.add(what, planned.place, planned.path, f"it is a fault of {registered.distribution}")
        return len(self._faults) == before

    def _names(self, kind: str) -> list[str]:
        return [self._catalogue.spelling(registered) for registered in self._catalogue.components(kind)]


def _below(folder: Path | None) -> Callable[[PurePath], str]:
    """How files are named that are relative to a folder where they are below it."""
    home = folder.absolute() if folder is not None else None

    def written(path: PurePath) -> str:
        if home is not None and path.is_absolute() and path.is_relative_to(home):
            return path.relative_to(home).as_posix()
        return str(path)

    return written


def _present(node: Node | None) -> Node | None:
    """The node, None for a null: that takes away what an earlier layer put there."""
    return None if isinstance(node, Scalar) and node.rule == NULL else node
