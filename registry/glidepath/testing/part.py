"""A part under test: its descriptor, its example, and fresh copies of it to try."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from glidepath.core.guidance import Guidance
from glidepath.registry.assembly.build import build_part
from glidepath.registry.describe.component import Component, Kind, Need
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import Registered
from glidepath.registry.plan.part_planner import plan_part
from glidepath.registry.plan.parts import PartPlan, flat_parts

_FOLDERS: list[TemporaryDirectory[str]] = []


class Part:
    """A component of the distribution under test.

    Args:
        registered: the component.
        catalogue: where its inner parts are found.
        example: its parameters, in place of the descriptor's own `example`.

    no_example: why its descriptor gives none, "" where it does.
    """

    def __init__(
        self, registered: Registered, catalogue: Catalogue, example: Mapping[str, Any] | None = None
    ) -> None:
        self.registered = registered
        self.catalogue = catalogue
        stated = registered.component.example
        self.no_example = stated if isinstance(stated, str) and example is None else ""
        self._stated = stated if example is None else example

    @cached_property
    def example(self) -> Mapping[str, Any]:
        """Its parameters, with the files that they name in a folder of their own; {} where there are none."""
        if isinstance(self._stated, str):
            return {}
        return _written(self._stated) if callable(self._stated) else self._stated

    @property
    def id(self) -> str:
        """ "KIND/NAME"."""
        return f"{self.component.kind}/{self.component.name}"

    @property
    def component(self) -> Component:
        """The descriptor."""
        return self.registered.component

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return self.catalogue.kinds[self.component.kind]

    @cached_property
    def planned(self) -> PartPlan:
        """The part with the parameters of its example, not built.

        Raises:
            SpecError: the example is refused.
        """
        return self.plan(self.example)

    def plan(self, parameters: Mapping[str, Any]) -> PartPlan:
        """The part with some parameters, not built. Raises as `planned` does."""
        return plan_part(self.component.kind, self.registered.full_name, parameters, self.catalogue)

    def build(self, parameters: Mapping[str, Any] | None = None) -> Any:
        """The part, freshly built: always with the same weights, none of them zero, ready to predict.

        parameters: laid over those of the example.
        """
        planned = self.planned if parameters is None else self.plan({**self.example, **parameters})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            built = build_part(planned, self.catalogue, load=False)
        for network in networks(built):
            _settle(network)
        return built

    def needed(self, key: str) -> Any:
        """The value of a key that it, or a part inside it, needs of others; None where none is needed."""
        for part in flat_parts({"": self.planned}):
            need = part.registered.component.needs(part.config).get(key)
            if isinstance(need, Need) and need.value is not None:
                return need.value[0] if isinstance(need.value, tuple) else need.value
        return None

    def provided(self, key: str) -> Any:
        """The value of a key that it, or else a part inside it, provides; None where none does."""
        for part in flat_parts({"": self.planned}):
            given = part.provided()
            if key in given:
                return given[key]
        return None

    @property
    def interface(self) -> Any:
        """The class of which every part of its kind is an instance."""
        module, _, name = self.kind.interface.partition(":")
        return getattr(import_module(module), name)


@lru_cache
def _written(example: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a descriptor's function returns; its files stay until the process ends."""
    folder = TemporaryDirectory(prefix="glidepath-example-")
    _FOLDERS.append(folder)
    return example(Path(folder.name))


def networks(built: object) -> Iterator[nn.Module]:
    """The networks that a part is, or brings along."""
    if isinstance(built, nn.Module):
        yield built
    elif isinstance(built, Guidance):
        yield from built.networks().values()


def _settle(network: nn.Module) -> None:
    """As a pipeline would hold it; what starts at zero (the last layer, often) gets something to say."""
    network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.is_floating_point() and not parameter.any():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
