"""What the plugin says of its parts, without importing them."""

from __future__ import annotations

import importlib
import math
import pkgutil
from typing import Any

import pytest

from glidepath.core.extrapolated import ExtrapolatedGuidance
from glidepath.core.guidance import GuidanceModifier
from glidepath.plugins.guidance import modifier_configs, plugin
from glidepath.plugins.guidance.per_condition import PerConditionGuidance
from glidepath.registry.describe.component import Component

EXTRAPOLATE = (ExtrapolatedGuidance, PerConditionGuidance)
COMPONENTS = {component.name: component for component in plugin.components()}


def target(component: Component) -> Any:
    module, _, name = component.target.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_what_it_provides_and_needs_follows_what_it_is(component: Component) -> None:
    needs_parts = component.name == "autoguidance"
    config = config_class(component)(denoiser=None) if needs_parts else config_class(component)()
    provides, needs = component.provides(config), component.needs(config)
    kind = target(component)
    assert ("guidance.unguided" in provides) == issubclass(kind, EXTRAPOLATE)
    assert ("guidance.weight" in provides) != issubclass(kind, GuidanceModifier)
    assert ("before.guidance.weight" in needs) == issubclass(kind, GuidanceModifier)
    if "guidance.weight" in provides:
        assert provides["guidance.weight"] == (kind.scales_by_step)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("classifier-free", {"scale": -1.0}),
        ("rescale", {"phi": 1.1}),
        ("rescale", {"phi": -0.1}),
        ("interval", {"low": -1.0}),
        ("interval", {"high": 0.0}),
        ("scale-schedule", {"power": 0.0}),
        ("scale-schedule", {"floor": -1.0}),
        ("scale-schedule", {"values": ()}),
        ("scale-schedule", {"values": (1.0, -1.0)}),
        ("dynamic-threshold", {"percentile": 0.0}),
        ("dynamic-threshold", {"percentile": 99.5}),
        ("apg", {"scale": -1.0}),
        ("apg", {"eta": -1.0}),
        ("apg", {"norm_threshold": 0.0}),
        ("apg", {"momentum": 1.0}),
        ("autoguidance", {"scale": -1.0, "denoiser": None}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, change: dict[str, Any]) -> None:
    config = config_class(COMPONENTS[name])
    with pytest.raises(ValueError, match=next(iter(change))):
        config(**change)


def test_an_interval_without_any_level_is_a_fault() -> None:
    check = COMPONENTS["interval"].check
    assert check(modifier_configs.IntervalConfig()) == []
    assert check(modifier_configs.IntervalConfig(low=0.2, high=math.inf)) == []
    ((field, message),) = check(modifier_configs.IntervalConfig(low=2.0, high=2.0))
    assert field == "low"
    assert "no noise level above 2.0 and up to 2.0" in message


def config_class(component: Component) -> type[Any]:
    """The class that a descriptor names."""
    named: type[Any] = pkgutil.resolve_name(str(component.config))
    return named
