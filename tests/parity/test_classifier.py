"""ADM's classifiers and the guidance by them give the numbers of openai/guided-diffusion.

Logits, gradients of log p(label given x_t), and whole loops that the classifier guides. Tolerances are five
times the reference's own float32 noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.guidance import fold
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction
from glidepath.plugins.adm.classifier_config import AdmClassifierConfig, ClassifierGuidanceConfig
from glidepath.plugins.adm.classifier_guidance import ClassifierGuidance
from glidepath.plugins.adm.classifier_network import AdmClassifier, AttentionPool

from .recorded import DATA, RecordedNoise, Walk, described, difference
from .test_unets import Golden, given

TOLERANCE = {
    "adm_cls_adaptive": 3e-5,
    "adm_cls_attention": 2e-5,
    "adm_cls_spatial": 1e-5,
    "loop_adm": 8e-4,
    "layers": 1e-5,
}
CASES = [
    (model, case) for model in TOLERANCE if model.startswith("adm_cls") for case in described(model)["cases"]
]
LOOPS = [name for name in described("loop_adm")["trajectories"] if name.startswith("classifier")]


@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_classifier_gives_the_logits_of_the_reference(model: str, case: str) -> None:
    classifier, tensors = load(model), of_case(model, case)
    with torch.no_grad():
        logits = classifier(tensors["x"], tensors["timesteps"])
    assert difference(logits, tensors["out"]) < TOLERANCE[model]


@pytest.mark.parametrize(("model", "case"), CASES)
def test_the_gradient_is_that_of_the_reference(model: str, case: str) -> None:
    tensors = of_case(model, case)
    guidance = ClassifierGuidance(ClassifierGuidanceConfig(classifier=None), classifier=load(model))
    with torch.no_grad():
        gradient = guidance.gradient(tensors["x"], tensors["timesteps"], tensors["y"])
    assert difference(gradient, tensors["log_prob_grad"]) < TOLERANCE[model]


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_guided_by_a_classifier_makes_the_images_of_the_reference(name: str) -> None:
    walk = Walk.load("loop_adm", name)
    x, sample, gradients = run(walk, forced=False)
    assert difference(x, walk.tensors["sample"]) < TOLERANCE["loop_adm"]
    assert difference(sample, walk.tensors["pred_xstart"]) < TOLERANCE["loop_adm"]
    assert difference(gradients, walk.tensors["cond_grad"]) < TOLERANCE["loop_adm"]


@pytest.mark.parametrize("name", LOOPS)
def test_each_step_of_a_guided_loop_is_the_references(name: str) -> None:
    """Every step gets the reference's x_t, so that no error can grow or cancel."""
    walk = Walk.load("loop_adm", name)
    x, sample, gradients = run(walk, forced=True)
    for index, gradient in enumerate(gradients):
        assert difference(gradient, walk.tensors["cond_grad"][index]) < TOLERANCE["loop_adm"]
        assert difference(x[index], walk.tensors["sample"][index]) < TOLERANCE["loop_adm"]
        assert difference(sample[index], walk.tensors["pred_xstart"][index]) < TOLERANCE["loop_adm"]


def test_pooling_by_attention() -> None:
    recorded = load_file(DATA / "layers.safetensors")
    settings = described("layers")["layers"]["attention_pool"]
    prefix = "attention_pool."
    tensors = {key.removeprefix(prefix): value for key, value in recorded.items() if key.startswith(prefix)}
    channels, positions = tensors["positional_embedding"].shape
    pool = AttentionPool(
        positions - 1, channels, settings["num_heads_channels"], tensors["c_proj.weight"].shape[0]
    )
    pool.load_state_dict({key: tensors[key] for key in pool.state_dict()}, strict=True)
    with torch.no_grad():
        assert difference(pool(tensors["x"]), tensors["out"]) < TOLERANCE["layers"]


def run(walk: Walk, *, forced: bool) -> tuple[Tensor, Tensor, Tensor]:
    """x, x_0 and the classifier's gradient at each step, [N, B, C, H, W].

    forced: each step starts from the reference's x_t instead of our own.
    """
    model, cond = walk.settings["model"], walk.settings["cond"]
    unet = Golden.load(model["file"], model["variant"]).unet
    config = ClassifierGuidanceConfig(scale=cond["scale"], classifier=None)
    guidance = ClassifierGuidance(config, classifier=load(cond["file"]))
    conditioning = Conditioning.of(len(walk.shared["x_T"]), labels=walk.shared["y"])
    gradients: list[Tensor] = []
    with torch.no_grad():
        bind = fold([guidance], lambda bound: unet.prepare(bound, walk.levels))
        guided = bind(conditioning)

        def predict(x: Tensor, step: Step) -> Prediction:
            if forced:
                x.copy_(walk.inputs[step.index])  # the sampler's own x: it goes on from the recorded one
            prediction = guided(x, step)
            assert prediction.gradient is not None
            gradients.append(prediction.gradient)
            return prediction

        noise = RecordedNoise(walk.shared["noise"])
        states = [
            (state.x.clone(), state.sample.clone())
            for state in walk.sampler.states(predict, walk.shared["x_T"].clone(), walk.levels, noise)
        ]
    x, sample = (torch.stack(tensors) for tensors in zip(*states, strict=True))
    return x, sample, torch.stack(gradients)


def load(model: str) -> AdmClassifier:
    """Our classifier with the reference's weights."""
    description = described(model)
    classifier = AdmClassifier(classifier_config(description["constructor"]))
    state: dict[str, Tensor] = {}
    for file in description["weights"]:
        state |= {key: value.float() for key, value in load_file(DATA / file).items()}
    classifier.load_state_dict(state, strict=True)
    return classifier.eval().requires_grad_(False)


def of_case(model: str, case: str) -> dict[str, Tensor]:
    recorded = load_file(DATA / f"{model}.io.safetensors")
    return {
        key.removeprefix(f"{case}."): value for key, value in recorded.items() if key.startswith(f"{case}.")
    }


def classifier_config(settings: Mapping[str, Any]) -> AdmClassifierConfig:
    """Our configuration for the reference's arguments, which place attention by downsampling factors."""
    image_size = settings["image_size"]
    config = AdmClassifierConfig(
        image_size=image_size,
        in_channels=settings["in_channels"],
        num_classes=settings["out_channels"],
        channels=settings["model_channels"],
        res_blocks=settings["num_res_blocks"],
        channel_mult=tuple(settings["channel_mult"]),
        attention_resolutions=tuple(image_size // factor for factor in settings["attention_resolutions"]),
        heads=settings.get("num_heads", 1),
        head_channels=given(settings["num_head_channels"]),
        scale_shift_norm=settings["use_scale_shift_norm"],
        resblock_updown=settings["resblock_updown"],
        pool=settings["pool"],
    )
    new = settings.get("use_new_attention_order", False)
    return attrs.evolve(config, attention_order="new" if new else "legacy")
