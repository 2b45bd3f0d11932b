"""A spec that is a mapping, an OmegaConf config, or a list of layers."""

from __future__ import annotations

import enum
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ReadonlyConfigError
from tests.registry.made_up import BASE

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.layers import SpecSource
from glidepath.registry.spec.spec import parse_spec, plugin_switches, read_spec
from glidepath.registry.text.problems import Problem, SpecError

GOOD: dict[str, Any] = {
    "schedule": "cosine",
    "denoiser": {"use": "tiny-unet", "channels": 64},
    "sampler": {"use": "ddpm", "steps": 30},
}


class Colour(enum.Enum):
    RED = 1


@pytest.fixture
def plan(catalogue: Catalogue) -> Callable[..., Plan]:
    return lambda source, *overrides: make_plan(read_spec(source, overrides, catalogue=catalogue), catalogue)


@pytest.fixture
def problem(catalogue: Catalogue) -> Callable[..., Problem]:
    """The only problem of a spec."""

    def problem(source: object, *overrides: str, **options: Any) -> Problem:
        given: Any = source
        with pytest.raises(SpecError) as caught:
            make_plan(read_spec(given, overrides, catalogue=catalogue, **options), catalogue)
        (only,) = caught.value.problems
        return only

    return problem


def with_extra(value: object) -> dict[str, Any]:
    """A spec with a value in a parameter that takes anything."""
    return {**GOOD, "guidance": [{"use": "odd", "extra": value}]}


@pytest.mark.parametrize(
    "source",
    [
        yaml.safe_load(BASE),
        OmegaConf.create(yaml.safe_load(BASE)),
        {"extends": "base"},
        OmegaConf.create({"extends": "base"}),
        ["base"],
        ("base", {}),
        ["base", OmegaConf.create({})],
        [{"schedule": "plain", "sampler": {"use": "ddim", "eta": 1.0}}, yaml.safe_load(BASE)],
        {**yaml.safe_load(BASE), "denoiser": OmegaConf.create(yaml.safe_load(BASE)["denoiser"])},
    ],
)  # fmt: skip
def test_each_form_of_a_spec_gives_the_plan_of_the_equal_file(
    plan: Callable[..., Plan], source: SpecSource
) -> None:
    assert plan(source).tree == plan("base").tree


def test_later_layers_are_merged_over_earlier_ones(plan: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("sampler: {steps: 7}\nguidance: []\n")
    layers = ["base", tmp_path / "more.yaml", {"sampler": {"steps": 8}}, {"text_encoder": None}]
    made = plan([*layers, {"denoiser": {"text_width": None}}])
    assert (made.tree["sampler"]["use"], made.tree["sampler"]["steps"]) == ("glidepath-diffusion/ddpm", 8)
    assert (made.tree["guidance"], "text_encoder" in made.tree) == ([], False)


def test_each_layer_extends_what_it_names(plan: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\nsampler: {steps: 7}\n")
    (tmp_path / "b.yaml").write_text("denoiser: {channels: 128}\n")
    made = plan(["base", {"extends": str(tmp_path / "a.yaml")}])
    assert (made.tree["sampler"]["steps"], made.tree["denoiser"]["channels"]) == (7, 128)


def test_an_override_changes_a_mapping(plan: Callable[..., Plan]) -> None:
    made = plan(GOOD, "sampler.steps=9")
    assert made.tree["sampler"]["steps"] == 9
    assert (made.sources["sampler.steps"], made.sources["denoiser.channels"]) == (
        "--set #1",
        "mapping: denoiser.channels",
    )


def test_a_problem_in_a_mapping_has_its_dotted_path(problem: Callable[..., Problem]) -> None:
    wrong = problem({**GOOD, "sampler": {"use": "ddpm", "stepz": 3}})
    assert str(wrong.place) == "mapping: sampler.stepz"
    assert wrong.render().splitlines()[0] == "mapping: sampler.stepz: sampler ddpm has no parameter 'stepz'"
    assert wrong.hint == "did you mean 'steps'?"
    wrong = problem([GOOD, {"guidance": [{"use": "classifier-free", "scale": "3"}]}])
    assert str(wrong.place) == "mapping 2: guidance[0].scale"
    assert wrong.hint == "write it without quotes: 3"
    assert str(problem(GOOD, "sampler.stepz=3").place) == "--set #1"


def test_problems_of_several_layers_are_told_at_once(catalogue: Catalogue) -> None:
    layers = [{**GOOD, "a": 1}, "nothing.yaml", {"b": {1: 2}}, {"sampler": {"steps": b"3"}}]
    with pytest.raises(SpecError) as caught:
        make_plan(read_spec(layers, catalogue=catalogue), catalogue)
    assert sorted(str(problem.place) for problem in caught.value.problems) == [
        "mapping 1: a",
        "mapping 3: b",
        "mapping 3: b",
        "mapping 4: sampler.steps",
        "nothing.yaml",
    ]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ((1, [2]), [1, [2]]),
        (Path("a/b.txt"), "a/b.txt"),
        (Colour.RED, "RED"),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(7), 7),
        (OmegaConf.create({"a": Colour.RED}), {"a": "RED"}),
        (OmegaConf.create([1, None]), [1, None]),
    ],
)
def test_what_stands_for_a_value_of_yaml_is_read_as_that(
    plan: Callable[..., Plan], value: object, read: object
) -> None:
    made = plan(with_extra(value)).tree["guidance"][0]["extra"]
    assert made == read
    assert type(made) is type(read)


