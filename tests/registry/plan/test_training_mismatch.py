"""Weights that were trained with something else than a spec has are warned of, from their headers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.registry.made_up import COMPONENTS, make_catalogue

from glidepath.registry.assembly.warnings import training_mismatches, training_spec
from glidepath.registry.describe.component import Component, doc
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec

SPEC = """\
schedule: cosine
text_encoder: {use: transformer, width: 512, tokenizer: {use: words, vocabulary: [a, red, star]}}
denoiser: {use: tiny-unet, channels: 64, text_width: 512}
guidance: [{use: classifier-free, scale: 3}]
sampler: {use: ddpm, steps: 150}
weights: w.safetensors
"""

LINEAR = Component(
    kind="schedule",
    name="linear",
    target="x:Y",
    summary="a line",
    provides=lambda _config: {"schedule.num_steps": 1000},
)

Check = Callable[..., list[str]]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The made-up catalogue with a second schedule."""
    return make_catalogue(components=(*COMPONENTS, LINEAR))


def write(file: Path, recorded: object, **header: object) -> None:
    """A file of weights without any, whose header has a training spec."""
    metadata = {"format": "glidepath-weights-1", "spec": json.dumps(recorded), **header}
    text = json.dumps({"__metadata__": metadata}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)


def told(plan: Plan, catalogue: Catalogue) -> list[str]:
    return [problem.what for problem in training_mismatches(plan, catalogue)]


@pytest.fixture
def trained(tmp_path: Path, catalogue: Catalogue) -> dict[str, Any]:
    """What the weights of SPEC were trained with: itself."""
    tree = dict(make_plan(parse_spec(SPEC, "s", catalogue=catalogue, folder=tmp_path), catalogue).tree)
    write(tmp_path / "w.safetensors", tree)
    return tree


@pytest.fixture
def check(trained: object, tmp_path: Path, catalogue: Catalogue) -> Check:
    """The warnings of a spec that is SPEC with changes."""

    def check(*overrides: str, text: str = SPEC) -> list[str]:
        spec = parse_spec(text, "s.yaml", overrides, catalogue=catalogue, folder=tmp_path)
        return told(make_plan(spec, catalogue), catalogue)

    return check


def test_what_the_weights_were_trained_with_is_not_warned_of(check: Check) -> None:
    assert check() == []


@pytest.mark.parametrize(
    "free",
    [
        "sampler=ddim",
        "sampler.steps=20",
        "guidance=[]",
        "guidance[0].scale=9",
        "runtime.dtype=float16",
        "text_encoder.tokenizer.file=words.txt",
    ],
)
def test_what_training_does_not_fix_is_free(check: Check, free: str) -> None:
    assert check(free) == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ("schedule=linear", "schedule is linear, and the weights were trained with cosine"),
        ("schedule.num_steps=500", "schedule.num_steps is 500, and the weights were trained with 1000"),
        ("denoiser.attention=new", "denoiser.attention is new, and the weights were trained with legacy"),
        ("codec=latent", "codec is latent, and the weights were trained with identity"),
        (
            "text_encoder.tokenizer.vocabulary=[b]",
            "text_encoder.tokenizer.vocabulary is [b], and the weights were trained with [a, red, star]",
        ),
        (
            "text_encoder.tokenizer={use: bpe, file: x.json}",
            "text_encoder.tokenizer is bpe, and the weights were trained with words",
        ),
    ],
)
def test_what_training_fixes_is_warned_of_with_both_values(check: Check, changed: str, what: str) -> None:
    overrides = (changed, "denoiser.in_channels=4") if "latent" in changed else (changed,)
    assert what in check(*overrides)


