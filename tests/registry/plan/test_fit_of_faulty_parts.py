"""Whether parts fit is judged beside their own faults, by what of them is sound: all is told in one run."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from tests.registry.made_up import COMPONENTS, make_catalogue

from glidepath.registry.describe.component import Component, Need
from glidepath.registry.describe.fields import Slot
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.planner import Planner, make_plan
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.problems import Problem, Problems, SpecError

SPEC = """\
schedule: cosine
text_encoder: {use: transformer, width: 512}
denoiser: {use: tiny-unet, text_width: 64, channels: 64}
sampler: {use: ddim, steps: 20}
"""

ToFaults = Callable[..., tuple[Problem, ...]]
MISFIT = "denoiser.text_width"


def paths(problems: tuple[Problem, ...]) -> set[str]:
    return {problem.path for problem in problems}


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ("guidanse: []", "guidanse"),
        ("guidance: [{use: classifier-free, scale: -1}]", "guidance[0].scale"),
        ("runtime: {dtype: float23}", "runtime.dtype"),
        ("codec: no-such", "codec"),
        ("weights: x.txt", "weights"),
        ("plugins: {require: {absent: '>=1'}}", "plugins.require.absent"),
    ],
)
def test_a_fault_elsewhere_hides_no_misfit(faults: ToFaults, fault: str, path: str) -> None:
    assert paths(faults(f"{SPEC}{fault}\n")) == {path, MISFIT}


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("channels: 64", "channels: 0", "denoiser.channels"),
        ("channels: 64", "channels: wide", "denoiser.channels"),
        ("channels: 64", "chanels: 64", "denoiser.chanels"),
        ("channels: 64", "zzz: 64", "denoiser.zzz"),
        ("width: 512", "width: 512, layers: 3.5", "text_encoder.layers"),
        ("width: 512", "width: 512, tokenizer: wrods", "text_encoder.tokenizer"),
        ("steps: 20", "stepz: 20", "sampler.stepz"),
    ],
)
def test_a_fault_of_another_parameter_hides_no_misfit(
    faults: ToFaults, before: str, after: str, path: str
) -> None:
    assert paths(faults(SPEC.replace(before, after, 1))) == {path, MISFIT}


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("text_width: 64", "text_width: wide", "denoiser.text_width"),
        ("text_width: 64", "text_widht: 64", "denoiser.text_widht"),
        ("width: 512", "width: wide", "text_encoder.width"),
        ("width: 512", "widht: 512", "text_encoder.widht"),
        ("transformer", "transfomer", "text_encoder"),
    ],
)
def test_what_depends_on_a_fault_is_not_judged(faults: ToFaults, before: str, after: str, path: str) -> None:
    # the width that stands in the place of a misspelt one is a default, which may not be what is meant
    assert paths(faults(SPEC.replace(before, after, 1))) == {path}


def test_a_part_with_a_fault_may_be_what_another_needs(faults: ToFaults) -> None:
    text = SPEC.replace("denoiser: {use: tiny-unet, text_width: 64, channels: 64}", "denoiser: tiny-unet")
    problems = faults(text.replace("cosine", "{use: cosine, num_steps: many}"))
    assert paths(problems) == {"schedule.num_steps"}


def test_each_fault_of_a_part_and_each_misfit_is_told_once(faults: ToFaults) -> None:
    text = SPEC.replace("channels: 64", "channels: 0, chanels: 3").replace("cosine", "cosin")
    problems = faults(text)
    assert paths(problems) == {"schedule", "denoiser.channels", "denoiser.chanels", MISFIT}
    assert len(problems) == 4


@attrs.frozen(kw_only=True)
class PairConfig:
    low: int = 0
    high: int = 10
    size: int = 8


def _checked(config: PairConfig) -> list[tuple[str, str]]:
    return [("low", "low is above high")] if config.low > config.high else []


def _whole(config: PairConfig) -> list[tuple[str, str]]:
    return [("", "nothing of it will do")] if config.low > config.high else []


def _tested(config: PairConfig) -> dict[str, Need]:
    # the test asks for a parameter later than the need is stated
    return {"pair.size": Need(field="size", test=lambda size: "too small" if size < config.size else "")}


def _unlike(config: PairConfig) -> dict[str, Need]:
    return {"pair.size": Need(value=config.size, field="size")}


PAIRS = make_catalogue(
    components=(
        *COMPONENTS,
        Component(
            kind="codec",
            name="giver",
            target="x:Y",
            summary="x",
            config=PairConfig,
            check=_checked,
            provides=lambda config: {"pair.size": config.size},
        ),
        Component(
            kind="codec",
            name="none",
            target="x:Y",
            summary="x",
            config=PairConfig,
            check=_whole,
            provides=lambda config: {"pair.size": config.size},
        ),
        Component(
            kind="guidance", name="tested", target="x:Y", summary="x", config=PairConfig, needs=_tested
        ),
        Component(
            kind="guidance", name="unlike", target="x:Y", summary="x", config=PairConfig, needs=_unlike
        ),
    )
)
PAIR = "schedule: cosine\ndenoiser: tiny-unet\nsampler: ddim\n"


def of_pair(text: str) -> set[str]:
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(PAIR + text, "s.yaml", catalogue=PAIRS), PAIRS)
    return paths(caught.value.problems)


def test_what_a_check_refuses_hides_no_misfit_of_other_parameters() -> None:
    text = "codec: {use: giver, low: 20, size: 4}\nguidance: [{use: unlike, size: 8}]\n"
    assert of_pair(text) == {"codec.low", "guidance[0].size"}


def test_a_part_that_a_check_refuses_whole_is_not_judged() -> None:
    assert of_pair("codec: {use: none, low: 20, size: 4}\nguidance: [{use: unlike, size: 8}]\n") == {"codec"}


def test_a_check_is_asked_of_a_part_with_a_fault_of_another_parameter() -> None:
    assert of_pair("codec: {use: giver, low: 20, size: wide}\n") == {"codec.low", "codec.size"}
    assert of_pair("codec: {use: giver, low: deep, size: 3}\n") == {"codec.low"}


def test_a_test_that_asks_for_a_parameter_with_a_fault_finds_nothing() -> None:
    assert of_pair("codec: giver\nguidance: [{use: tested, size: wide}]\n") == {"guidance[0].size"}
    assert of_pair("codec: giver\nguidance: [{use: tested, size: 9, low: deep}]\n") == {
        "guidance[0].size",
        "guidance[0].low",
    }


def test_a_part_with_faults_is_given_to_nobody() -> None:
    for text in ("{use: giver, size: wide}", "{use: ensemble, first: {use: tiny-unet, channels: 0}}"):
        faults = Problems()
        kind = "codec" if "giver" in text else "denoiser"
        node = parse_spec(f"{kind}: {text}\n", "s.yaml", catalogue=PAIRS).root.items[kind].node
        assert Planner(PAIRS, faults).part(node, Slot(kind), kind) is None
        assert len(faults) == 1
        assert Planner(PAIRS, Problems()).part(node, Slot(kind, many=True), kind) == ()


def test_a_stage_with_a_fault_is_held_against_its_place_as_far_as_it_can_be() -> None:
    catalogue = make_catalogue(
        components=(
            *COMPONENTS,
            Component(
                kind="denoiser",
                name="up",
                target="x:Y",
                summary="x",
                config=PairConfig,
                provides=lambda config: {"image.upsamples": True, "image.size": config.size},
            ),
        )
    )
    stage = "{schedule: cosine, sampler: ddim, denoiser: "
    text = f"stages:\n  one: {stage}{{use: up, low: deep}}}}\n  two: {stage}{{use: up, size: wide}}}}\n"
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(text, "s.yaml", catalogue=catalogue), catalogue)
    assert paths(caught.value.problems) == {
        "stages.one.denoiser.low",
        "stages.one.denoiser",  # an upsampler at the beginning
        "stages.two.denoiser.size",
    }


def test_a_plan_without_faults_has_whole_parts(plan: Callable[..., object]) -> None:
    made = plan(SPEC.replace("text_width: 64", "text_width: 512"))
    part = made.parts["denoiser"]  # type: ignore[attr-defined]
    assert isinstance(part, PartPlan)
    assert attrs.asdict(part.config)["text_width"] == 512
