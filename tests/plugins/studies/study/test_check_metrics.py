"""What a metric may judge with, and what it needs of the arms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glidepath.plugins.studies.metrics.clip_score import ClipScore
from glidepath.plugins.studies.metrics.configs import ClipScoreConfig
from glidepath.plugins.studies.study.reader import read_study
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.text.problems import SpecError

CLIP = (
    "{use: noised-clip, width: 8, text_width: 16, text_layers: 1, text_heads: 2, context: 4, "
    "vocabulary_rows: null, image_size: 8, image_width: 16, image_layers: 1, image_heads: 2, "
    "timesteps: TIMES, tokenizer: {use: words, vocabulary: [red, green]}, weights: FILE}"
)
STUDY = """\
base: {extends: small.yaml, guidance: [{use: clip, scale: 1.0, clip: GUIDE}]}
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red, green]}
metrics: {primary: {fit: {use: clip-score, clip: JUDGE}}}
"""


def clip(file: str, timesteps: int = 50) -> str:
    return CLIP.replace("FILE", file).replace("TIMES", str(timesteps))


def read(folder: Path, guide: str, judge: str) -> None:
    (folder / "study.yaml").write_text(STUDY.replace("GUIDE", guide).replace("JUDGE", judge))
    read_study(folder / "study.yaml", catalogue=load_catalogue())


@pytest.fixture
def weights(small: Path) -> Path:
    save_file({"x": torch.zeros(1)}, small / "guide.safetensors")
    save_file({"x": torch.ones(1)}, small / "judge.safetensors")
    (small / "copy.safetensors").write_bytes((small / "guide.safetensors").read_bytes())
    return small


def test_the_clip_that_guides_does_not_judge(weights: Path) -> None:
    with pytest.raises(SpecError, match=r"metric fit judges with the clip that guides arm steps=1"):
        read(weights, clip("guide.safetensors"), clip("guide.safetensors"))


def test_a_copy_of_the_guiding_weights_is_the_guiding_clip(weights: Path) -> None:
    with pytest.raises(SpecError, match="it would find that arm the best"):
        read(weights, clip("guide.safetensors"), clip("copy.safetensors", timesteps=0))


def test_another_clip_judges(weights: Path) -> None:
    read(weights, clip("guide.safetensors"), clip("judge.safetensors"))
    read(weights, clip("guide.safetensors"), clip("judge.safetensors", timesteps=0))


def test_what_a_metric_needs_of_the_arms_is_checked_before_they_run(weights: Path) -> None:
    with pytest.raises(SpecError, match=r"needs schedule.num_steps 49, and schedule \(cosine\) gives 50"):
        read(weights, clip("guide.safetensors"), clip("judge.safetensors", timesteps=49))


class Known:
    """Sees red as (1, 0) and green as (0, 1), whatever the size."""

    noised = False
    image_size = 4

    def eval(self) -> Known:
        return self

    def requires_grad_(self, _wanted: bool) -> Known:
        return self

    def embed_texts(self, prompts: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if prompt == "red" else [0.0, 1.0] for prompt in prompts])

    def embed_images(self, x: torch.Tensor, t: torch.Tensor | None) -> torch.Tensor:
        assert t is None
        assert x.shape[2:] == (4, 4)
        return torch.nn.functional.normalize((x.mean((2, 3))[:, :2] + 1).clamp(min=0), dim=1)


def test_the_score_is_a_hundred_times_the_cosine() -> None:
    red = torch.zeros(3, 8, 8, dtype=torch.uint8)
    red[0] = 255
    yellow = red.clone()
    yellow[1] = 255
    metric = ClipScore(ClipScoreConfig(clip=None), clip=Known())
    scores = metric.per_prompt(torch.stack([red, red, yellow]), ["red", "green", "green"])
    assert scores == pytest.approx([100, 0, 100 / 2**0.5], abs=1e-3)
