"""Optimizers, rates, batches in parts, checkpointed activations, precisions."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import SIZE, config, log_of, make_run, train
from tests.plugins.train.trainers.test_networks import dit, edm2, run_of
from torch import Tensor, nn

from glidepath.core import Denoiser
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.schedules.configs import CosineConfig, EdmConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import batch_at
from glidepath.plugins.train.losses.configs import ImportanceConfig
from glidepath.plugins.train.losses.density import ImportanceDensity
from glidepath.plugins.train.run.activations import checkpoint_blocks
from glidepath.plugins.train.run.learner import Learner
from glidepath.plugins.train.run.rates import rate_share
from glidepath.plugins.train.run.run import WEIGHTS
from glidepath.plugins.train.stages.denoising import DenoisingStage
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]


def adm(**changes: Any) -> AdmUNet:
    values: dict[str, Any] = {
        "image_size": SIZE,
        "channels": 32,
        "channel_mult": (1, 2),
        "res_blocks": 1,
        "attention_resolutions": (4,),
        "head_channels": 16,
        "learned_variance": False,
    }
    return AdmUNet(AdmUNetConfig(**(values | changes)))


def run_with(folder: Path, denoiser: Denoiser) -> Any:
    if denoiser.config.__class__.__name__.startswith("Edm2"):  # type: ignore[union-attr]
        return run_of(folder, denoiser, schedule=EdmSchedule(EdmConfig()))
    return run_of(folder, denoiser)


NETWORKS = {
    "dit": lambda: dit(num_classes=4),
    "edm2": lambda: edm2(num_classes=4),
    "adm": lambda: adm(num_classes=4, dropout=0.3),
}


def weights_after(folder: Path, denoiser: Denoiser, **changes: Any) -> dict[str, Tensor]:
    randomised(denoiser)
    train(run_with(folder, denoiser), steps=3, batch=8, **changes)
    return load_file(folder / WEIGHTS)


def randomised(module: nn.Module) -> None:
    """Other weights than 0, where networks begin with those."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("parts", [2, pytest.param(8, marks=pytest.mark.thorough)])
def test_a_batch_in_parts_gives_the_weights_of_the_whole(tmp_path: Path, name: str, parts: int) -> None:
    """Dropout included; with SGD, whose steps are the gradients."""
    found = []
    for accumulate in (1, parts):
        torch.manual_seed(3)
        values = {"optimizer": "sgd", "learning_rate": 0.05, "accumulate": accumulate}
        found.append(weights_after(tmp_path / str(accumulate), NETWORKS[name](), **values))
    for key, one in found[0].items():
        torch.testing.assert_close(found[1][key], one, rtol=1e-5, atol=1e-6)


