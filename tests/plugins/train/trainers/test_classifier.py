"""Training a classifier of noisy images. Of two Gaussians the best one is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import SIZE, Colours, log_of, make_run
from torch import Tensor, nn

from glidepath.core.errors import PartError
from glidepath.plugins.train.configs import TrainingConfig
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch, batch_at
from glidepath.plugins.train.losses.configs import ImportanceConfig
from glidepath.plugins.train.losses.density import ImportanceDensity
from glidepath.plugins.train.run.run import Run, Trainer
from glidepath.plugins.train.run.trainable import build
from glidepath.plugins.train.scale.group import ALONE
from glidepath.plugins.train.stages.timed import HELD_OUT_LEVELS
from glidepath.plugins.train.trainers.classifier import ClassifierTrainer, ClassifyingStage
from glidepath.plugins.train.trainers.configs import ClassifierTrainerConfig
from glidepath.registry import assemble
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

NOWHERE = Path("nowhere")
VALUES = 3 * SIZE * SIZE
MEAN, DEVIATION, SHARE = 0.05, 0.5, 0.3


class TwoGaussians:
    """Images of two classes: N(-m, s^2) and, as a share of them, N(m, s^2), every value by itself."""

    def __init__(self) -> None:
        self.validation: TwoGaussians | None = None

    def labels(self, seed: int, step: int, size: int) -> Tensor:
        return (torch.rand(size, generator=draws.generator(seed, step, draws.ORDER)) < SHARE).long()

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        means = (2 * self.labels(seed, step, size) - 1) * MEAN
        noise = torch.randn(size, 3, SIZE, SIZE, generator=draws.generator(seed, step, draws.SAMPLE))
        return means[:, None, None, None] + DEVIATION * noise, [""] * size


def log_odds(run: Run, x_t: Tensor, t: Tensor) -> Tensor:
    """log p(1 given x_t) - log p(0 given x_t), by Bayes' theorem: [B] float64.

    q(x_t given k) = N(alpha mu_k, alpha^2 s^2 + sigma^2) in every value.
    """
    alpha, sigma = run.schedule.alpha_sigma(t.long())
    variance = alpha**2 * DEVIATION**2 + sigma**2
    return 2 * alpha * MEAN * x_t.double().flatten(1).sum(1) / variance + math.log(SHARE / (1 - SHARE))


class Best(nn.Module):
    """The best classifier there is."""

    num_classes = 2

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run, self.nothing = run, nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        odds = log_odds(self.run, x, t).float()
        return torch.stack([torch.zeros_like(odds), odds + self.nothing], dim=1)


class Small(nn.Module):
    """A linear function of x, of which size and shift are learned by time."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.towards = nn.Linear(VALUES, 1)
        self.by_time = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 2))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.seen = [*self.seen[-1:], (x.detach().clone(), t)]
        phase = t[:, None] * torch.pi / 100
        factor, shift = self.by_time(torch.cat([phase, phase.sin(), phase.cos()], dim=1)).unbind(1)
        odds = self.towards(x.flatten(1))[:, 0] * factor + shift
        return torch.stack([torch.zeros_like(odds), odds], dim=1)


