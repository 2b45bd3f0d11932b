"""The stage in which a text encoder learns what captions say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.plugins.train.tiny import KnownColours, config, log_of, make_run

from glidepath.core.errors import PartError
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.stages.facts import FactsStage, cross_entropy
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer


def test_the_loss_is_the_mean_over_what_is_not_open() -> None:
    logits, facts = torch.randn(3, 5), torch.tensor([[0, 1], [2, -1], [1, 0]])
    first, second = logits[:, :3].log_softmax(1), logits[:, 3:].log_softmax(1)
    expected = -(first[0, 0] + first[1, 2] + first[2, 1] + second[0, 1] + second[2, 0]) / 5
    torch.testing.assert_close(cross_entropy(logits, facts, (3, 2)), expected)


def test_nothing_said_is_no_loss() -> None:
    assert float(cross_entropy(torch.randn(2, 5), torch.full((2, 2), -1), (3, 2))) == 0.0


def test_the_text_encoder_comes_to_understand(tmp_path: Path) -> None:
    trainer = DiffusionTrainer(
        config(facts_steps=150, facts_learning_rate=0.05, steps=1, log_every=50, probe_every=150)
    )
    trainer.train(make_run(tmp_path, dataset=KnownColours()))
    lines = [line for line in log_of(tmp_path) if line["stage"] == "facts"]
    assert lines[-1]["loss"] < 0.1 < lines[0]["loss"]
    assert lines[-1]["understood"] == 1.0
    assert lines[0]["learning_rate"] != lines[-1]["learning_rate"]


def test_the_stage_has_its_own_learning_rate_and_batch() -> None:
    run = make_run(Path("nowhere"), dataset=KnownColours())
    stage = FactsStage(config(facts_steps=3, facts_batch=5, facts_learning_rate=0.25), run)
    assert (stage.steps, stage.batch, stage.learning_rate) == (3, 5, 0.25)
    images, captions = run.dataset.batch(0, 0, 5)
    assert stage.loss(Batch(images, captions), draws.generator(0, 0)).requires_grad


def test_a_dataset_without_facts_and_a_run_without_a_text_encoder_are_refused() -> None:
    with pytest.raises(PartError, match="no `facts`"):
        FactsStage(config(facts_steps=1), make_run(Path("nowhere")))
    with pytest.raises(PartError, match="facts_steps"):
        FactsStage(config(facts_steps=1), make_run(Path("nowhere"), text_encoder=None))


def test_a_text_encoder_whose_rate_is_zero_stays_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.text_encoder is not None
    before = [value.clone() for value in run.text_encoder.parameters()]
    denoiser = [value.clone() for value in run.denoiser.parameters()]
    DiffusionTrainer(config(steps=3, text_encoder_rate=0.0)).train(run)
    assert all(map(torch.equal, before, run.text_encoder.parameters()))
    assert not all(map(torch.equal, denoiser, run.denoiser.parameters()))