def test_a_batch_is_cut_where_it_does_not_divide_and_a_clip_is_of_the_whole(tmp_path: Path) -> None:
    for accumulate in (1, 3):
        values = {"batch": 4, "accumulate": accumulate, "gradient_clip": 0.01, "optimizer": "sgd"}
        train(make_run(tmp_path / str(accumulate)), **values)
    one, other = (load_file(tmp_path / str(it) / WEIGHTS) for it in (1, 3))
    for key in one:
        if key != "denoiser.calls":  # how often it was called
            torch.testing.assert_close(other[key], one[key], rtol=1e-5, atol=1e-6)
    losses = [[line["loss"] for line in log_of(tmp_path / str(it))] for it in (1, 3)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_importance_is_learned_from_the_whole_batch(tmp_path: Path) -> None:
    counts = []
    for accumulate in (1, 4):
        density = ImportanceDensity(ImportanceConfig(history=1))
        run = make_run(tmp_path / str(accumulate), schedule=CosineSchedule(CosineConfig(num_steps=4)))
        settings = config(batch=16, accumulate=accumulate, optimizer="sgd")
        DiffusionTrainer(settings, timesteps=density).train(run)
        counts.append(density.counts)
    assert torch.equal(*counts)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_checkpointed_activations_give_the_same_gradients(name: str) -> None:
    gradients = []
    for forgets in (False, True):
        torch.manual_seed(3)
        network = NETWORKS[name]()
        randomised(network)
        run = run_with(Path("nowhere"), network)
        stage = DenoisingStage(config(), run)
        stage.modules.train()
        if forgets:
            checkpoint_blocks(network)
        torch.manual_seed(5)
        stage.loss(batch_at(run.dataset, (), 0, 0, 4), draws.generator(0, 0)).backward()  # type: ignore[no-untyped-call]
        gradients.append({name: it.grad for name, it in network.named_parameters() if it.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(one, gradients[1][key]) for key, one in gradients[0].items())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_checkpointed_activations_are_not_kept(name: str) -> None:
    """The bytes that the graph holds to the next backward pass."""

    def held(forgets: bool) -> int:
        network = NETWORKS[name]()
        run = run_with(Path("nowhere"), network)
        stage = DenoisingStage(config(), run)
        if forgets:
            checkpoint_blocks(network)
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        own = {it.untyped_storage().data_ptr() for it in network.state_dict().values()}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = stage.loss(batch_at(run.dataset, (), 0, 0, 64), draws.generator(0, 0))
        assert loss.requires_grad
        return sum(size for place, size in kept.items() if place not in own)

    assert held(True) < 0.6 * held(False)


def test_text_encoders_forget_activations_too(tmp_path: Path) -> None:
    """And a run with all of it resumes exactly."""
    for folder, stops in (("whole", ()), ("cut", (7,))):
        for stop in (*stops, None):
            run = make_run(tmp_path / folder)
            train(run, stop_after=stop, checkpointing=True, accumulate=2)
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


OPTIMIZERS: dict[str, Any] = {
    "adamw": lambda some: torch.optim.AdamW(some, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    "adam": lambda some: torch.optim.Adam(some, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    "sgd": lambda some: torch.optim.SGD(some, lr=0.01, momentum=0.9, weight_decay=0.1),
    "adafactor": lambda some: torch.optim.Adafactor(some, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_an_optimizer_is_torchs(name: str) -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(nn.ModuleDict({"denoiser": nn.Linear(5, 3)}))
    ours = Learner(networks[0], CPU, config(optimizer=name, weight_decay=0.1, gradient_clip=0.0))
    theirs = OPTIMIZERS[name](networks[1].parameters())
    for step in range(4):
        x = torch.randn(6, 5, generator=torch.Generator().manual_seed(step))
        losses = [network["denoiser"](x).square().mean() for network in networks]
        ours.update([losses[0]], 0.01, 0.9)
        theirs.zero_grad()
        losses[1].backward()
        theirs.step()
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_muon_moves_matrices_by_orthogonal_steps_and_the_rest_by_adamw() -> None:
    """The first step of a matrix: its gradient with all singular values near 1 (Jordan et al. 2024)."""
    torch.manual_seed(0)
    network = nn.ModuleDict({"denoiser": nn.Linear(16, 16)})
    weight, bias = (it.detach().clone() for it in network.parameters())
    learner = Learner(network, CPU, config(optimizer="muon", gradient_clip=0.0))
    learner.update([network["denoiser"](torch.randn(64, 16)).square().mean()], 0.01, 0.9)
    moved = (network["denoiser"].weight.detach() - weight) / 0.01  # type: ignore[operator]
    scale = 0.2 * math.sqrt(16)
    values = torch.linalg.svdvals(moved / scale)
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5
    stepped = (network["denoiser"].bias.detach() - bias).abs()  # type: ignore[operator]
    torch.testing.assert_close(stepped, torch.full((16,), 0.01), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(
            name, precision, marks=() if name == "adamw" or precision == "float32" else pytest.mark.thorough
        )
        for name, precision in product(
            ["adamw", "adam", "sgd", "adafactor", "muon"], ["float32", "bfloat16", "float16"]
        )
    ],
)
def test_a_run_resumes_exactly_with_every_optimizer_and_precision(
    tmp_path: Path, name: str, precision: str
) -> None:
    values = {"optimizer": name, "precision": precision, "learning_rate": 1e-3, "accumulate": 2}
    train(make_run(tmp_path / "whole"), **values)
    train(make_run(tmp_path / "cut"), stop_after=7, **values)
    train(make_run(tmp_path / "cut", init=2), **values)
    one, other = (load_file(tmp_path / folder / WEIGHTS) for folder in ("whole", "cut"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_losses_in_float16_are_scaled_for_their_gradients_alone() -> None:
    """A gradient of 1e-8 on its way through float16, which knows nothing below 6e-8, is not lost."""
    network = nn.ModuleDict({"denoiser": nn.Linear(1, 1, bias=False)})
    settings = config(precision="float16", optimizer="sgd", betas=(0.0, 0.0), gradient_clip=0.0)
    learner = Learner(network, CPU, settings)
    (weight,) = network.parameters()
    before = weight.detach().clone()
    product = weight.to(torch.float16) * torch.tensor(1e-4, dtype=torch.float16)
    learner.update([(product.float() * 1e-4).sum()], 1e6, 0.5)
    torch.testing.assert_close(before - weight.detach(), torch.full((1, 1), 1e-2), rtol=1e-2, atol=0)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_falls() -> None:
    network = nn.ModuleDict({"denoiser": nn.Linear(1, 1, bias=False)})
    learner = Learner(network, CPU, config(precision="float16"))
    (weight,) = network.parameters()
    before = weight.detach().clone()
    learner.update([(weight * math.inf).sum()], 0.1, 0.5)
    assert torch.equal(weight, before)
    assert float(learner.tensors()["scaler.scale"]) == 2**15
    learner.update([weight.sum()], 0.1, 0.5)
    assert not torch.equal(weight, before)


def shares(total: int, **changes: Any) -> list[float]:
    return [rate_share(config(**changes), done, total) for done in range(total)]


def test_rates_are_those_of_their_formulas() -> None:
    """Against torch's own schedules, where it has them."""
    parameter = nn.Parameter(torch.zeros(1))

    def torchs(make: Any, total: int) -> list[float]:
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        schedule, found = make(optimizer), []
        for _ in range(total):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    rates = torch.optim.lr_scheduler
    assert shares(50, rate="cosine", warmup_steps=0) == pytest.approx(
        torchs(lambda it: rates.CosineAnnealingLR(it, 50), 50)
    )
    assert shares(50, rate="linear", warmup_steps=0) == pytest.approx(
        torchs(lambda it: rates.LinearLR(it, 1.0, 0.0, 50), 50)
    )
    assert shares(20, rate="constant", warmup_steps=4) == [0.25, 0.5, 0.75, *[1.0] * 17]
    for rate in ("cosine", "linear"):
        found = shares(50, rate=rate, warmup_steps=10)
        assert found[:10] == pytest.approx([(done + 1) / 10 for done in range(10)])
        assert found[10:] == pytest.approx(shares(40, rate=rate, warmup_steps=0))


def test_the_rate_of_edm2() -> None:
    """Recorded from NVlabs/edm2: 2,048 images a step, 70,000 steps before it falls."""
    recorded = load_file(ROOT / "parity" / "data" / "edm2_loss.safetensors")["lr.lr"].tolist()
    images = [0, 1e6, 5e6, 1e7, 5e7, 1.4e8, 1.5e8, 1e9, 2e9]
    settings = config(rate="inverse-sqrt", warmup_steps=0, constant_steps=70_000)
    for seen, wanted in zip(images, recorded, strict=True):
        rise = min(seen / 10e6, 1.0)
        found = 0.012 * rise * rate_share(settings, seen / 2048, 10**9)  # type: ignore[arg-type]
        assert found == pytest.approx(wanted, rel=1e-9)
