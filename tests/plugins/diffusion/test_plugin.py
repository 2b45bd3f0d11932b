"""What the plugin says of its parts, without importing them."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from typing import Any

import attrs
import pytest

from glidepath.core.codec import Codec
from glidepath.core.guidance import Guidance
from glidepath.core.sampler import Sampler
from glidepath.core.schedule import NoiseSchedule
from glidepath.plugins.diffusion import configs, plugin
from glidepath.registry.describe.component import DOC, Component

COMPONENTS = {component.name: component for component in plugin.components()}
INTERFACES = {"schedule": NoiseSchedule, "sampler": Sampler, "guidance": Guidance, "codec": Codec}


def test_it_supplies_schedules_samplers_guidance_and_codec() -> None:
    assert {name: component.kind for name, component in COMPONENTS.items()} == {
        "linear": "schedule",
        "cosine": "schedule",
        "quadratic": "schedule",
        "constant": "schedule",
        "warm-up": "schedule",
        "ddpm": "sampler",
        "ddim": "sampler",
        "classifier-free": "guidance",
        "identity": "codec",
    }


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_each_part_is_built_from_its_default_parameters(component: Component) -> None:
    module, _, name = component.target.partition(":")
    target = getattr(importlib.import_module(module), name)
    part = target() if component.config is None else target(config_class(component)())
    assert isinstance(part, INTERFACES[component.kind])


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_each_parameter_says_what_it_means(component: Component) -> None:
    assert component.summary
    if component.config is not None:
        for field in attrs.fields(config_class(component)):
            assert field.metadata[DOC], field.name


@pytest.mark.parametrize(
    "component", [c for c in COMPONENTS.values() if c.kind != "codec"], ids=lambda c: c.name
)
def test_each_method_names_its_paper(component: Component) -> None:
    assert all("arXiv:" in reference for reference in component.references)
    assert component.references


def test_describing_the_parts_imports_no_torch() -> None:
    code = (
        "import sys; from pkgutil import resolve_name; from glidepath.plugins.diffusion import plugin;"
        "parts = list(plugin.components());"
        "[part.needs(resolve_name(part.config)()) for part in parts if part.config];"
        "assert 'torch' not in sys.modules"
    )
    path = ":".join(entry for entry in sys.path if entry)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (configs.LinearConfig, "num_steps", 20),
        (configs.CosineConfig, "num_steps", 0),
        (configs.CosineConfig, "max_beta", 1.0),
        (configs.CosineConfig, "max_beta", 0.0),
        (configs.LinearConfig, "beta_end", 1.0),
        (configs.QuadraticConfig, "beta_start", 0.0),
        (configs.ConstantConfig, "beta", 1.0),
        (configs.WarmUpConfig, "share", 1.1),
        (configs.DdimConfig, "eta", -0.1),
        (configs.DdimConfig, "eta", 1.1),
        (configs.ClassifierFreeConfig, "scale", -1.0),
    ],
)
def test_parameters_out_of_range_are_refused(config: type, field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        config(**{field: value})


def test_21_is_the_smallest_number_of_linear_steps_whose_betas_stay_below_1() -> None:
    assert configs.LinearConfig(num_steps=21).num_steps == 21


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
@pytest.mark.parametrize(
    ("steps", "num_steps", "fault"),
    [
        (50, 1000, ""),
        ("fast27", 1000, ""),
        ((0, 10, 999), 1000, ""),
        (50, 40, "cannot take 50 steps from a section of 40"),
        ("ddim60", 1000, "no whole stride takes exactly 60"),
        ((0, 1000), 1000, "timestep 1000 is not a whole number"),
        ("many", 1000, "'many' is not a spacing"),
    ],
)
def test_a_sampler_needs_a_schedule_that_has_its_steps(
    name: str, steps: int | str | tuple[int, ...], num_steps: int, fault: str
) -> None:
    component = COMPONENTS[name]
    need = component.needs(config_class(component)(steps=steps))["schedule.num_steps"]
    assert need.field == "steps"
    assert need.optional
    assert need.test is not None
    assert need.test(num_steps).startswith(fault)
    assert bool(need.test(num_steps)) == bool(fault)


SCHEDULES = ["linear", "cosine", "quadratic", "constant", "warm-up"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_provides_its_timesteps(name: str) -> None:
    component = COMPONENTS[name]
    provided = component.provides(config_class(component)(num_steps=300, rescale_timesteps=True))
    assert provided == {
        "schedule.num_steps": 300,
        "schedule.rescale_timesteps": True,
        "schedule.zero_terminal_snr": False,
    }


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_alone_asks_for_a_denoiser_that_says_what_the_image_is(name: str) -> None:
    component = COMPONENTS[name]
    assert component.needs(config_class(component)()) == {}
    need = component.needs(config_class(component)(zero_terminal_snr=True))["prediction.kind"]
    assert (need.value, need.field) == (("velocity", "sample"), "zero_terminal_snr")


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


def config_class(component: Component) -> type[Any]:
    """The class that a descriptor names."""
    named: type[Any] = pkgutil.resolve_name(str(component.config))
    return named
