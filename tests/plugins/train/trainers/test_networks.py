"""Every network that ships is trained: labels, text, latents; and what of it learns is said by the spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.plugins.train.tiny import SIZE, Colours, TinyDenoiser, TinyTextEncoder, config, make_run, train
from torch import Tensor, nn

from glidepath.core import Codec, Condition, Conditioner, Denoiser, PartError, Request
from glidepath.plugins.dit.configs import DitConfig
from glidepath.plugins.dit.network import Dit
from glidepath.plugins.edm2.configs import Edm2UNetConfig
from glidepath.plugins.edm2.network import Edm2UNet
from glidepath.plugins.schedules.configs import EdmConfig, FlowConfig
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch, batch_at
from glidepath.plugins.train.losses.configs import Edm2WeightingConfig, LogNormalConfig
from glidepath.plugins.train.losses.density import LogNormalDensity
from glidepath.plugins.train.losses.loss import add_noise, predict
from glidepath.plugins.train.losses.weighting import Edm2Weighting
from glidepath.plugins.train.run.checkpoint import CheckpointError, existing
from glidepath.plugins.train.run.run import WEIGHTS, sampling_spec
from glidepath.plugins.train.stages.denoising import DenoisingStage
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer

NOWHERE = Path("nowhere")


class Classes(Colours):
    """Images of four colours, each of which is a class."""

    def labels(self, seed: int, step: int, size: int) -> Tensor:
        images, _ = self.batch(seed, step, size)
        grey = (images[:, 0, 0, 0] == 0) * 3
        return torch.where(grey > 0, grey, images[:, :, 0, 0].argmax(1))


def dit(**changes: Any) -> Dit:
    values: dict[str, Any] = {
        "image_size": SIZE,
        "in_channels": 3,
        "width": 32,
        "depth": 2,
        "heads": 2,
        "learned_variance": False,
    }
    torch.manual_seed(3)
    return Dit(DitConfig(**(values | changes)))


def edm2(**changes: Any) -> Edm2UNet:
    values: dict[str, Any] = {
        "image_size": SIZE,
        "in_channels": 3,
        "channels": 16,
        "channel_mult": (1, 2),
        "res_blocks": 1,
        "attention_resolutions": (4,),
        "head_channels": 16,
        "logvar_channels": 16,
    }
    torch.manual_seed(3)
    return Edm2UNet(Edm2UNetConfig(**(values | changes)))


def run_of(folder: Path, make: Any, **changes: Any) -> Any:
    values = {"text_encoder": None, "dataset": Classes()} | changes
    return attrs.evolve(make_run(folder), denoiser=make, **values)


def error_by_class(run: Any, denoiser: Denoiser, offset: int) -> float:
    """The mean squared error of x_0 where hardly a trace is left of it, told its class or another."""
    batch = batch_at(run.dataset, (), 99, 0, 32)
    assert batch.labels is not None
    t = run.schedule.time_of(torch.full((32,), 2.0, dtype=torch.float64))
    t = t if run.schedule.continuous else t.round().long()
    noise = torch.randn(batch.images.shape, generator=torch.Generator().manual_seed(1))
    x_t, step = add_noise(run.schedule, batch.images, noise, t)
    with torch.no_grad():
        labels = (batch.labels + offset) % 4
        prediction = predict(denoiser.eval(), x_t, step, labels=labels)
    return float((prediction.sample - batch.images).square().mean())


@pytest.mark.thorough
def test_a_dit_learns_its_classes(tmp_path: Path) -> None:
    run = run_of(tmp_path, dit(num_classes=4, predicts="velocity"))
    train(run, steps=120, batch=16, learning_rate=3e-3)
    assert error_by_class(run, run.denoiser, 0) < 0.5 * error_by_class(run, run.denoiser, 1)


@pytest.mark.thorough
def test_a_dit_learns_its_classes_as_a_flow(tmp_path: Path) -> None:
    run = run_of(tmp_path, dit(num_classes=4, predicts="flow"), schedule=FlowSchedule(FlowConfig()))
    train(run, steps=120, batch=16, learning_rate=3e-3)
    assert error_by_class(run, run.denoiser, 0) < 0.5 * error_by_class(run, run.denoiser, 1)


@pytest.mark.thorough
def test_the_network_of_edm2_learns_its_classes(tmp_path: Path) -> None:
    run = run_of(tmp_path, edm2(num_classes=4, null_class=True), schedule=EdmSchedule(EdmConfig()))
    weighting = Edm2Weighting(Edm2WeightingConfig())
    density = LogNormalDensity(LogNormalConfig(mean=0.5))
    settings = config(steps=120, batch=16, learning_rate=1e-2)
    DiffusionTrainer(settings, weighting=weighting, timesteps=density).train(run)
    assert error_by_class(run, run.denoiser, 0) < 0.5 * error_by_class(run, run.denoiser, 1)


def test_the_network_of_edm2_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Its weights are made of unit magnitude before each step, whether the run was stopped or not."""
    for name, stops in (("whole", (None,)), ("stopped", (3, None))):
        for stop in stops:
            made = edm2(num_classes=4, null_class=True)
            run = run_of(tmp_path / name, made, schedule=EdmSchedule(EdmConfig()))
            weighting = Edm2Weighting(Edm2WeightingConfig())
            density = LogNormalDensity(LogNormalConfig(mean=0.5))
            trainer = DiffusionTrainer(config(steps=6), weighting=weighting, timesteps=density)
            trainer.train(run, stop_after=stop)
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "stopped"))
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_a_dit_is_trained_with_a_text(tmp_path: Path) -> None:
    """The text reaches it: its cross-attention begins at 0, and has moved; so has the text encoder."""
    run = run_of(tmp_path, dit(text_width=4), text_encoder=TinyTextEncoder())
    words = run.text_encoder.words.weight.detach().clone()
    train(run, steps=6)
    assert float(run.denoiser.blocks[0].cross_attn.proj.weight.detach().abs().max()) > 0
    assert not torch.equal(run.text_encoder.words.weight, words)