def test_a_warning_has_the_place_of_the_value_and_says_what_would_be_right(
    trained: object, tmp_path: Path, catalogue: Catalogue
) -> None:
    spec = parse_spec(SPEC, "s.yaml", ["schedule=linear"], catalogue=catalogue, folder=tmp_path)
    (problem,) = training_mismatches(make_plan(spec, catalogue), catalogue)
    assert (str(problem.place), problem.path) == ("--set #1", "schedule")
    assert problem.hint.endswith(": write cosine")
    assert "w.safetensors" in problem.hint


def test_a_value_that_is_borrowed_is_warned_of_where_it_is_written(check: Check) -> None:
    text = SPEC.replace("text_width: 512", "text_width: '${text_encoder.width}'")
    assert check("text_encoder.width=256", text=text) == [
        "text_encoder.width is 256, and the weights were trained with 512"
    ]


def test_long_values_that_begin_alike_are_told_apart(
    check: Check, tmp_path: Path, trained: dict[str, Any]
) -> None:
    words = [f"word{number}" for number in range(50)]
    tokenizer = {**trained["text_encoder"]["tokenizer"], "vocabulary": words}
    write(tmp_path / "w.safetensors", {"text_encoder": {**trained["text_encoder"], "tokenizer": tokenizer}})
    (what,) = check(f"text_encoder.tokenizer.vocabulary={[*words, 'more']}")
    assert what.endswith("..., and the weights were trained with another")


def test_a_parameter_that_is_younger_than_the_weights_stood_at_its_default(
    check: Check, tmp_path: Path, trained: dict[str, Any]
) -> None:
    older = {key: value for key, value in trained["schedule"].items() if key != "num_steps"}
    write(tmp_path / "w.safetensors", {**trained, "schedule": older})
    assert check() == []
    assert check("schedule.num_steps=700") == [
        "schedule.num_steps is 700, and the weights were trained with 1000"
    ]


def test_weights_of_a_part_are_compared_with_that_part_and_the_schedule(
    check: Check, tmp_path: Path, trained: dict[str, Any]
) -> None:
    write(tmp_path / "d.safetensors", trained)
    own = SPEC.replace("channels: 64", "channels: 64, weights: d.safetensors").replace("weights: w", "#")
    assert check(text=own) == []
    assert check("schedule=linear", "denoiser.channels=32", "text_encoder.layers=3", text=own) == [
        "schedule is linear, and the weights were trained with cosine",
        "denoiser.channels is 32, and the weights were trained with 64",
    ]
    encoder = SPEC.replace("width: 512,", "width: 512, weights: d.safetensors,", 1).replace("weights: w", "#")
    assert check("schedule=linear", "text_encoder.layers=3", text=encoder) == [
        "text_encoder.layers is 3, and the weights were trained with 16"
    ]


def test_weights_that_a_trainer_was_given_are_compared_with_what_it_was_given(
    check: Check, tmp_path: Path, trained: dict[str, Any]
) -> None:
    given = {**trained["denoiser"], "channels": 96}
    write(tmp_path / "d.safetensors", {**trained, "train": {"use": "acme/trainer", "worse": given}})
    own = SPEC.replace("channels: 64", "channels: 64, weights: d.safetensors")
    assert check(text=own) == ["denoiser.channels is 64, and the weights were trained with 96"]


def test_the_stages_of_a_cascade_are_compared_each_with_its_own_file(check: Check, tmp_path: Path) -> None:
    stage = "\n".join(f"    {line}" for line in SPEC.splitlines())
    upsampler = Component(
        kind="denoiser",
        name="up",
        target="x:Y",
        summary="enlarges",
        provides=lambda _config: {"image.upsamples": True, "prediction.learned_variance": True},
    )
    catalogue = make_catalogue(components=(*COMPONENTS, LINEAR, upsampler))
    text = f"stages:\n  one:\n{stage}\n  two: {{schedule: cosine, denoiser: up, sampler: ddpm}}\n"
    spec = parse_spec(text, "s", ["stages.one.schedule=linear"], catalogue=catalogue, folder=tmp_path)
    assert told(make_plan(spec, catalogue), catalogue) == [
        "stages.one.schedule is linear, and the weights were trained with cosine"
    ]


