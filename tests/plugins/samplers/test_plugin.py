"""What the plugin says of its parts, without importing them."""

from __future__ import annotations

import pkgutil
from typing import Any

import pytest

from glidepath.plugins.samplers import configs, grid_configs, multistep_configs, plugin
from glidepath.registry.describe.component import Component

COMPONENTS = {component.name: component for component in plugin.components()}
every_component = pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))


@every_component
@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        (50, ""),
        ("fast27", ""),
        ("uniform20", ""),
        ((0, 10, 999), ""),
        (1001, "cannot take 1001 steps from a section of 1000"),
        ("ddim60", "no whole stride takes exactly 60"),
        ((0, 1000), "timestep 1000 is not a whole number"),
        ("many", "'many' is not a spacing"),
    ],
)
def test_a_sampler_needs_a_schedule_that_has_its_steps(
    component: Component, steps: int | str | tuple[int, ...], fault: str
) -> None:
    need = component.needs(config_class(component)(steps=steps))["schedule.num_steps"]
    assert need.field == "steps"
    assert need.test is not None
    assert need.optional
    said = need.test(1000)
    assert said.startswith(fault)
    assert bool(said) == bool(fault)


def test_only_a_learned_variance_needs_a_denoiser_that_learned_one() -> None:
    def needs(variance: str) -> object:
        config = configs.DdpmConfig(variance=variance)  # type: ignore[arg-type]
        return COMPONENTS["ddpm"].needs(config).get("prediction.learned_variance")

    for variance in ("learned-range", "learned"):
        need = needs(variance)
        assert need is not None
        assert (need.value, need.field) == (True, "variance")  # type: ignore[attr-defined]
    assert needs("auto") is None
    assert needs("fixed-small") is None
    assert needs("fixed-large") is None


def test_a_schedule_without_signal_at_its_end_is_refused_where_that_would_be_infinite() -> None:
    key = "schedule.zero_terminal_snr"
    component = COMPONENTS["dpmpp-2m"]
    assert key not in component.needs(multistep_configs.DpmppConfig())
    assert key not in component.needs(multistep_configs.DpmppConfig(sigmas="karras", sigma_max=80.0))
    for part, config in (
        (component, multistep_configs.DpmppConfig(sigmas="karras")),
        (COMPONENTS["pndm"], configs.PndmConfig()),
    ):
        need = part.needs(config)[key]
        assert need.test is not None
        assert need.test(False) == ""
        assert "infinite" in need.test(True)


def test_a_bound_that_bounds_nothing_is_a_fault() -> None:
    check = COMPONENTS["euler"].check
    assert check(grid_configs.EulerConfig(sigmas="karras", sigma_max=80.0)) == []
    ((field, message),) = check(grid_configs.EulerConfig(sigma_max=80.0))
    assert field == "sigma_max"
    assert "set sigmas: karras" in message


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"sigmas": (1.0, 2.0)}, "sigmas"),
        ({"sigmas": (2.0, 2.0)}, "sigmas"),
        ({"sigmas": ()}, "sigmas"),
        ({"sigmas": (0.0,)}, "sigmas"),
        ({"sigmas": (1.0, -1.0)}, "sigmas"),
        ({"sigmas": (2.0, 1.0), "sigma_max": 80.0}, "sigma_max"),
        ({"sigmas": (2.0, 1.0, 0.0)}, ""),
    ],
)
def test_listed_sigmas_fall_to_the_image(given: dict[str, Any], field: str) -> None:
    config = grid_configs.EulerConfig(steps=5000, **given)
    assert [name for name, _ in COMPONENTS["euler"].check(config)] == [field] * bool(field)
    assert COMPONENTS["euler"].needs(config) == {}


def test_the_form_of_unipc_for_epsilon_begins_with_some_signal() -> None:
    need = COMPONENTS["unipc"].needs(multistep_configs.UniPcConfig(predict_x0=False))[
        "schedule.zero_terminal_snr"
    ]
    assert need.field == "predict_x0"
    assert "schedule.zero_terminal_snr" not in COMPONENTS["unipc"].needs(multistep_configs.UniPcConfig())


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (configs.DdimConfig, "eta", -0.1),
        (configs.DdimConfig, "eta", 1.1),
        (grid_configs.EulerConfig, "temperature", 0.0),
        (grid_configs.EulerConfig, "sigma_max", 0.0),
        (grid_configs.EulerAncestralConfig, "eta", 1.1),
        (multistep_configs.DpmppSdeConfig, "eta", -0.1),
        (multistep_configs.UniPcConfig, "order", 4),
        (grid_configs.HeunConfig, "s_churn", -1.0),
        (grid_configs.EulerConfig, "s_noise", 0.0),
        (configs.DdpmConfig, "clip_range", 0.0),
    ],
)
def test_parameters_out_of_range_are_refused(config: type, field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        config(**{field: value})


def config_class(component: Component) -> type[Any]:
    """The class that a descriptor names."""
    named: type[Any] = pkgutil.resolve_name(str(component.config))
    return named
