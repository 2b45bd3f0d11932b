"""A plan: each part of a spec with its component, its config and its inner parts. Nothing is built.

`make_plan` (planner.py) makes one, or raises all problems of the spec at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import attrs

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.address import Address, is_complete
from glidepath.registry.plan.parts import PartPlan, Parts, Runtime, flat_parts
from glidepath.registry.plan.resolved import resolved_tree
from glidepath.registry.spec.requirements import PluginsSection
from glidepath.registry.spec.spec import Spec
from glidepath.registry.text.named_files import portable_names
from glidepath.registry.text.tree import join_path


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
    model_slot: of what makes x: "denoiser", or that of a generator.
    """

    parts: Parts
    runtime: Runtime
    weights: Address | None
    spec: Spec
    tree: Mapping[str, Any]
    distributions: Mapping[str, str]
    plugins: PluginsSection = attrs.field(factory=PluginsSection)
    stages: Mapping[str, Plan] = MappingProxyType({})
    path: str = ""
    model_slot: str = "denoiser"

    def portable_tree(self) -> Mapping[str, Any]:
        """The tree as an image carries it, with files named as in `portable_names`."""
        weights = [Path(it.value) for it in self.all_weights().values() if it.scheme == "file"]
        assets = [path for part in self.all_parts() for _, path in part.asset_paths()]
        return self.tree_with(portable_names([*weights, *assets]))

    def tree_with(self, written: Callable[[PurePath], str]) -> dict[str, Any]:
        """The tree with files named otherwise: `str` for their absolute paths."""
        stages = {name: (stage.parts, stage.weights) for name, stage in self.stages.items()}
        return resolved_tree(self.parts, self.runtime, self.weights, self.plugins, written, stages)

    def pipelines(self) -> Mapping[str, Plan]:
        """The plan of each pipeline by its stage's name; that of a spec without stages, under ""."""
        return self.stages or {"": self}

    def all_parts(self) -> Iterator[PartPlan]:
        """Every part, those in slots before those inside them, stage by stage."""
        for plan in self.pipelines().values():
            yield from flat_parts(plan.parts)

    def missing_weights(self, catalogue: Catalogue) -> Mapping[str, Address]:
        """Those of `all_weights` of which a file is not there. Whether a hub has one is not asked."""
        return {
            path: address
            for path, address in self.all_weights().items()
            if address.scheme != "hub" and not is_complete(address, catalogue)
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
            join_path(part.path, name): source
            for part in self.all_parts()
            for name, source in [("use", str(part.place)), *part.sources.items()]
        }