class Linear(nn.Module):
    """Logits that are linear in x."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, VALUES) / 10)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.seen = [x.detach()]
        return x.flatten(1) @ self.weight.T


def small(made: type[nn.Module] = Small) -> Any:
    torch.manual_seed(3)
    return made()


def config(**changes: Any) -> ClassifierTrainerConfig:
    values: dict[str, Any] = {
        "classifier": None,
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
    return ClassifierTrainerConfig(**(values | changes))


def run_of(folder: Path, **changes: Any) -> Run:
    return make_run(folder, dataset=TwoGaussians(), **changes)


def test_it_is_a_trainer() -> None:
    assert isinstance(ClassifierTrainer(config(), classifier=small()), Trainer)


def test_the_gradient_is_that_of_the_cross_entropy_in_float64() -> None:
    """Of logits W x_t: (softmax - label) x_t^T, the mean over the batch."""
    made = small(Linear)
    run = run_of(NOWHERE)
    stage = ClassifyingStage(config(), run, made)
    batch = batch_at(run.dataset, (), 0, 0, 32)
    stage.loss(batch, draws.generator(0, 0)).backward()
    x = made.seen[0].double().flatten(1)
    assert batch.labels is not None
    wrong = (x @ made.weight.detach().double().T).exp()
    wrong = wrong / wrong.sum(1, keepdim=True) - torch.eye(2, dtype=torch.float64)[batch.labels]
    torch.testing.assert_close(made.weight.grad.double(), wrong.T @ x / 32, rtol=1e-5, atol=1e-7)


def test_it_reads_x_t_of_every_time() -> None:
    """What is left of x_t after alpha x_0 is sigma times a standard normal, and t is uniform."""
    made, run = small(), run_of(NOWHERE)
    batch = batch_at(run.dataset, (), 0, 0, 2000)
    ClassifyingStage(config(), run, made).loss(batch, draws.generator(0, 0))
    ((x, t),) = made.seen
    alpha, sigma = (it[:, None, None, None] for it in run.schedule.alpha_sigma(t))
    noise = (x - alpha * batch.images) / sigma
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.var()) == pytest.approx(1, abs=0.01)
    assert torch.bincount(t // 10, minlength=10).tolist() == pytest.approx([200] * 10, abs=60)


def test_it_comes_near_the_best_classifier(tmp_path: Path) -> None:
    """So do its probabilities at every level of noise, and the gradient that guidance takes of them."""
    made, run = small(), run_of(tmp_path)
    path = ClassifierTrainer(
        config(steps=200, batch=256, learning_rate=0.01, ema=0.97, decay_share=0.5, probe_every=200),
        classifier=made,
    ).train(run)
    assert path is not None
    before = small()
    made.load_state_dict(load_file(path))  # under its own names, and no others
    x_0, _ = run.dataset.batch(7, 7, 2000)
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(7))
    for level in HELD_OUT_LEVELS:
        t = torch.full((2000,), int(100 * level))
        alpha, sigma = (float(it) for it in run.schedule.alpha_sigma(t[:1]))
        x_t = (alpha * x_0 + sigma * noise).requires_grad_()
        best = log_odds(run, x_t, t)
        logits = made(x_t, t)[:, 1]
        assert lost(best, logits) < 0.01
        assert lost(best, before(x_t, t)[:, 1]) > 0.05
        gradient = torch.autograd.grad(logits.sum(), x_t)[0].mean(0)
        exact = torch.autograd.grad(best.sum(), x_t)[0].mean(0)
        assert float(gradient.mean()) == pytest.approx(float(exact.mean()), rel=0.25)


def lost(best: Tensor, odds: Tensor) -> float:
    """How many nats the log odds cost beside the best, at each image: the mean divergence."""
    p = best.detach().sigmoid()
    one, other = (torch.nn.functional.logsigmoid(it.detach().double()) for it in (odds, -odds))
    entropy = p * p.log() + (1 - p) * (1 - p).log()
    return float((entropy - p * one - (1 - p) * other).mean())


def test_the_probe_tells_how_often_the_class_is_found() -> None:
    """By the best classifier, against the share of a normal distribution that lies on its side."""
    run = run_of(NOWHERE)
    run.dataset.validation = TwoGaussians()  # type: ignore[attr-defined]
    best = Best(run)
    figures = ClassifyingStage(config(batch=500, validation=4000), run, best).probe(
        nn.ModuleDict({"classifier": best})
    )
    assert list(figures) == [*(f"right_at_{level}" for level in HELD_OUT_LEVELS), "held_out"]
    for level in HELD_OUT_LEVELS:
        alpha, sigma = (float(it) for it in run.schedule.alpha_sigma(torch.tensor(int(100 * level))))
        # log odds are N(-+d^2/2 + prior, d^2), d being how many deviations the means are apart
        d = 2 * alpha * MEAN * math.sqrt(VALUES / (alpha**2 * DEVIATION**2 + sigma**2))
        prior = math.log(SHARE / (1 - SHARE))
        sides = torch.special.ndtr(torch.tensor([d / 2 - prior / d, d / 2 + prior / d]))
        expected = float((1 - SHARE) * sides[0] + SHARE * sides[1])
        assert figures[f"right_at_{level}"] == pytest.approx(expected, abs=0.025)


def test_without_held_out_images_a_probe_has_no_held_out_loss() -> None:
    made, run = small(), run_of(NOWHERE)
    averaged = nn.ModuleDict({"classifier": made})
    assert "held_out" not in ClassifyingStage(config(), run, made).probe(averaged)
    assert ClassifyingStage(config(validation=0), run, made).probe(averaged) == {}


@pytest.mark.parametrize("importance", [False, True])
def test_it_resumes_to_the_same_bits(importance: bool, tmp_path: Path) -> None:
    def train(folder: str, stop_after: int | None = None) -> Path | None:
        timesteps = ImportanceDensity(ImportanceConfig(history=1)) if importance else None
        trainer = ClassifierTrainer(config(), classifier=small(), timesteps=timesteps)
        return trainer.train(run_of(tmp_path / folder), stop_after=stop_after)

    whole = train("whole")
    assert train("parts", 7) is None
    parts = train("parts")
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    assert set(load_file(whole)) == set(small().state_dict())
    assert "right_at_0.5" in log_of(tmp_path / "whole")[-1]


def test_a_dataset_without_labels_is_refused() -> None:
    with pytest.raises(PartError, match=r"learns class labels of images, and the dataset has none"):
        ClassifyingStage(config(), make_run(NOWHERE, dataset=Colours()), small())


def test_a_label_that_is_none_of_its_classes_is_refused() -> None:
    stage = ClassifyingStage(config(), run_of(NOWHERE), small())
    batch = Batch(torch.zeros(1, 3, SIZE, SIZE), [""], labels=torch.tensor([2]))
    with pytest.raises(PartError, match="the dataset gives label 2, and the classifier has classes 0 to 1"):
        stage.loss(batch, draws.generator(0, 0))


SPEC = """
extends: {parts}
guidance:
  - use: classifier
    classifier:
      use: adm-classifier
      image_size: 8
      num_classes: 2
      channels: 32
      channel_mult: [1]
      res_blocks: 1
      attention_resolutions: []
      head_channels: 16