@attrs.frozen
class Something:
    """No value of YAML."""


@pytest.mark.parametrize("value", [b"x", {1, 2}, np.zeros(2), Decimal(1), Something(), 1j, 1 << 2000])
def test_what_yaml_has_no_value_for_is_refused_by_its_path(
    problem: Callable[..., Problem], value: object
) -> None:
    wrong = problem(with_extra({"a": [value]}))
    assert str(wrong.place) == "mapping: guidance[0].extra.a[0]"
    assert "cannot stand in a spec" in wrong.what


def test_a_key_is_text(problem: Callable[..., Problem]) -> None:
    wrong = problem(with_extra({3: "x"}))
    assert (str(wrong.place), wrong.what) == (
        "mapping: guidance[0].extra",
        "a key is text, and '3' is of type int",
    )


def test_a_missing_value_is_told(problem: Callable[..., Problem]) -> None:
    wrong = problem(OmegaConf.create({**GOOD, "sampler": {"use": "ddpm", "steps": "???"}}))
    assert (str(wrong.place), wrong.what) == ("mapping: sampler.steps", "a value must be filled in here")
    assert wrong.hint == "write it, or override it: sampler.steps=VALUE"


def test_an_override_among_layers_is_told_where_it_goes(problem: Callable[..., Problem]) -> None:
    wrong = problem([GOOD, "sampler.steps=4"])
    assert wrong.hint == "it is no layer but an override: overrides=['sampler.steps=4']"


def test_an_interpolation_of_a_config_is_followed(plan: Callable[..., Plan]) -> None:
    config = OmegaConf.create({**GOOD, "guidance": [{"use": "odd", "extra": "${sampler.steps}"}]})
    assert plan(config).tree["guidance"][0]["extra"] == 30


def test_no_resolver_of_the_process_is_called(problem: Callable[..., Problem]) -> None:
    called: list[str] = []
    OmegaConf.register_new_resolver("glidepath_test", called.append)
    OmegaConf.register_new_resolver("oc.env", called.append, replace=True)
    try:
        for text in ("${glidepath_test:x}", "${oc.env:HOME}"):
            wrong = problem(OmegaConf.create(with_extra(text)))
            assert str(wrong.place) == "mapping: guidance[0].extra"
    finally:
        OmegaConf.clear_resolvers()
    assert called == []


def test_a_mapping_of_a_stranger_extends_nothing(problem: Callable[..., Problem]) -> None:
    wrong = problem({**GOOD, "extends": "base"}, untrusted=True)
    assert wrong.what == "a spec that came with an image or a checkpoint extends nothing"


def test_a_mapping_without_end_is_refused(problem: Callable[..., Problem]) -> None:
    endless: dict[str, Any] = {**GOOD}
    endless["a"] = endless
    assert problem(endless).what == "mapping has more than 10,000 values or 50 levels"
    wide: Any = [0, 1]
    for _ in range(20):
        wide = [wide, wide]
    assert problem(with_extra(wide)).what == "mapping has more than 10,000 values or 50 levels"


@pytest.mark.parametrize("source", [None, 3, b"base", [], [None], [["base"]], ["base", 3], {"base"}])
def test_what_names_no_spec_is_told_what_does(catalogue: Catalogue, source: Any) -> None:
    for read in (lambda: read_spec(source, catalogue=catalogue), lambda: plugin_switches(source)):
        with pytest.raises(SpecError, match="a spec is a text, a path, a mapping or a list of these"):
            read()


def test_a_config_of_another_shape_is_no_spec(problem: Callable[..., Problem]) -> None:
    assert problem(DictConfig(None)).what == "a spec is a mapping, and this is null"


def test_switches_are_read_from_mappings_too() -> None:
    layers = [{"plugins": {"deny": ["acme"]}}, OmegaConf.create({"plugins": {"allow": ["shapes"]}})]
    section = plugin_switches(layers)
    assert (section.allow, section.deny) == (("shapes",), ("acme",))


def test_the_config_of_a_spec_is_merged_resolved_and_read_only(catalogue: Catalogue) -> None:
    text = "extends: base\nguidance: [{use: odd, extra: '${sampler.steps}', colour: RED}]\n"
    spec = parse_spec(text, "s", ["sampler.steps=7"], catalogue=catalogue, folder=Path())
    assert isinstance(spec.config, DictConfig)
    assert spec.config.guidance[0].extra == 7
    assert spec.config.schedule == "cosine"
    with pytest.raises(ReadonlyConfigError):
        spec.config.sampler.steps = 8
    again = parse_spec(OmegaConf.to_yaml(spec.config), "s", catalogue=catalogue)
    assert make_plan(again, catalogue).tree == make_plan(spec, catalogue).tree
