"""Training a generator by its objectives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import COLOURS, SIZE, Colours, config, log_of, make_run
from torch import Tensor, nn

from glidepath.core import (
    Conditioning,
    Generator,
    GeneratorPipeline,
    Noise,
    PartError,
    State,
    TextEmbedding,
)
from glidepath.plugins.train.configs import ObjectivesTrainerConfig
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer
from glidepath.plugins.train.trainers.objectives import ObjectivesTrainer


class Flat(Generator):
    """A colour for a text, over a texture that no text changes."""

    image_shape = (3, SIZE, SIZE)
    reads = frozenset({"text"})

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Linear(4, 3)
        self.texture = nn.Parameter(torch.randn(3, SIZE, SIZE))

    def made(self, conditioning: Conditioning) -> Tensor:
        text = conditioning.get("text", TextEmbedding)
        assert text is not None
        made: Tensor = self.colour(text.pooled)[:, :, None, None] + self.texture
        return made

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        made = self.made(conditioning)
        yield State(1, 1, made, made)


class Error:
    """The squared error under a little noise, by a scale that the objective learns beside."""

    def __init__(self, name: str, steps: int | None = None, only: tuple[str, ...] | None = None) -> None:
        self.name, self.steps = name, steps
        if only is not None:
            self.only = only

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        assert isinstance(generator, Flat)
        noise = 0.01 * torch.randn(x_0.shape, generator=draws)
        return (generator.made(conditioning) - x_0 - noise).square().mean()

    def probe(self, generator: Generator, x_0: Tensor, conditioning: Conditioning) -> Mapping[str, float]:
        assert isinstance(generator, Flat)
        return {"error": float((generator.made(conditioning) - x_0).abs().max())}


class Judged(nn.Module, Error):
    """The same, with a network of its own."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.name, self.steps = "judged", None

    def attach(self, generator: Generator) -> None:
        self.scale = nn.Linear(1, 1)

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        return Error.loss(self, generator, x_0, conditioning, draws) + self.scale.weight.square().sum()


def trainer(*objectives: Any, **changes: Any) -> ObjectivesTrainer:
    given = {name: getattr(config(), name) for name in ("batch", "learning_rate", "log_every", "patience")}
    values = {
        **given,
        "steps": 20,
        "ema": 0.5,
        "warmup_steps": 1,
        "checkpoint_every": 5,
        "probe_every": 10,
        "learning_rate": 0.05,
        "precision": "float32",
        "objectives": None,
    }
    return ObjectivesTrainer(ObjectivesTrainerConfig(**(values | changes)), objectives=objectives)


def run_in(folder: Path, **changes: Any) -> Run:
    torch.manual_seed(3)
    parts = {"schedule": None, "slot": "generator", "generator": Flat(), "dataset": Colours()}
    run = make_run(folder, **{**parts, **changes})
    return attrs.evolve(run, denoiser=None)


def test_a_generator_and_its_text_encoder_learn(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    file = trainer(Error("error"), steps=150, caption_dropout=0.0).train(run)
    assert file is not None
    weights = load_file(file)
    assert {name.partition(".")[0] for name in weights} == {"generator", "text_encoder"}
    trained = run_in(tmp_path)
    assert trained.generator is not None
    assert trained.text_encoder is not None
    for slot, network in trained.networks.items():
        own = {name.removeprefix(f"{slot}."): it for name, it in weights.items() if name.startswith(slot)}
        network.load_state_dict(own)
    pipeline = GeneratorPipeline(trained.generator, text_encoder=trained.text_encoder)
    *_, last = pipeline.states(["red", "grey"])
    assert torch.allclose(last.x.mean((2, 3)), COLOURS[[0, 3]], atol=0.15)
    assert log_of(tmp_path)[-1]["error"] < 0.5


def test_stages_follow_one_another_and_each_changes_what_it_says(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert run.generator is not None
    assert run.text_encoder is not None
    before = {name: it.clone() for name, it in run.generator.state_dict().items()}
    words = run.text_encoder.words.weight.clone()
    stages = trainer(Error("first", 5, ("texture",)), Error("last", only=("colour",)), steps=5)
    assert stages.train(run, stop_after=5) is None
    now = run.generator.state_dict()
    assert torch.equal(now["colour.weight"], before["colour.weight"])
    assert not torch.equal(now["texture"], before["texture"])
    texture = now["texture"].clone()
    assert stages.train(run) is not None
    assert torch.equal(run.generator.state_dict()["texture"], texture)
    assert not torch.equal(run.generator.state_dict()["colour.weight"], before["colour.weight"])
    assert torch.equal(run.text_encoder.words.weight, words)


def test_a_network_of_the_objective_learns_beside_and_is_not_kept(tmp_path: Path) -> None:
    judged = Judged()
    file = trainer(judged).train(run_in(tmp_path))
    assert file is not None
    assert not [name for name in load_file(file) if name.startswith("objective")]
    checkpoint = max(tmp_path.glob("**/*.safetensors"), key=lambda it: it.stat().st_size)
    assert "model.objective.scale.weight" in load_file(checkpoint)
    assert float(judged.scale.weight.abs().detach()) < 0.5


def test_a_run_that_was_stopped_comes_to_the_same_weights(tmp_path: Path) -> None:
    def of(name: str, stop: int | None) -> dict[str, Tensor]:
        objectives = [Error("first", 6, ("texture",)), Judged()]
        if stop is not None:
            assert trainer(*objectives).train(run_in(tmp_path / name), stop_after=stop) is None
        file = trainer(*objectives).train(run_in(tmp_path / name))
        assert file is not None
        return load_file(file)

    whole = of("whole", None)
    for stop in (3, 6, 13):
        again = of(f"stopped-{stop}", stop)
        assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_what_trains_a_denoiser_says_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="trains a denoiser, and the spec has a generator in its place"):
        DiffusionTrainer(config()).train(run_in(tmp_path))
    with pytest.raises(PartError, match="train a generator, and this spec has a denoiser"):
        trainer(Error("error")).train(make_run(tmp_path / "other"))


def test_objectives_but_the_last_say_their_steps() -> None:
    with pytest.raises(PartError, match=r"objectives\[0\]\.steps"):
        trainer(Error("one"), Error("other"))
    with pytest.raises(PartError, match="at least one"):
        trainer()
