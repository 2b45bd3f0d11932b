"""Guidances stack in any order that means something, and `check` refuses the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from glidepath.core.pipeline import Pipeline
from glidepath.registry.assembly.build import assemble, build_pipeline
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.problems import Problem, SpecError

pytestmark = pytest.mark.thorough

CATALOGUE = load_catalogue(environ={}, no_plugins=True)
UNET = (
    "{use: adm-unet, image_size: 8, channels: 32, channel_mult: [1], res_blocks: 1, "
    "attention_resolutions: [], head_channels: 16, text_width: 32, learned_variance: false}"
)
SPEC = f"""\
schedule: cosine
text_encoder:
  use: transformer
  width: 32
  layers: 1
  heads: 2
  context: 4
  pooled_width: 128
  tokenizer: {{use: words, vocabulary: [a, red, ring]}}
denoiser: {UNET}
sampler: {{use: ddim, steps: 3}}
runtime: {{device: cpu, dtype: float32}}
"""
CLASSIFIER = (
    "{use: adm-classifier, image_size: 8, num_classes: 4, channels: 32, channel_mult: [1], res_blocks: 1, "
    "attention_resolutions: [], head_channels: 16}"
)
CONTRASTS = ("classifier-free", "apg", "autoguidance", "per-condition")
MODIFIERS = ("interval", "scale-schedule")
ENTRIES = {
    "classifier-free": "{use: classifier-free, scale: 3}",
    "apg": "{use: apg, scale: 3}",
    "autoguidance": f"{{use: autoguidance, scale: 3, denoiser: {UNET}}}",
    "classifier": f"{{use: classifier, scale: 2, classifier: {CLASSIFIER}}}",
    "per-condition": "{use: per-condition, scales: {text: 3}}",
    "rescale": "{use: rescale}",
    "dynamic-threshold": "{use: dynamic-threshold}",
    "interval": "{use: interval, low: 0.1, high: 5}",
    "scale-schedule": "{use: scale-schedule, shape: linear}",
}
NEUTRAL = {
    "classifier-free": "{use: classifier-free, scale: 1}",
    "apg": "{use: apg, scale: 1}",
    "autoguidance": f"{{use: autoguidance, scale: 1, denoiser: {UNET}}}",
    "classifier": f"{{use: classifier, scale: 0, classifier: {CLASSIFIER}}}",
    "per-condition": "{use: per-condition, scales: {text: 1}}",
    "rescale": "{use: rescale, phi: 0}",
    "interval": "{use: interval}",
    "scale-schedule": "{use: scale-schedule, shape: constant}",
}


def plan(entries: Sequence[str]) -> Plan:
    text = SPEC + "".join(["guidance:\n", *(f"  - {entry}\n" for entry in entries)] if entries else [])
    return make_plan(parse_spec(text, "s.yaml", (), catalogue=CATALOGUE), CATALOGUE)


def problems(names: Sequence[str]) -> tuple[Problem, ...]:
    try:
        plan([ENTRIES[name] for name in names])
    except SpecError as error:
        return error.problems
    return ()


def makes_sense(names: Sequence[str]) -> bool:
    """A modifier changes what last could be changed, which no threshold can; rescale needs a contrast."""
    changed: str | None = None
    for index, name in enumerate(names):
        if name in MODIFIERS and changed in (None, "dynamic-threshold"):
            return False
        if name == "rescale" and not set(names[:index]) & set(CONTRASTS):
            return False
        changed = changed if name in MODIFIERS else name
    return True


def build(plan: Plan) -> Pipeline:
    made = build_pipeline(plan, CATALOGUE, load=False)
    assert isinstance(made, Pipeline)
    return made


def image(plan: Plan) -> Tensor:
    """The x that a walk ends with, from networks of fixed random weights."""
    pipeline = build(plan)
    for network in (pipeline.denoiser, *(n for g in pipeline.guidance for n in g.networks().values())):
        generator = torch.Generator().manual_seed(3)
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    labels = None if pipeline.num_classes is None else [1, 3]
    *_, last = pipeline.states(["a red ring", "a ring"], labels=labels)
    return last.x


@given(names=st.lists(st.sampled_from(sorted(ENTRIES)), max_size=4))
def test_check_refuses_what_makes_no_sense_and_nothing_else(names: list[str]) -> None:
    assert (not problems(names)) == makes_sense(names)


@given(names=st.lists(st.sampled_from(sorted(ENTRIES)), max_size=4).filter(makes_sense))
@settings(max_examples=15, deadline=None)
def test_every_list_that_check_accepts_makes_images(names: list[str]) -> None:
    made = image(plan([ENTRIES[name] for name in names]))
    assert made.shape == (2, 3, 8, 8)
    assert made.isfinite().all()


@given(names=st.lists(st.sampled_from(sorted(NEUTRAL)), max_size=4).filter(makes_sense))
@settings(max_examples=15, deadline=None)
def test_a_list_of_neutral_values_is_no_guidance_to_the_last_bit(names: list[str]) -> None:
    assert torch.equal(image(plan([NEUTRAL[name] for name in names])), image(plan([])))


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in MODIFIERS and name != "rescale"])
def test_each_guidance_changes_the_image(name: str) -> None:
    assert not torch.equal(image(plan([ENTRIES[name]])), image(plan([])))


@pytest.mark.parametrize("name", ["rescale", *MODIFIERS])
def test_each_change_of_a_guidance_changes_the_image(name: str) -> None:
    first = ENTRIES["classifier-free"]
    assert not torch.equal(image(plan([first, ENTRIES[name]])), image(plan([first])))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["interval"],
            "guidance[0] (interval) needs a part before it in the list that provides guidance.weight",
        ),
        (
            ["classifier-free", "dynamic-threshold", "interval"],
            "guidance[2] (interval) needs guidance.weight true, and guidance[1] (dynamic-threshold) gives "
            "false: it changes how much the guidance before it acts at each step",
        ),
        (
            ["rescale", "classifier-free"],
            "guidance[0] (rescale) needs a part before it in the list that provides guidance.unguided",
        ),
        (
            ["classifier", "rescale"],
            "guidance[1] (rescale) needs a part before it in the list that provides guidance.unguided",
        ),
    ],
)
def test_a_refusal_says_what_is_missing_before_what(names: list[str], message: str) -> None:
    (problem,) = problems(names)
    assert problem.what == message


def test_the_worse_denoiser_has_weights_of_its_own(tmp_path: Path) -> None:
    made = build(plan([ENTRIES["autoguidance"]]))
    (guidance,) = made.guidance
    state = {
        name: torch.full(value.shape, 0.25)
        for name, value in guidance.networks()["denoiser"].state_dict().items()
    }
    save_file(state, tmp_path / "worse.safetensors")
    own = ENTRIES["autoguidance"].replace("learned_variance", "weights: worse.safetensors, learned_variance")
    (tmp_path / "s.yaml").write_text(f"{SPEC}guidance: [{own}]\n", encoding="utf-8")
    loaded = assemble(tmp_path / "s.yaml", catalogue=CATALOGUE)
    assert isinstance(loaded, Pipeline)
    worse = loaded.guidance[0].networks()["denoiser"]
    assert {float(value) for parameter in worse.parameters() for value in parameter.unique()} == {0.25}
    for name, parameter in loaded.denoiser.named_parameters():
        assert torch.equal(parameter, made.denoiser.get_parameter(name))
