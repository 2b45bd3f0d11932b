"""Families in specs: trained, resumed, sampled, replayed. Diffusion as a family is what its pipeline is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glidepath.core import GeneratorPipeline, Pipeline
from glidepath.registry import SpecError, assemble, load_catalogue, main, make_plan, read_spec
from glidepath_families.diffusion import Diffusion

EXAMPLE = Path(__file__).parents[1] / "example.yaml"
TEXT = ["text_encoder={width: 32, layers: 1, heads: 2, pooled_width: 32}"]
SHORT = ["batch=4", "warmup_steps=1", "checkpoint_every=3", "learning_rate=0.003", "ema=0", "log_every=2"]
ROW = {"image_size": [16, 16], "text_width": 32, "width": 16, "depth": 1, "heads": 2}
PYRAMID = {
    "image_size": [16, 16],
    "text_width": 32,
    "width": 8,
    "patch": 2,
    "halvings": 2,
    "layers": 1,
    "latent": 4,
}
FAMILIES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "flow": ({**ROW, "layers": 2, "patch": 8}, ["likelihood"]),
    "autoregressive": (
        {**ROW, "factor": 8, "levels": [4, 4], "code_width": 8},
        [{"use": "reconstruction", "steps": 4}, "next-token"],
    ),
    "vae": (PYRAMID, ["bound"]),
    "gan": (PYRAMID, ["adversarial"]),
}


def changes(family: str) -> dict[str, Any]:
    """What a spec of a family says in place of the example's."""
    generator, objectives = FAMILIES[family]
    return {
        "data": {"use": "shapes", "image_size": 16, "two_objects": 0},
        "generator": {"use": family, **generator},
        "train": {"use": "objectives", "objectives": objectives, "steps": 6},
    }


def spec(family: str, file: Path) -> Path:
    """The example with a small generator of a family, written to a file."""
    layers = {"extends": str(EXAMPLE), "generator": None, "train": None, "data": None}
    file.with_name("base.yaml").write_text(json.dumps(layers))
    file.write_text(json.dumps({"extends": "base.yaml", **changes(family)}))
    return file


def settings() -> list[str]:
    all_of = [*TEXT, *(f"train.{change}" for change in SHORT)]
    return [argument for change in all_of for argument in ("--set", change)]


def test_the_example_is_a_spec() -> None:
    catalogue = load_catalogue()
    plan = make_plan(read_spec(str(EXAMPLE), catalogue=catalogue), catalogue)
    assert plan.model_slot == "generator"
    with pytest.raises(SpecError, match="the width of the text's tokens"):
        make_plan(read_spec(str(EXAMPLE), ["generator.text_width=7"], catalogue=catalogue), catalogue)
    with pytest.raises(SpecError, match="no multiples of 3"):
        make_plan(read_spec(str(EXAMPLE), ["generator.factor=3"], catalogue=catalogue), catalogue)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_trained_and_resumed_exactly_and_its_images_replayed(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = spec(family, tmp_path / "spec.yaml")
    command = ["train", str(file), *settings(), "--out"]
    assert main([*command, "whole"]) == 0
    assert main([*command, "parts", "--steps-now", "5"]) == 0
    assert main([*command, "parts"]) == 0
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert main(["sample", "a red star", "--spec", "whole/spec.yaml", "--out", "x.png", "--seed", "3"]) == 0
    assert main(["replay", "x.png"]) == 0


def test_the_study_trains_each_family_once_for_each_seed_whatever_samples_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["study", "plan", str(EXAMPLE.with_name("study.yaml")), "--no-probe"]) == 0
    printed = capsys.readouterr().out
    assert "6 arms, 18 trials" in printed
    assert re.search(r"^train +15 ", printed, re.MULTILINE), printed


def test_diffusion_as_a_family_makes_the_images_of_its_pipeline() -> None:
    names = ("schedule", "denoiser", "sampler", "guidance")
    few = ["sampler.steps=3"]
    plain = assemble("shapes", few)
    assert isinstance(plain, Pipeline)
    assert plain.text_encoder is not None
    catalogue = load_catalogue()
    tree = make_plan(read_spec("shapes", few, catalogue=catalogue), catalogue).tree
    inside = {"use": "diffusion", **{name: tree[name] for name in names}}
    empty = dict.fromkeys((*names, "data", "train", "weights"))
    family = assemble([tree, empty, {"generator": inside}])
    assert isinstance(family, GeneratorPipeline)
    assert isinstance(family.model, Diffusion)
    family.model.denoiser.load_state_dict(plain.denoiser.state_dict())
    assert family.text_encoder is not None
    family.text_encoder.load_state_dict(plain.text_encoder.state_dict())
    prompts = ["a red star", "a large blue ring"]
    assert torch.equal(family(prompts, seed=3), plain(prompts, seed=3))
    assert family.lengths() == [3]
