"""Whole sampling loops on small networks give the images of openai/glide-text2im and openai/guided-diffusion.

Networks, text encoder, schedule, classifier-free guidance and sampler together. Tolerances are five times the
references' own float32 noise. `model_output` was recorded after classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core.codec import IdentityCodec
from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.core.request import Request
from glidepath.core.sampler import Sampler, State
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler

from .recorded import RecordedNoise, Walk, described, difference, make_schedule
from .test_unets import Golden

TOLERANCE = {"loop_glide_base": 6e-4, "loop_adm": 8e-4}
WALKS = [(file, name) for file in TOLERANCE for name in described(file)["trajectories"]]
WITH_PICTURES = {("loop_glide_sr", "up.ddim_eta0"): 4e-3, ("loop_glide_inpaint", "p_sample"): 7e-4}
TEMPERATURE = 0.997
"""What the upsampler's x_T was multiplied by when it was recorded."""

PICTURED_CASE = {"glide_sr": "x4", "glide_inpaint": "masked"}
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


@pytest.mark.parametrize(("file", "name"), WITH_PICTURES)
def test_a_pipeline_upsamples_and_inpaints_as_the_reference(file: str, name: str) -> None:
    golden = Pictured.load(file, name)
    states = [(state.x, state.sample) for state in golden.states()]
    x, sample = (torch.stack(tensors) for tensors in zip(*states, strict=True))
    assert difference(x, golden.walk.tensors["sample"]) < WITH_PICTURES[file, name]
    assert difference(sample, golden.walk.tensors["pred_xstart"]) < WITH_PICTURES[file, name]


@pytest.mark.parametrize(("file", "name"), WITH_PICTURES)
def test_each_step_of_upsampling_and_inpainting_is_the_references(file: str, name: str) -> None:
    """Every step gets the reference's x_t, so that no error can grow or cancel."""
    golden = Pictured.load(file, name)
    walk, pipeline = golden.walk, golden.pipeline
    with torch.no_grad():
        text = pipeline.conditioning(Request.of([golden.prompt]))
        pictures = {name: Condition(picture) for name, picture in golden.in_float.items()}
        conditioning = attrs.evolve(text, conditions={**text.conditions, **pictures})
        predict = pipeline.predictor(conditioning, pipeline.levels())

    def forced(x: Tensor, step: Step) -> Prediction:
        x.copy_(walk.inputs[step.index])  # the sampler's own x: it goes on from the recorded one
        return predict(x, step)

    x, sample = run(walk, forced)
    for index in range(len(x)):
        assert difference(x[index], walk.tensors["sample"][index]) < WITH_PICTURES[file, name]
        assert difference(sample[index], walk.tensors["pred_xstart"][index]) < WITH_PICTURES[file, name]


def load(file: str, name: str) -> Walk:
    """A recorded walk; under classifier-free guidance, its conditional half: the rest means nothing."""
    walk = Walk.load(file, name)
    if walk.settings["model"].get("cfg_scale") is None:
        return walk
    assert not walk.shared["mask"][1:].any()
    shared = {key: tensor[:, :1] if key == "noise" else tensor[:1] for key, tensor in walk.shared.items()}
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
    conditioning = Conditioning.of(
        len(walk.shared["x_T"]), text=Condition(text, null_text), labels=walk.shared.get("y")
    )
    return fold([*guidances, *walk.guidances], lambda bound: golden.unet.prepare(bound, walk.levels))(
        conditioning
    )


@attrs.frozen(eq=False)
class Pictured:
    """A recorded walk that starts from an image or fills one in, and the pipeline that is to repeat it."""

    walk: Walk
    pipeline: Pipeline

    @classmethod
    def load(cls, file: str, name: str) -> Pictured:
        walk = load(file, name)
        model = walk.settings["model"]
        golden = Golden.load(model["file"], PICTURED_CASE[model["file"]], walk.shared["x_T"].shape[-1])
        scale = model.get("cfg_scale")
        pipeline = Pipeline(
            schedule=make_schedule(walk.diffusion),
            denoiser=golden.unet,
            text_encoder=golden.encoder,
            guidance=[] if scale is None else [ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale))],
            sampler=sampler(walk),
            codec=RecordedCodec(walk.shared.get("inpaint_image")),
        )
        return cls(walk, pipeline)

    def states(self) -> Iterator[State]:
        """The whole walk, given images in 8 bits as a user gives them."""
        shared = self.walk.shared
        noise = RecordedStart(shared["noise"], shared["x_T"] / self.pipeline.sampler.temperature)
        if "low_res" in shared:
            in_8_bits = ((shared["low_res"] + 1) * 127.5).round().to(torch.uint8)
            return self.pipeline.states([self.prompt], low_res=in_8_bits, noise=noise)
        unread = torch.zeros(shared["inpaint_image"].shape, dtype=torch.uint8)
        return self.pipeline.states(
            [self.prompt], image=unread, mask=shared["inpaint_mask"].bool(), noise=noise
        )

    @property
    def in_float(self) -> dict[str, Tensor]:
        """The pictures as the network receives them."""
        names = {"low_res": "low_res", "inpaint_image": "image", "inpaint_mask": "mask"}
        return {
            ours: self.walk.shared[theirs] for theirs, ours in names.items() if theirs in self.walk.shared
        }

    @property
    def prompt(self) -> str:
        """The recorded tokens, as `IdsAsText` reads them."""
        tokens, mask = self.walk.shared["tokens"][0], self.walk.shared["mask"][0]
        return " ".join(str(int(token)) for token in tokens[mask])


def sampler(walk: Walk) -> Sampler:
    """Ours, as a spec would set it up."""
    steps = walk.diffusion["respacing"]
    if walk.settings["sampler"] == "p_sample":
        return DdpmSampler(DdpmConfig(steps=steps))
    return DdimSampler(DdimConfig(steps=steps, eta=walk.settings["eta"], temperature=TEMPERATURE))


class RecordedCodec(IdentityCodec):
    """Encodes whatever it is given as the image that was recorded, which is not in 8 bits."""

    def __init__(self, image: Tensor | None) -> None:
        super().__init__()
        self.image = image

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        assert self.image is not None
        return self.image


@attrs.frozen(eq=False)
class RecordedStart(RecordedNoise):
    """The recorded noise of a whole walk, the first included."""

    first: Tensor

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        assert shape == self.first.shape
        return self.first
