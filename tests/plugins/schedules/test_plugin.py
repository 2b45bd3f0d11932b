"""What the plugin says of its parts, without importing them."""

from __future__ import annotations

import pkgutil
from typing import Any

import pytest

from glidepath.plugins.schedules import configs, plugin
from glidepath.registry.describe.component import Component

CONTINUOUS = ("edm", "flow")
COMPONENTS = {
    component.name: component for component in plugin.components() if component.name not in CONTINUOUS
}
every_component = pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (configs.LinearConfig, "num_steps", 19),
        (configs.CosineConfig, "num_steps", 0),
        (configs.CosineConfig, "max_beta", 1.01),
        (configs.CosineConfig, "max_beta", 0.0),
        (configs.LinearConfig, "beta_end", 1.01),
        (configs.QuadraticConfig, "beta_start", 0.0),
        (configs.ConstantConfig, "beta", 1.01),
        (configs.WarmUpConfig, "share", 1.1),
        (configs.FlowConfig, "shift", 0.0),
        (configs.EdmConfig, "sigma_min", 0.0),
    ],
)
def test_parameters_out_of_range_are_refused(config: type, field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        config(**{field: value})


def test_20_is_the_smallest_number_of_linear_steps_whose_betas_are_none_above_1() -> None:
    assert configs.LinearConfig(num_steps=20).num_steps == 20


@every_component
def test_a_schedule_provides_its_timesteps(component: Component) -> None:
    provided = component.provides(config_class(component)(num_steps=300, rescale_timesteps=True))
    assert provided == {
        "schedule.num_steps": 300,
        "schedule.rescale_timesteps": True,
        "schedule.time": "t",
        "schedule.zero_terminal_snr": False,
    }


@every_component
def test_noise_levels_in_place_of_timesteps_go_with_neither_rescaling_nor_noise_alone(
    component: Component,
) -> None:
    config = config_class(component)
    assert component.provides(config(time="log-ratio"))["schedule.time"] == "log-ratio"
    assert list(component.check(config(time="log-ratio"))) == []
    for other in ("rescale_timesteps", "zero_terminal_snr"):
        (fault,) = component.check(config(time="log-ratio", **{other: True}))
        assert fault[0] == "time"


@every_component
def test_noise_alone_asks_for_a_denoiser_that_says_what_the_image_is(component: Component) -> None:
    assert component.needs(config_class(component)()) == {}
    need = component.needs(config_class(component)(zero_terminal_snr=True))["prediction.kind"]
    assert (need.value, need.field) == (("velocity", "sample", "flow"), "zero_terminal_snr")


def config_class(component: Component) -> type[Any]:
    """The class that a descriptor names."""
    named: type[Any] = pkgutil.resolve_name(str(component.config))
    return named


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("linear", {"beta_end": 1.0}, "beta_end"),
        ("linear", {"num_steps": 20}, "num_steps"),
        ("cosine", {"max_beta": 1.0}, "max_beta"),
        ("quadratic", {"beta_end": 1.0}, "beta_end"),
        ("constant", {"beta": 1.0, "num_steps": 1}, "beta"),
        ("warm-up", {"beta_end": 1.0, "share": 1.0}, "beta_end"),
    ],
)
def test_a_last_beta_of_1_is_for_denoisers_that_say_what_the_image_is(
    name: str, given: dict[str, Any], field: str
) -> None:
    component = COMPONENTS[name]
    config = config_class(component)(**given)
    need = component.needs(config)["prediction.kind"]
    assert (need.value, need.field) == (("velocity", "sample", "flow"), field)
    assert component.provides(config)["schedule.zero_terminal_snr"] is True
    assert list(component.check(config)) == []
    levels = pkgutil.resolve_name(str(component.target))(config).levels([config.num_steps - 1])
    assert levels.alpha.tolist() == [0, 1]
    assert levels.sigma.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("constant", {"beta": 1.0}, "beta"),
        ("warm-up", {"beta_end": 1.0}, "beta_end"),
        ("quadratic", {"beta_start": 1.0}, "beta_start"),
    ],
)
def test_a_beta_of_1_before_the_end_is_a_problem(name: str, given: dict[str, Any], field: str) -> None:
    component = COMPONENTS[name]
    config = config_class(component)(**given)
    ((at, message),) = component.check(config)
    assert at == field
    assert "before the last timestep" in message
    with pytest.raises(ValueError, match="alpha_bar falls to 0"):
        pkgutil.resolve_name(str(component.target))(config)
