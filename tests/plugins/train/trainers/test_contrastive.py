"""Training a CLIP."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tests.plugins.train.tiny import COLOURS, SIZE, WORDS, Colours, make_run
from torch import Tensor, nn

from glidepath.core.errors import PartError
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.run.log import LOG
from glidepath.plugins.train.run.run import Trainer
from glidepath.plugins.train.run.trainable import build, check_trainable
from glidepath.plugins.train.scale.group import ALONE
from glidepath.plugins.train.trainers.configs import ContrastiveTrainerConfig
from glidepath.plugins.train.trainers.contrastive import ContrastiveStage, ContrastiveTrainer
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.tensor_file import WeightsError
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

NOWHERE = Path("nowhere")


class TinyClip(nn.Module):
    """A vector for each word, and a linear map of an image's mean colour."""

    def __init__(self, *, noised: bool = True, size: int = SIZE) -> None:
        super().__init__()
        self.noised, self.image_size, self.logit_scale = noised, size, 10.0
        self.words = nn.Embedding(len(WORDS), 4)
        self.colour = nn.Linear(3, 4)
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        return F.normalize(self.words(torch.tensor([WORDS.index(prompt) for prompt in prompts])), dim=1)

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        self.seen = [*self.seen[-1:], (x.detach().clone(), t)]
        return F.normalize(self.colour(x.mean((2, 3))), dim=1)


def config(**changes: Any) -> ContrastiveTrainerConfig:
    values: dict[str, Any] = {
        "steps": 12,
        "batch": 16,
        "learning_rate": 0.02,
        "warmup_steps": 2,
        "ema": 0.5,
        "log_every": 4,
        "probe_every": 6,
        "checkpoint_every": 5,
        "precision": "float32",
    }
    return ContrastiveTrainerConfig(**(values | changes))


def clip(**changes: Any) -> TinyClip:
    torch.manual_seed(3)
    return TinyClip(**changes)


def test_it_is_a_trainer() -> None:
    assert isinstance(ContrastiveTrainer(config(), clip=clip()), Trainer)


def test_the_loss_is_the_mean_of_both_cross_entropies() -> None:
    """Against the loss of each image and each caption, one by one."""
    made = clip(noised=False)
    stage = ContrastiveStage(config(), make_run(NOWHERE), made)
    images = COLOURS[:, :, None, None].expand(4, 3, SIZE, SIZE)
    captions = list(WORDS)
    loss = float(stage.loss(Batch(images, captions), draws.generator(0, 0)).detach())
    of_image, of_text = made.embed_images(images).double(), made.embed_texts(captions).double()
    expected = 0.0
    for index in range(4):
        by_caption = torch.stack([10 * of_image[index] @ text for text in of_text])
        by_image = torch.stack([10 * image @ of_text[index] for image in of_image])
        both = by_caption.log_softmax(0)[index] + by_image.log_softmax(0)[index]
        expected -= float(both.detach()) / 8
    assert loss == pytest.approx(expected, rel=1e-5)


def test_equal_captions_are_no_mistakes_of_one_another() -> None:
    """Whichever of two equal captions an image is told to be, the loss is that of either."""
    stage = ContrastiveStage(config(), make_run(NOWHERE), clip(noised=False))
    images = COLOURS[[0, 0, 1]][:, :, None, None].expand(3, 3, SIZE, SIZE)
    perfect = TinyClip(noised=False)
    with torch.no_grad():
        perfect.colour.weight.copy_(torch.eye(4)[:, :3])
        perfect.colour.bias.zero_()
        perfect.words.weight[:, :3] = COLOURS
        perfect.words.weight[:, 3] = 0
    perfect.logit_scale = 1000.0
    stage.clip = perfect
    loss = float(stage.loss(Batch(images, ["red", "red", "green"]), draws.generator(0, 0)).detach())
    # of two equal captions each takes half: a cross-entropy of log 2 in two of three rows
    assert loss == pytest.approx(2 / 3 * math.log(2), abs=1e-4)


def test_a_noised_clip_reads_x_t_at_timesteps_of_the_whole_chain() -> None:
    made = clip()
    stage = ContrastiveStage(config(), make_run(NOWHERE), made)
    images, captions = Colours().batch(0, 0, 256)
    stage.loss(Batch(images, captions), draws.generator(0, 0))
    ((x, t),) = made.seen
    assert t is not None
    assert not t.is_floating_point()
    assert int(t.min()) < 5
    assert int(t.max()) > 94
    assert float((x - images).abs()[t < 3].max()) < 1.0
    assert float(x[t > 95].std()) == pytest.approx(1.0, abs=0.1)


def test_another_clip_reads_clean_images() -> None:
    made = clip(noised=False)
    images, captions = Colours().batch(0, 0, 8)
    ContrastiveStage(config(), make_run(NOWHERE), made).loss(Batch(images, captions), draws.generator(0, 0))
    ((x, t),) = made.seen
    assert t is None
    assert torch.equal(x, images)


@pytest.mark.thorough
def test_it_learns_to_tell_captions_apart_and_writes_the_clips_own_weights(tmp_path: Path) -> None:
    made = clip()
    path = ContrastiveTrainer(config(steps=60, learning_rate=0.05), clip=made).train(make_run(tmp_path))
    assert path is not None
    assert set(load_file(path)) == set(made.state_dict())
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines[-1]["right"] == 1.0
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_it_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = ContrastiveTrainer(config(), clip=clip()).train(make_run(tmp_path / "whole"))
    run = make_run(tmp_path / "parts")
    assert ContrastiveTrainer(config(), clip=clip()).train(run, stop_after=7) is None
    parts = ContrastiveTrainer(config(), clip=clip()).train(run)
    assert whole is not None
    assert parts is not None
    first, second = load_file(whole), load_file(parts)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_clip_for_images_of_another_size_is_refused() -> None:
    with pytest.raises(PartError, match=r"made for images of 16x16, and the spec's are 8x8"):
        ContrastiveStage(config(), make_run(NOWHERE), clip(size=16))


@pytest.mark.parametrize("anew", [True, False])
def test_a_clip_is_trained_from_its_weights_when_told_and_else_from_scratch(
    anew: bool, tmp_path: Path
) -> None:
    catalogue = load_catalogue()
    begins = "false" if anew else "true"
    options = ["guidance[0].clip.weights=nowhere.safetensors", f"train.init_from_weights={begins}"]
    plan = make_plan(read_spec("shapes-clip-training", options, catalogue=catalogue), catalogue)
    check_trainable(plan, catalogue)
    if anew:
        trainer, _run = build(plan, catalogue, tmp_path, torch.device("cpu"), ALONE)
        assert isinstance(trainer, ContrastiveTrainer)
    else:
        with pytest.raises(WeightsError, match="nowhere"):
            build(plan, catalogue, tmp_path, torch.device("cpu"), ALONE)
