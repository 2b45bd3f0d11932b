"""A plan: each part of a spec with its component, its config and its inner parts. Nothing is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import attrs

from glidepath.registry.spec.address import Address, local_file
from glidepath.registry.describe.component import doc
from glidepath.registry.text.named_files import below_here, is_there
from glidepath.registry.plan.contracts import flat
from glidepath.registry.text.problems import Place, Problem
from glidepath.registry.spec.requirements import PluginsSection
from glidepath.registry.plan.resolved import resolved_tree
from glidepath.registry.text.tree import join

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.discovery.registered import Registered
    from glidepath.registry.spec.spec import Spec


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


Parts = Mapping[str, PartPlan | tuple[PartPlan, ...]]


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

    parts: Parts
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
