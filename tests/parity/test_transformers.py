"""The diffusion transformer gives the outputs of facebookresearch/DiT, with its weights under its own names.

Small networks with random weights. The tolerances are five times the float32 noise of the reference itself.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core import Condition, Conditioning, NoiseLevels
from glidepath.plugins.dit.configs import DitConfig
from glidepath.plugins.dit.network import Dit
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig

from .recorded import DATA, described, difference

CASES = [("dit", "t_int"), ("dit", "t_frac"), ("dit_nosigma", "a")]


@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_transformer_gives_the_outputs_of_the_reference(model: str, case: str) -> None:
    network, tensors, tolerance = golden(model, case)
    with torch.no_grad():
        output = network(tensors["x"], tensors["t"], labelled(tensors["y"]))
    assert difference(output, tensors["out"]) < tolerance


@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_prepared_transformer_gives_the_outputs_of_the_reference(model: str, case: str) -> None:
    network, tensors, tolerance = golden(model, case)
    ends = torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0])
    for row, t in enumerate(tensors["t"]):
        levels = NoiseLevels(t[None], *ends)
        with torch.no_grad():
            prediction = network.prepare(labelled(tensors["y"]), levels)(
                tensors["x"], next(levels.steps("cpu"))
            )
        output = prediction.value
        if prediction.variance_fraction is not None:
            output = torch.cat([output, 2 * prediction.variance_fraction - 1], dim=1)
        assert difference(output[row], tensors["out"][row]) < tolerance


def test_guidance_of_three_channels_is_that_of_the_reference() -> None:
    """Its program takes the first half of x for both halves, and guides the first three channels."""
    network, tensors, tolerance = golden("dit", "cfg")
    x, t = tensors["x"][:2], tensors["t"][:1]
    assert tensors["y"].tolist()[2:] == [10, 10] == [network.null_label] * 2
    label = Condition(tensors["y"][:2], torch.tensor([10]))
    levels = NoiseLevels(t, torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))
    guidance = ClassifierFreeGuidance(ClassifierFreeConfig(scale=4.0, channels=3)).for_levels(levels)
    predict = guidance(lambda given: network.prepare(given, levels))(Conditioning(2, {"labels": label}))
    with torch.no_grad():
        prediction = predict(x, next(levels.steps("cpu")))
    assert prediction.variance_fraction is not None
    ours = torch.cat([prediction.value, 2 * prediction.variance_fraction - 1], dim=1)
    assert difference(ours, tensors["out"][:2]) < tolerance


def golden(model: str, case: str) -> tuple[Dit, dict[str, Tensor], float]:
    """Our network with the reference's weights, the tensors of a case, and their tolerance."""
    description = described(model)
    given = description["constructor"]
    config = DitConfig(
        image_size=given["input_size"],
        patch_size=given["patch_size"],
        in_channels=given["in_channels"],
        width=given["hidden_size"],
        depth=given["depth"],
        heads=given["num_heads"],
        num_classes=given["num_classes"],
        null_class=given.get("class_dropout_prob", 0.1) > 0,
        learned_variance=given["learn_sigma"],
    )
    network = Dit(config).eval()
    weights = load_file(DATA / f"{model}.weights.safetensors")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    tensors = {
        key.partition(".")[2]: value
        for key, value in load_file(DATA / f"{model}.io.safetensors").items()
        if key.startswith(f"{case}.")
    }
    return network, tensors, description["tol_by_tensor"][f"{case}.out"]


def labelled(labels: Tensor) -> Conditioning:
    return Conditioning(len(labels), {"labels": Condition(labels)})
