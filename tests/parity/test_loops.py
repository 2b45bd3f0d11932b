"""Whole sampling loops on small networks give the images of openai/glide-text2im and openai/guided-diffusion.

Networks, text encoder, schedule, classifier-free guidance and sampler together. Tolerances are five times the
references' own float32 noise. `model_output` was recorded after classifier-free guidance.
"""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction
from glidepath.plugins.diffusion.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.diffusion.plugin import ClassifierFreeConfig

from .recorded import RecordedNoise, Walk, described, difference
from .test_unets import Golden

TOLERANCE = {"loop_glide_base": 6e-4, "loop_adm": 8e-4}
WALKS = [(file, name) for file in TOLERANCE for name in described(file)["trajectories"]]


CASE_OF_VARIANT = {"default": "t_int", "cached": "cached", "new_order": "new_order"}
"""In which case of the network's own file a variant occurs."""


@pytest.mark.parametrize(("file", "name"), WALKS)
def test_a_loop_makes_the_images_of_the_reference(file: str, name: str) -> None:
    """`classifier.*` replays the gradients that the reference's classifier gave: there is none here."""
    walk = load(file, name)
    x, sample = run(walk, predictor(walk))
    assert difference(x, walk.tensors["sample"]) < TOLERANCE[file]
    assert difference(sample, walk.tensors["pred_xstart"]) < TOLERANCE[file]


@pytest.mark.parametrize(("file", "name"), WALKS)
def test_each_step_of_a_loop_is_the_references(file: str, name: str) -> None:
    """Every step gets the reference's x_t, so that no error can grow or cancel."""
    walk = load(file, name)
    predict = predictor(walk)
    outputs = []

    def forced(x: Tensor, step: Step) -> Prediction:
        x.copy_(walk.inputs[step.index])  # the sampler's own x: it goes on from the recorded one
        prediction = predict(x, step)
        fraction = prediction.require_variance("this test")
        outputs.append(torch.cat([prediction.epsilon, 2 * fraction - 1], dim=1))
        return prediction

    x, sample = run(walk, forced)
    for index, output in enumerate(outputs):
        assert difference(output, walk.tensors["model_output"][index]) < TOLERANCE[file]
        assert difference(x[index], walk.tensors["sample"][index]) < TOLERANCE[file]
        assert difference(sample[index], walk.tensors["pred_xstart"][index]) < TOLERANCE[file]


def load(file: str, name: str) -> Walk:
    """A recorded walk; under classifier-free guidance, its conditional half: the rest means nothing."""
    walk = Walk.load(file, name)
    if walk.settings["model"].get("cfg_scale") is None:
        return walk
    assert not walk.shared["mask"][1:].any()
    shared = {key: walk.shared[key][:1] for key in ("x_T", "tokens", "mask")}
    shared["noise"] = walk.shared["noise"][:, :1]
    tensors = {key: tensor[:, :1] for key, tensor in walk.tensors.items() if tensor.ndim > 1}
    return attrs.evolve(walk, shared=shared, tensors=tensors)


def run(walk: Walk, predict: Predict) -> tuple[Tensor, Tensor]:
    """x and x_0 after each step, [N, B, C, H, W]."""
    noise = RecordedNoise(walk.shared["noise"])
    with torch.no_grad():
        states = [
            (state.x.clone(), state.sample.clone())
            for state in walk.sampler.states(predict, walk.shared["x_T"].clone(), walk.levels, noise)
        ]
    return torch.stack([x for x, _ in states]), torch.stack([sample for _, sample in states])


@torch.no_grad()
def predictor(walk: Walk) -> Predict:
    """The reference's network, guided as the reference guided it."""
    model = walk.settings["model"]
    golden = Golden.load(model["file"], CASE_OF_VARIANT[model["variant"]])
    text = null_text = None
    if golden.encoder is not None:
        text = golden.encoder.embed(walk.shared["tokens"], walk.shared["mask"])
        nothing = torch.zeros_like(walk.shared["mask"][:1])
        null_text = golden.encoder.embed(nothing.long(), nothing)
    guidances: list[Guidance] = []
    if model.get("cfg_scale") is not None:
        guidances.append(ClassifierFreeGuidance(ClassifierFreeConfig(scale=model["cfg_scale"])))
    conditioning = Conditioning(
        len(walk.shared["x_T"]), text=text, null_text=null_text, labels=walk.shared.get("y")
    )
    return fold([*guidances, *walk.guidances], lambda bound: golden.unet.prepare(bound, walk.levels))(
        conditioning
    )
