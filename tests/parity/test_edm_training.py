"""The losses of EDM and EDM2, and their gradients, are those of NVlabs/edm and NVlabs/edm2."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core import Conditioning, Prediction, Step
from glidepath.plugins.edm2.configs import Edm2UNetConfig
from glidepath.plugins.edm2.network import Edm2UNet
from glidepath.plugins.schedules.configs import EdmConfig
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.train.losses.configs import (
    Edm2WeightingConfig,
    EdmWeightingConfig,
    LogNormalConfig,
)
from glidepath.plugins.train.losses.density import LogNormalDensity
from glidepath.plugins.train.losses.loss import squared_error
from glidepath.plugins.train.losses.weighting import Edm2Weighting, EdmWeighting

from .recorded import DATA, described, difference

ONE = torch.ones(1, 1, 1, 1)


def predicted(sample: Tensor, x: Tensor, sigma: Tensor) -> Prediction:
    step = Step(0, sigma.flatten().log() / 4, ONE.expand_as(sigma), sigma)
    return Prediction(sample, "sample", x, step)


def model_a(x: Tensor, t: Tensor) -> Tensor:
    """The function that stands for a network in the recordings."""
    t = t.reshape(-1, 1, 1, 1)
    return 0.85 * x + 0.35 * torch.tanh(x + (t / 180).cos()) + 0.1 * (t / 97).sin()


@pytest.mark.parametrize(("run", "data"), [("EDM", 0.5), ("EDM_other", 0.7)])
def test_the_loss_of_edm(run: str, data: float) -> None:
    recorded = load_file(DATA / "edm_loss.safetensors")
    sigma = recorded[f"{run}.sigma"].reshape(-1, 1, 1, 1)
    x_0, noise = recorded["images"], recorded["noise"]
    x = x_0 + sigma * noise
    root = (sigma**2 + data**2).sqrt()
    sample = data**2 / root**2 * x + sigma * data / root * model_a(x / root, sigma.log() / 4)
    prediction = predicted(sample, x, sigma)
    weighting = EdmWeighting(EdmWeightingConfig(sigma_data=data))
    losses = weighting.losses(squared_error(prediction, x_0, noise), prediction)
    expected = recorded[f"{run}.loss"].flatten(1).mean(1)
    assert difference(losses, expected) < described("edm_loss")["tol"]


@pytest.mark.parametrize(
    ("run", "mean", "std"), [("EDM", -1.2, 1.2), ("EDM_other", -0.4, 1.0), ("EDM_iddpm", -1.2, 1.2)]
)
def test_the_noise_levels_of_edm(run: str, mean: float, std: float) -> None:
    recorded = load_file(DATA / "edm_loss.safetensors")
    uniform = torch.special.ndtr(recorded["normal"].double().flatten())
    schedule = EdmSchedule(EdmConfig())
    t = LogNormalDensity(LogNormalConfig(mean=mean, std=std)).times(uniform, schedule, (4, 4))
    assert difference(schedule.alpha_sigma(t)[1], recorded[f"{run}.sigma"].double()) < 1e-5


@pytest.mark.parametrize("run", ["eval", "train_mode", "other"])
def test_the_loss_of_edm2_and_its_gradients(run: str) -> None:
    described_run = described("edm2_loss")["runs"][run]
    settings = {"P_mean": -0.4, "P_std": 1.0, "sigma_data": 0.5} | described_run.get("kwargs", {})
    recorded, network = load_file(DATA / "edm2_loss.safetensors"), edm2()
    network.train(described_run.get("train", False))
    sigma = (recorded["normal"] * settings["P_std"] + settings["P_mean"]).exp()
    x_0, noise = recorded["images"], recorded["noise"]
    x, labels = x_0 + sigma * noise, recorded["labels"].argmax(1)
    weighting = Edm2Weighting(Edm2WeightingConfig(sigma_data=settings["sigma_data"]))
    weighting.attach(network)
    assert not list(weighting.parameters())  # the network's own is asked
    step_t = sigma.flatten().log() / 4
    prediction = predicted(network(x, step_t, Conditioning.of(len(x), labels=labels)), x, sigma)
    losses = weighting.losses(squared_error(prediction, x_0, noise), prediction)
    tolerance = described("edm2_loss")["tol"]
    assert difference(losses, recorded[f"{run}.loss"].flatten(1).mean(1)) < tolerance
    losses.mean().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    for name in described_run["grads"]:
        gradient = gradients[name]
        assert gradient is not None
        assert difference(gradient, recorded[f"{run}.grad.{name}"]) < tolerance


def edm2() -> Edm2UNet:
    made = described("edm2_loss")["constructor"]
    config = Edm2UNetConfig(
        image_size=made["img_resolution"],
        in_channels=made["img_channels"],
        num_classes=made["label_dim"],
        channels=made["model_channels"],
        channel_mult=tuple(made["channel_mult"]),
        res_blocks=made["num_blocks"],
        attention_resolutions=tuple(made["attn_resolutions"]),
        head_channels=made["channels_per_head"],
        logvar_channels=made["logvar_channels"],
    )
    network = Edm2UNet(config)
    weights = load_file(DATA / "edm2_net.weights.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network.eval()