def seen_labels(dropout: float, **changes: Any) -> list[int]:
    made = dit(num_classes=4, **changes)
    seen: list[Tensor] = []
    if changes.get("null_class", True):
        assert made.null_label == 4
    made.y_embedder.register_forward_hook(lambda _module, given, _output: seen.append(given[0]))
    run = run_of(NOWHERE, made)
    stage = DenoisingStage(config(caption_dropout=dropout), run)
    stage.loss(batch_at(run.dataset, (), 0, 0, 400), draws.generator(0, 0))
    (labels,) = seen
    return labels.tolist()


def test_labels_are_dropped_as_often_as_captions() -> None:
    share = seen_labels(0.25).count(4) / 400
    assert abs(share - 0.25) < 3 * (0.25 * 0.75 / 400) ** 0.5
    assert seen_labels(0.0) == Classes().labels(0, 0, 400).tolist()


def test_labels_of_a_network_without_a_null_class_are_never_dropped() -> None:
    assert seen_labels(1.0, null_class=False) == Classes().labels(0, 0, 400).tolist()


def test_a_dataset_without_labels_is_refused_before_the_first_step(tmp_path: Path) -> None:
    run = run_of(tmp_path, dit(num_classes=4), dataset=Colours())
    with pytest.raises(PartError, match=r"reads class labels.*`labels`"):
        train(run)
    assert not existing(tmp_path)


def test_a_label_of_no_class_is_refused() -> None:
    run = run_of(NOWHERE, dit(num_classes=3))
    batch = Batch(torch.zeros(2, 3, SIZE, SIZE), ["", ""], labels=torch.tensor([1, 3]))
    with pytest.raises(PartError, match=r"label 3.*classes 0 to 2"):
        DenoisingStage(config(), run).loss(batch, draws.generator(0, 0))


class Tint(Conditioner):
    """A vector that is learned, and read as `tint`."""

    makes = frozenset({"tint"})

    def __init__(self) -> None:
        super().__init__()
        self.tint = nn.Parameter(torch.randn(3, generator=torch.Generator().manual_seed(2)))

    def conditions(self, request: Request, codec: Codec) -> dict[str, Condition]:
        return {"tint": Condition(self.tint.expand(request.batch, 3))}


