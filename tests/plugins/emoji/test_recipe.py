"""The recipe, and training by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from glidepath.registry import load_catalogue, main, make_plan, read_spec

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


def test_the_recipe_can_be_planned_without_a_table() -> None:
    catalogue = load_catalogue()
    plan = make_plan(read_spec("emoji", catalogue=catalogue), catalogue)
    assert {"denoiser", "text_encoder", "schedule", "sampler", "data", "train"} <= set(plan.parts)


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
