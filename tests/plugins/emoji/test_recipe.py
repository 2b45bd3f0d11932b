"""The recipe, and training by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open
from torch.nn import functional

from glidepath.registry import assemble, load_catalogue, main, make_plan, read_spec

from .tiny import written

SMALL = """
extends: emoji
text_encoder: {width: 32, layers: 1, heads: 2, pooled_width: 128}
denoiser:
  image_size: 8
  channels: 32
  channel_mult: [1, 2]
  attention_resolutions: [2]
  head_channels: 8
weights: null
data: {table: TABLE, size: 8}
train: {steps: 2, batch: 4, facts_steps: 2, facts_batch: 4, warmup_steps: 1}
"""


@pytest.mark.parametrize("preset", ["emoji", "emoji-upsample"])
def test_a_recipe_can_be_planned_without_a_table(preset: str) -> None:
    catalogue = load_catalogue()
    plan = make_plan(read_spec(preset, catalogue=catalogue), catalogue)
    assert {"denoiser", "schedule", "sampler", "data", "train"} <= set(plan.parts)


def test_an_image_of_the_embedded_model_is_made_again_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    drawing = ["sample", "a red apple, 3d", "--spec", "emoji", "--set", "sampler.steps=1", "--out", "a.png"]
    assert main(drawing) == 0
    assert main(["replay", "a.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out


def test_the_cascade_averaged_down_is_what_its_first_stage_drew() -> None:
    few = [f"stages.{stage}.sampler.steps=4" for stage in ("base", "upsample")]
    prompts = ["a red apple, 3d", "a purple heart, flat"]
    small = assemble("emoji", overrides=["sampler.steps=4"])(prompts, seed=0).float()
    large = assemble("emoji-64", overrides=few)(prompts, seed=0).float()
    assert large.shape == (2, 3, 64, 64)
    means = functional.avg_pool2d(large, 2)
    # nearer to its own than to the other: of 255, some levels against some fifty
    own, other = (means - small).abs().mean(), (means - small.flip(0)).abs().mean()
    assert own < other / 4


@pytest.mark.thorough
def test_the_recipe_trains_from_a_table_to_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL.replace("TABLE", str(written(tmp_path))), encoding="utf-8")
    assert main(["train", "small.yaml", "--steps-now", "3"]) == 0
    assert main(["train", "small.yaml"]) == 0
    assert "resuming from step 3" in capsys.readouterr().err
    with safe_open("runs/small/weights.safetensors", framework="pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"denoiser", "text_encoder"}  # noqa: SIM118
