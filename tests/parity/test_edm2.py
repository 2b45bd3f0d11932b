"""The UNet of EDM2 gives the outputs of NVlabs/edm2, with its weights under its own names; sampling likewise.

Small networks with random weights. The tolerances are five times the float32 noise of the reference itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core import Condition, Conditioning, NoiseLevels
from glidepath.plugins.edm2.configs import Edm2UNetConfig
from glidepath.plugins.edm2.network import Edm2UNet
from glidepath.plugins.samplers.grid_configs import HeunConfig
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.schedules.configs import EdmConfig
from glidepath.plugins.schedules.edm import EdmSchedule

from .recorded import DATA, RecordedNoise, described, difference

CASES = [("edm2_net", case) for case in ("labels", "null_label", "logvar", "clip")]
CASES += [("edm2_uncond", "a"), ("edm2_uncond", "logvar")]


@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_network_gives_the_outputs_of_the_reference(model: str, case: str) -> None:
    tensors = recorded(model, case)
    network, tolerance = load(model), tolerances(model, case)
    time = tensors["sigma"].log() / 4
    with torch.no_grad():
        assert difference(network(tensors["x"], time, labelled(tensors)), tensors["out"]) < tolerance
        if "logvar" in tensors:
            learned = network.log_variance(time)
            assert difference(learned, tensors["logvar"].flatten()) < tolerances(model, case, "logvar")


@pytest.mark.parametrize(("model", "case"), [("edm2_net", "labels"), ("edm2_uncond", "a")])
def test_a_prepared_network_gives_the_outputs_of_the_reference(model: str, case: str) -> None:
    tensors = recorded(model, case)
    network = load(model)
    for row, sigma in enumerate(tensors["sigma"].double()):
        one = torch.ones(2, dtype=torch.float64)
        levels = NoiseLevels(sigma.log()[None] / 4, one, torch.stack([sigma, 0 * sigma]))
        with torch.no_grad():
            predict = network.prepare(labelled(tensors), levels)
            sample = predict(tensors["x"], next(levels.steps("cpu"))).sample
        assert difference(sample[row], tensors["out"][row]) < tolerances(model, case)


def test_training_makes_the_stored_weights_of_unit_magnitude() -> None:
    tensors = recorded("edm2_net", "train")
    network, time = load("edm2_net").train(), tensors["sigma"].log() / 4
    with torch.no_grad():
        output = network(tensors["x"], time, labelled(tensors))
        after = network.eval()(tensors["x"], time, labelled(tensors))
    assert difference(output, tensors["out_train"]) < 1e-5
    assert difference(after, tensors["out_eval_after"]) < 1e-5
    weights = network.state_dict()
    for key, value in tensors.items():
        if key.startswith("weights_after."):
            assert difference(weights[key.removeprefix("weights_after.")], value) < 1e-5


@pytest.mark.parametrize("run", ["plain", "autoguidance", "guidance_self", "churn_autoguidance"])
def test_sampling_with_autoguidance_is_that_of_the_reference(run: str) -> None:
    """Heun's method at EDM2's levels, the worse network given the same labels."""
    shared, settings = load_file(DATA / "edm2_sampler.safetensors"), described("edm2_sampler")["runs"][run]
    given = settings["kwargs"]
    grid = {key: given[key] for key in ("sigma_min", "sigma_max", "rho") if key in given}
    schedule = EdmSchedule(EdmConfig(**grid))
    churn = {f"s_{key.lower()}": given[f"S_{key}"] for key in ("churn", "noise") if f"S_{key}" in given}
    if "S_min" in given:
        churn |= {"s_tmin": given["S_min"], "s_tmax": given["S_max"]}
    sampler = HeunSampler(HeunConfig(steps=given["num_steps"], clip=False, start="sigma_max", **churn))
    levels = sampler.levels(schedule)
    conditioning = Conditioning.of(2, labels=shared["labels"].argmax(1))
    predict = load("edm2_net").prepare(conditioning, levels)
    if "gnet" in settings:
        weights = "edm2_gnet" if settings["gnet"] == "gnet" else "edm2_net"
        predict = guided(predict, load("edm2_net", weights).prepare(conditioning, levels), given["guidance"])
    # noise is added before each step but the first, and here at the end of the step before
    noise = RecordedNoise(shared["noise"])
    with torch.no_grad():
        *_, last = sampler.states(predict, sampler.first(shared["x_T"], levels), levels, noise)
    assert difference(last.x, shared[f"{run}.final"]) < 2e-5


def guided(main: Any, guide: Any, scale: float) -> Any:
    def predict(x: Tensor, step: Any) -> Any:
        better, worse = main(x, step), guide(x, step)
        return better.guided(worse.value.lerp(better.value, scale))

    return predict


def recorded(model: str, case: str) -> dict[str, Tensor]:
    tensors = load_file(DATA / f"{model}.io.safetensors")
    return {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{case}.")}


def tolerances(model: str, case: str, tensor: str = "out") -> float:
    tolerance: float = described(model)["tol_by_tensor"].get(f"{case}.{tensor}", 1e-5)
    return tolerance


def labelled(tensors: Mapping[str, Tensor]) -> Conditioning:
    """One-hot labels as numbers; none at all as the label for no class."""
    if "class_labels" in tensors:
        return Conditioning(len(tensors["x"]), {"labels": Condition(tensors["class_labels"].argmax(1))})
    return Conditioning.of(len(tensors["x"]), labels=torch.full((len(tensors["x"]),), 6))


def load(model: str, weights: str = "") -> Edm2UNet:
    given = described(model)["constructor"]
    config = Edm2UNetConfig(
        image_size=given["img_resolution"],
        in_channels=given["img_channels"],
        channels=given["model_channels"],
        channel_mult=tuple(given["channel_mult"]),
        res_blocks=given["num_blocks"],
        attention_resolutions=tuple(given["attn_resolutions"]),
        head_channels=given["channels_per_head"],
        num_classes=given["label_dim"] or None,
        null_class=True,
        resample_filter=tuple(given.get("resample_filter", (1, 1))),
        clip_act=given.get("clip_act", 256),
        logvar_channels=given["logvar_channels"],
    )
    network = Edm2UNet(config).eval()
    tensors = load_file(DATA / f"{weights or model}.weights.safetensors")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network