data: {{use: table, file: table.csv, size: 8, label: label}}
train: {{use: classifier, steps: 2, batch: 2, classifier: "${{guidance.0.classifier}}"}}
"""


def test_the_guidance_of_another_spec_takes_the_weights(tmp_path: Path) -> None:
    """A spec of labels trains ADM's classifier, whose file the guidance then reads."""
    from PIL import Image
    from tests.plugins.train.tiny import PARTS

    (tmp_path / "parts.yaml").write_text(PARTS)
    for index in (0, 1):
        Image.new("RGB", (8, 8), (255 * index, 0, 0)).save(tmp_path / f"{index}.png")
    rows = "".join(f"{index}.png,red,{index}\n" for index in (0, 1))
    (tmp_path / "table.csv").write_text(f"file_name,text,label\n{rows}")
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(parts="./parts.yaml"))
    catalogue = load_catalogue()
    plan = make_plan(read_spec(str(spec), [], catalogue=catalogue), catalogue)
    trainer, run = build(plan, catalogue, tmp_path / "run", torch.device("cpu"), ALONE)
    assert isinstance(trainer, ClassifierTrainer)
    assert isinstance(trainer.config, TrainingConfig)
    path = trainer.train(run)
    assert path is not None
    pipeline = assemble(spec, [f"guidance[0].classifier.weights={path}"])
    (guidance,) = pipeline.guidance
    found = guidance.networks()["classifier"].state_dict()
    assert all(torch.equal(found[name], value) for name, value in load_file(path).items())