def test_a_parameter_can_be_declared_free(tmp_path: Path) -> None:
    @attrs.frozen(kw_only=True)
    class Config:
        dropout: float = attrs.field(default=0.0, metadata=doc("of training", free=True))
        depth: int = attrs.field(default=1, metadata=doc("how deep"))

    free = Component(kind="denoiser", name="free", target="x:Y", summary="x", config=Config)
    catalogue = make_catalogue(components=(*COMPONENTS, free))
    text = "schedule: cosine\ndenoiser: {use: free, dropout: 0.5, depth: 2}\nsampler: ddim\nweights: w.pt\n"
    plan = make_plan(parse_spec(text, "s", catalogue=catalogue, folder=tmp_path), catalogue)
    write(tmp_path / "w.pt", {"denoiser": {"use": "glidepath-diffusion/free", "dropout": 0.1, "depth": 2}})
    assert told(plan, catalogue) == []
    write(tmp_path / "w.pt", {"denoiser": {"use": "glidepath-diffusion/free", "dropout": 0.1, "depth": 3}})
    assert told(plan, catalogue) == ["denoiser.depth is 2, and the weights were trained with 3"]


def test_a_part_that_holds_the_one_of_the_training_is_compared_by_that(
    check: Check, tmp_path: Path, trained: dict[str, Any]
) -> None:
    inner = "{use: ensemble, first: {use: tiny-unet, channels: 64, text_width: 512}}"
    text = SPEC.replace("{use: tiny-unet, channels: 64, text_width: 512}", inner)
    assert check(text=text) == []
    assert check("denoiser.first.channels=96", text=text) == [
        "denoiser.first.channels is 96, and the weights were trained with 64"
    ]


def test_components_of_one_name_are_told_by_their_distributions(
    check: Check, tmp_path: Path, trained: dict[str, Any]
) -> None:
    write(tmp_path / "w.safetensors", {**trained, "schedule": {"use": "acme/cosine"}})
    assert check() == [
        "schedule is glidepath-diffusion/cosine, and the weights were trained with acme/cosine"
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"PK\x03\x04 a zip",
        b"\x80\x02 a pickle",
        b"\xff" * 100,
        (2).to_bytes(8, "little") + b"{}",
        (12).to_bytes(8, "little") + b'{"a": "b"}..',
        (27).to_bytes(8, "little") + b'{"__metadata__": {"spec":1}',
        (28).to_bytes(8, "little") + b'{"__metadata__": {"spec":1}}',
        (31).to_bytes(8, "little") + b'{"__metadata__": {"spec":"[1]"}}'[:31],
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
)
def test_a_file_that_says_nothing_of_its_training_is_passed_over(
    check: Check, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "w.safetensors").write_bytes(data)
    assert training_spec(tmp_path / "w.safetensors") is None
    assert check("schedule=linear") == []


@pytest.mark.parametrize("recorded", [[], "x", {"schedule": 3}, {"schedule": {"use": 4}}, {"train": [1]}, {}])
def test_a_header_that_is_no_spec_is_passed_over(check: Check, tmp_path: Path, recorded: object) -> None:
    write(tmp_path / "w.safetensors", recorded)
    assert check("schedule=linear") == []


def test_a_spec_of_great_length_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors", {"schedule": {"use": "x" * 2_000_000}})
    assert training_spec(tmp_path / "w.safetensors") is None


def test_what_a_header_says_cannot_steer_a_terminal(check: Check, tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors", {"schedule": {"use": "glidepath/\x1b[31mred\n" + "y" * 500}})
    (what,) = check()
    assert what.isprintable()
    assert len(what) < 200


def test_a_file_that_is_absent_and_a_hub_are_passed_over(check: Check) -> None:
    assert check("schedule=linear", "weights=gone.pt") == []
    assert check("schedule=linear", "weights=hub:acme/base/w.safetensors") == []
