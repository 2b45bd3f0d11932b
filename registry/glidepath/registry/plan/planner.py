"""A plan made of a spec: its sections, its slots or stages, and every problem of it collected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType

from glidepath.registry.describe.fields import Slot
from glidepath.registry.describe.kinds import generator_slots
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.address import Address
from glidepath.registry.plan.contracts import check_cascade, check_contracts
from glidepath.registry.plan.part_planner import PartPlanner, without_part
from glidepath.registry.plan.parts import PartPlan, Parts, Runtime, flat_parts
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.resolved import resolved_tree
from glidepath.registry.spec.config import read_section
from glidepath.registry.spec.requirements import PluginsSection, check_requirements
from glidepath.registry.spec.spec import Spec
from glidepath.registry.spec.top_keys import (
    check_cascade_keys,
    check_spec_keys,
    check_stage_keys,
    command_that_reads,
)
from glidepath.registry.text.problems import Place, Problems, quoted
from glidepath.registry.text.tree import (
    Broken,
    MappingNode,
    Node,
    describe_node,
    join_path,
    node_of,
    present,
)

_STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DEFAULT = Place("default")


def make_plan(spec: Spec, catalogue: Catalogue, *, need_weights: bool = False) -> Plan:
    """The plan of a spec. Imports no implementation and builds nothing.

    This is where all problems of a spec come together: those that were found when it was read, and those of
    its parts.

    need_weights: a file of weights that is not there is a problem.

    Raises:
        SpecError: with every problem of the spec.
    """
    problems = Problems(spec.files, spec.lent)
    problems.extend(spec.problems)
    plan = Planner(PartPlanner(catalogue, problems, spec.complete, need_weights)).plan(spec)
    if plan is None:
        raise problems.error()
    return plan


class Planner:
    """Makes a plan, or adds all that is in its way to the problems of `parts`, which plans its parts."""

    def __init__(self, parts: PartPlanner) -> None:
        self._catalogue = parts.catalogue
        self._problems = parts.problems
        self._complete = parts.complete
        self._parts = parts

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
        self._parts.plugins = (
            read_section(root, "plugins", PluginsSection, self._problems) or self._parts.plugins
        )
        runtime = read_section(root, "runtime", Runtime, self._problems)
        check_requirements(root, self._catalogue, self._problems)
        if stages is None:
            weights, parts = self._pipeline(root, "")
            if len(self._problems) or runtime is None:
                return None
            return self._plan_of(spec, runtime, weights, parts)
        weights = self._parts.weights(root, "")
        pipelines = self._stages(stages)
        parts_of = {path: tuple(flat_parts(parts)) for path, (_, parts) in pipelines.items()}
        check_cascade(parts_of, self._problems)
        if len(self._problems) or runtime is None:
            return None
        plans = {
            path.removeprefix("stages."): self._plan_of(spec, runtime, *pipeline, path=path)
            for path, pipeline in pipelines.items()
        }
        return self._plan_of(spec, runtime, weights, {}, stages=plans)

    def _plan_of(
        self,
        spec: Spec,
        runtime: Runtime,
        weights: Address | None,
        parts: Parts,
        *,
        stages: Mapping[str, Plan] = MappingProxyType({}),
        path: str = "",
    ) -> Plan:
        """A plan of what was found without problems."""
        versions = {part.registered.distribution: part.registered.version for part in flat_parts(parts)}
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
                self._parts.plugins,
                _below(spec.folder),
                {name: (stage.parts, stage.weights) for name, stage in stages.items()},
            ),
            plugins=self._parts.plugins,
            distributions=dict(sorted(versions.items())),
            stages=stages,
            path=path,
            model_slot=next(filter(parts.get, generator_slots(self._catalogue.slots)), "denoiser"),
        )

    def _stages(self, node: Node) -> dict[str, tuple[Address | None, Parts]]:
        """The weights and parts of each stage, by its path."""
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                what = f"stages takes a mapping of names to specs, and this is {describe_node(node)}"
                self._problems.add(what, node.place, "stages", "such as stages: {base: ..., up: ...}")
            return {}
        pipelines = {}
        for name, entry in node.items.items():
            path = join_path("stages", name)
            stage = present(entry.node)
            if stage is not None and not _STAGE_NAME.fullmatch(name):
                what = f"{quoted(name)} is no name of a stage"
                self._problems.add(what, entry.key, path, "letters, digits, - and _, a letter or digit first")
            if isinstance(stage, MappingNode):
                check_stage_keys(stage, path, self._catalogue, self._problems)
                pipelines[path] = self._pipeline(stage, path)
            elif stage is not None and not isinstance(stage, Broken):
                what = f"a stage takes a spec, and this is {describe_node(stage)}"
                hint = "a preset or a file stands behind `extends`: {extends: NAME}"
                self._problems.add(what, stage.place, path, hint)
        if not any(present(entry.node) for entry in node.items.values()) and self._complete:
            self._problems.add("a cascade needs at least one stage", node.place, "stages")
        return pipelines

    def _pipeline(self, root: MappingNode, path: str) -> tuple[Address | None, Parts]:
        """The weights and parts of a spec without stages, or of a stage."""
        self._parts.whole = self._complete
        self._parts.within = "stage" if path else "spec"
        weights = self._parts.weights(root, path)
        parts = self._slots(root, path)
        check_contracts(tuple(flat_parts(parts)), self._parts.whole, self._catalogue, self._problems, path)
        return weights, parts

    def _slots(self, root: MappingNode, path: str) -> Parts:
        parts: dict[str, PartPlan | tuple[PartPlan, ...]] = {}
        if not root.items and self._complete:
            what = f"a {'stage' if path else 'spec'} has parts, and this is empty"
            hint, presets = "begin with those of a preset: extends: NAME", tuple(self._catalogue.presets())
            self._problems.add(what, root.place, path, hint, presets)
            self._parts.whole = False
            return {}
        instead = self._instead(root, path)
        for key, kind in self._catalogue.slots.items():
            node = present(root.get(key))
            if key in instead:
                if node is not None:
                    what = f"a {'stage' if path else 'spec'} with a {instead[key]} has no {key}"
                    hint = f"the {instead[key]} stands in its place: leave one of them out ({key}: null)"
                    self._problems.add(what, root.items[key].key, join_path(path, key), hint)
                continue
            if node is None and kind.default:
                node = node_of(kind.default, _DEFAULT, root.source)
            if node is not None:
                empty = "" if kind.required or kind.default else without_part(kind.many)
                part = self._parts.position(node, Slot(kind.name, kind.many), join_path(path, key), empty)
                if part is not None:
                    parts[key] = part
            elif kind.required:
                if self._complete:
                    place = root.items[key].node.place if key in root.items else root.place
                    what = f"a {'stage' if path else 'spec'} needs a {key}, and this has none"
                    hint = f"{key}: {kind.summary}"
                    self._problems.add(what, place, join_path(path, key), hint, self._parts.names(kind.name))
                self._parts.whole = False
        return parts

    def _instead(self, root: MappingNode, path: str) -> dict[str, str]:
        """The slots that stay empty, and the key of the part that stands in their place."""
        slots = self._catalogue.slots
        there = [key for key in generator_slots(slots) if present(root.get(key)) is not None]
        for key in there if path else ():
            what = f"a stage of a cascade has no {key}"
            self._problems.add(what, root.items[key].key, join_path(path, key), "its stages diffuse")
        for key in there[1:]:
            what = f"a spec with a {there[0]} has no {key}: both would make its images"
            self._problems.add(what, root.items[key].key, key)
        return {slot: key for key in there for slot in slots[key].instead_of}


def _below(folder: Path | None) -> Callable[[PurePath], str]:
    """How files are named that are relative to a folder where they are below it."""
    home = folder.absolute() if folder is not None else None

    def written(path: PurePath) -> str:
        if home is not None and path.is_absolute() and path.is_relative_to(home):
            return path.relative_to(home).as_posix()
        return str(path)

    return written