class TintedDenoiser(TinyDenoiser):
    def __init__(self) -> None:
        super().__init__(text=False)
        self.reads = frozenset({"tint"})

    def forward(self, x: Tensor, t: Tensor, conditioning: Any) -> Tensor:
        tint = conditioning.get("tint")
        assert tint is not None
        return super().forward(x, t, conditioning) + tint[:, :, None, None]


def tinted(folder: Path) -> Any:
    spec = {"train": {"use": "x"}, "conditioners": [{"use": "acme/tint"}]}
    tint = Tint().eval().requires_grad_(False)
    return run_of(folder, TintedDenoiser(), conditioners=[tint], spec=spec)


def test_conditioners_learn_where_the_spec_says_so(tmp_path: Path) -> None:
    for only, learns in ((None, False), (("denoiser", "conditioners[0]"), True), (("denoiser",), False)):
        run = tinted(tmp_path / str(only))
        before = run.conditioners[0].tint.detach().clone()
        train(run, only=only)
        assert torch.equal(run.conditioners[0].tint, before) is not learns


def test_conditioners_that_learn_have_a_file_of_their_own(tmp_path: Path) -> None:
    trainer = DiffusionTrainer(config(only=("conditioners",)))
    run = tinted(tmp_path)
    trainer.train(run)
    assert sampling_spec(trainer, run)["conditioners"][0]["weights"] == "conditioner-0.safetensors"
    saved = load_file(tmp_path / "conditioner-0.safetensors")
    assert set(saved) == {"tint"}
    assert not torch.equal(saved["tint"], Tint().tint)
    assert not any(name.startswith("conditioners") for name in load_file(tmp_path / WEIGHTS))


def test_what_only_does_not_name_stays_as_it_is_and_is_exported(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = {name: value.clone() for name, value in run.denoiser.state_dict().items()}
    train(run, only=("denoiser.mid*", "denoiser.last.bias"))
    after = load_file(tmp_path / WEIGHTS)
    moved = {name for name, value in before.items() if not torch.equal(after[f"denoiser.{name}"], value)}
    assert moved == {"middle.weight", "middle.bias", "last.bias", "calls"}
    assert torch.equal(after["text_encoder.null"], run.text_encoder.null)


def test_what_is_frozen_is_in_no_checkpoint_and_a_run_resumes_exactly(tmp_path: Path) -> None:
    only = ("denoiser.middle",)
    train(make_run(tmp_path / "whole"), only=only)
    train(make_run(tmp_path / "cut"), only=only, stop_after=7)
    with safe_open(existing(tmp_path / "cut")[-1], "pt") as file:
        assert not [name for name in file.keys() if "first" in name or "text_encoder" in name]  # noqa: SIM118
    train(make_run(tmp_path / "cut"), only=only)
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_an_earlier_stage_trained_is_kept_where_the_last_leaves_it(tmp_path: Path) -> None:
    """The second run begins with another text encoder, which the checkpoint replaces."""
    values = {"only": ("denoiser",), "contrastive_steps": 4}
    train(make_run(tmp_path / "whole"), **values)
    train(make_run(tmp_path / "cut"), stop_after=9, **values)
    train(make_run(tmp_path / "cut", init=2), **values)
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one if "unused" not in name)


def test_a_run_resumes_under_no_other_frozen_weights(tmp_path: Path) -> None:
    train(make_run(tmp_path), only=("denoiser.middle",), stop_after=7)
    with pytest.raises(CheckpointError, match=r"train\.only"):
        train(make_run(tmp_path, init=2), only=("denoiser.middle",))


@pytest.mark.parametrize(
    "pattern", ["denoiser.middel", "midd*", "text", "conditioners[0]", "denoiser.m[i]ddle"]
)
def test_a_pattern_that_names_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(PartError, match=r"train\.only: .* is the name of no parameter"):
        DenoisingStage(config(only=("denoiser.first", pattern)), make_run(NOWHERE))
