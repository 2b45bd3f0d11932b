"""What steers beside the prompt gives the latents that it gives in diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from glidepath.core import Cascade, PartError, Request
from glidepath.plugins.diffusers.imported import read_folder
from glidepath.registry import SpecError, assemble

from .equality import NEAR, PROMPTS, STEPS, assert_equal, first_noise, latents_of, ours, theirs

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]


def picture(seed: int, channels: int = 3, side: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, channels, side, side), dtype=torch.uint8, generator=generator)


def pil(tensor: Tensor) -> Image.Image:
    return Image.fromarray(tensor[0].permute(1, 2, 0).numpy())


def test_negative_prompts_are_those_of_each_image(saved: Saved) -> None:
    pipeline, reference = ours(saved("sd15")), theirs(saved("sd15"))
    noise, negative = first_noise(pipeline), ["blurry", "a crowd"]
    expected = latents_of(reference, noise, negative_prompt=negative)
    assert_equal(pipeline, noise, expected, negative=negative)


@pytest.mark.parametrize("negative", [None, ""])
def test_zeros_stand_for_no_prompt_of_sdxl_and_not_for_an_empty_one(
    negative: str | None, saved: Saved
) -> None:
    pipeline, reference = ours(saved("sdxl")), theirs(saved("sdxl"))
    noise = first_noise(pipeline)
    given = None if negative is None else [negative] * 2
    assert_equal(pipeline, noise, latents_of(reference, noise, negative_prompt=given), negative=given)


@pytest.mark.parametrize("name", ["sdxl", "sd3"])
def test_each_text_encoder_may_have_a_prompt_of_its_own(name: str, saved: Saved) -> None:
    pipeline, reference = ours(saved(name)), theirs(saved(name))
    noise, (guidance,) = first_noise(pipeline), pipeline.guidance
    texts = {"prompt_2": ["oil on canvas", "a photo"], "negative_prompt_2": ["smooth", "a drawing"]}
    if name == "sd3":
        texts |= {"prompt_3": ["one", "two"], "negative_prompt_3": ["three", "four"]}
    scale: float = guidance.scale  # type: ignore[attr-defined]
    expected = latents_of(reference, noise, negative_prompt=["a", "b"], guidance_scale=scale, **texts)
    assert_equal(pipeline, noise, expected, negative=["a", "b"], **texts)
    plain = latents_of(reference, noise, guidance_scale=scale)
    assert (expected - plain).abs().max() > 0.1


def test_sizes_are_of_the_call(saved: Saved) -> None:
    pipeline, reference = ours(saved("sdxl")), theirs(saved("sdxl"))
    noise = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(3))
    expected = latents_of(reference, noise, height=16, width=24)
    assert_equal(pipeline, noise, expected, size=(16, 24))


@pytest.mark.parametrize("name", ["sd15", "refiner"])
def test_an_image_is_changed_from_the_same_posterior(
    name: str, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(name)
    reference = theirs(folder)
    scheduler = None
    if name == "sd15":
        reference = diffusers.StableDiffusionImg2ImgPipeline(**reference.components)
        reference.set_progress_bar_config(disable=True)
        reference.scheduler = diffusers.DDIMScheduler.from_config(
            reference.scheduler.config, clip_sample=False
        )
        scheduler = {**reference.scheduler.config, "_class_name": "DDIMScheduler"}
    pipeline = ours(folder, scheduler=scheduler)
    request = Request.of(PROMPTS, seed=5, image=picture(1), strength=0.6)
    shape = (2, *pipeline.denoiser.image_shape)
    noise = request.noise()
    module = type(reference).__module__
    monkeypatch.setattr(f"{module}.randn_tensor", lambda *_, **__: noise.initial(shape, "cpu"))
    drawn = noise.posterior(shape, "cpu")
    monkeypatch.setattr("diffusers.models.autoencoders.vae.randn_tensor", lambda *_, **__: drawn)
    (guidance,) = pipeline.guidance
    expected = reference(
        PROMPTS,
        image=[pil(picture(1))] * 2,
        strength=0.6,
        num_inference_steps=STEPS,
        guidance_scale=guidance.scale,
        output_type="latent",
    ).images
    *_, last = pipeline.states(request)
    assert (last.x - expected).abs().max() < NEAR * expected.std()


def hole(top: int, bottom: int, left: int, right: int) -> Tensor:
    """White where an image is made anew."""
    mask = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    mask[..., top:bottom, left:right] = 255
    return mask


def draws(monkeypatch: pytest.MonkeyPatch, noise: Tensor) -> None:
    """Have autoencoders of diffusers draw from their distribution with this noise."""
    monkeypatch.setattr("diffusers.models.autoencoders.vae.randn_tensor", lambda *_, **__: noise)


@pytest.mark.parametrize("name", ["inpainting", "sdxl_inpainting"])
def test_an_inpainting_unet_reads_a_mask_and_what_it_leaves(
    name: str, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, reference = ours(saved(name)), theirs(saved(name))
    noise, image, mask = first_noise(pipeline), picture(1), hole(4, 12, 2, 9)
    request = Request.of(PROMPTS, inpaint_image=image, inpaint_mask=mask)
    draws(monkeypatch, request.noise().posterior(tuple(noise.shape), "cpu"))
    given = {"image": [pil(image)] * 2, "mask_image": [pil(mask).convert("L")] * 2}
    expected = latents_of(reference, noise, **given, height=16, width=16, strength=1.0)
    assert_equal(pipeline, noise, expected, inpaint_image=image, inpaint_mask=mask)


@pytest.mark.parametrize(
    ("scheduler", "strength"),
    [
        ("PNDMScheduler", 1.0),  # and not 0.6, for its warm-up counts as a step there
        ("DDIMScheduler", 0.6),
        ("EulerDiscreteScheduler", 1.0),
        ("EulerDiscreteScheduler", 0.6),
        ("HeunDiscreteScheduler", 1.0),
        ("DPMSolverMultistepScheduler", 0.6),
        ("UniPCMultistepScheduler", 1.0),
    ],
)
def test_a_unet_of_plain_images_inpaints_as_in_diffusers(
    scheduler: str, strength: float, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved("sd15")
    reference = diffusers.StableDiffusionInpaintPipeline(**theirs(folder).components)
    reference.set_progress_bar_config(disable=True)
    reference.scheduler = getattr(diffusers, scheduler).from_config(
        reference.scheduler.config, clip_sample=False, timestep_spacing="trailing"
    )
    config = {**reference.scheduler.config, "_class_name": scheduler}
    pipeline = ours(folder, scheduler=config)
    pipeline.sampler.known = "x_t"
    image, mask = picture(1), hole(4, 12, 2, 10)
    kept = 1 - mask[:, :1] // 255
    request = Request.of(
        PROMPTS, seed=5, image=image, mask=kept, strength=None if strength == 1 else strength
    )
    shape = (2, *pipeline.denoiser.image_shape)
    noise = request.noise()
    monkeypatch.setattr(
        f"{type(reference).__module__}.randn_tensor", lambda *_, **__: noise.initial(shape, "cpu")
    )
    draws(monkeypatch, noise.posterior(shape, "cpu"))
    expected = reference(
        PROMPTS,
        image=[pil(image)] * 2,
        mask_image=[pil(mask).convert("L")] * 2,
        height=16,
        width=16,
        strength=strength,
        num_inference_steps=STEPS,
        output_type="latent",
    ).images
    *_, last = pipeline.states(request)
    assert (last.x - expected).abs().max() < NEAR * expected.std()


def test_an_image_and_an_instruction_each_have_a_scale(saved: Saved) -> None:
    reference = theirs(saved("pix2pix"))
    reference.scheduler = diffusers.EulerDiscreteScheduler.from_config(reference.scheduler.config)
    scheduler = {**reference.scheduler.config, "_class_name": "EulerDiscreteScheduler"}
    pipeline = ours(saved("pix2pix"), scheduler=scheduler)
    noise, image, negative = first_noise(pipeline), picture(1), ["blurry", "a crowd"]
    expected = latents_of(reference, noise, image=[pil(image)] * 2, negative_prompt=negative)
    assert_equal(pipeline, noise, expected, edit_image=image, negative=negative)


def test_an_upscaler_stands_after_another_stage(saved: Saved) -> None:
    names = {"base": saved("sd15"), "up": saved("upscaler")}
    stages: dict[str, Any] = {
        name: dict(read_folder(folder, str(folder), steps=2).spec) for name, folder in names.items()
    }
    stages["up"]["denoiser"] = {**stages["up"]["denoiser"], "size": 16}  # as large as the images of the base
    cascade = assemble({"stages": stages})
    assert isinstance(cascade, Cascade)
    images = cascade(["a castle"], seed=3)
    assert images.shape == (1, 3, 32, 32)
    before = cascade.first(["a castle"], noise=Request.of(["a castle"], seed=3).noise(0))
    noise = Request.of(["a castle"], seed=3).noise(1)
    assert torch.equal(images, cascade.last(["a castle"], seed=3, low_res=before, noise=noise))


def test_an_upscaler_of_pictures_takes_no_latents(saved: Saved) -> None:
    names = {"base": saved("sd15"), "up": saved("upscaler")}
    stages: dict[str, Any] = {
        name: dict(read_folder(folder, str(folder), steps=2).spec) for name, folder in names.items()
    }
    stages["up"] |= {"denoiser": {**stages["up"]["denoiser"], "size": 16}, "handover": {"use": "latent"}}
    with pytest.raises(SpecError, match=r"needs handover\.latent false"):
        assemble({"stages": stages})
    with pytest.raises(PartError, match="enlarges pictures, and was handed latents"):
        ours(names["up"])(["a castle"], low_res=torch.zeros(1, 4, 4, 4))


def test_an_upscaler_enlarges_a_picture_with_noise(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, reference = ours(saved("upscaler")), theirs(saved("upscaler"))
    noise, small = first_noise(pipeline), picture(1)[..., :8, :8]
    drawn = Request.of(PROMPTS).noise().posterior((2, 3, 8, 8), "cpu")
    monkeypatch.setattr(f"{type(reference).__module__}.randn_tensor", lambda *_, **__: drawn)
    expected = latents_of(reference, noise, image=[pil(small)] * 2)
    assert_equal(pipeline, noise, expected, low_res=small)


def test_an_upscaler_of_latents_enlarges_a_picture(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = ours(saved("latent_upscaler"), denoiser={"size": 16})  # which the folder does not say
    reference, small = theirs(saved("latent_upscaler")), picture(1)
    noise = first_noise(pipeline)
    draws(monkeypatch, Request.of(PROMPTS).noise().posterior((2, 4, 8, 8), "cpu"))
    expected = latents_of(reference, noise, image=[pil(small)] * 2, guidance_scale=9.0)
    assert_equal(pipeline, noise, expected, low_res=small)
    other = latents_of(reference, noise, image=[pil(picture(2))] * 2, guidance_scale=9.0)
    assert (other - expected).abs().max() > 0.1


def test_an_upscaler_of_latents_goes_on_from_those_of_the_stage_before(saved: Saved) -> None:
    folders = {"base": saved("sd15"), "up": saved("latent_upscaler")}
    stages: dict[str, Any] = {
        name: dict(read_folder(folder, str(folder), steps=STEPS).spec) for name, folder in folders.items()
    }
    stages["up"]["denoiser"] = {**stages["up"]["denoiser"], "size": 16}
    cascades = [
        assemble({"stages": {**stages, "up": {**stages["up"], **handover}}})
        for handover in ({"handover": {"use": "latent", "resize": "nearest"}}, {})
    ]
    cascade, by_images = cascades
    assert isinstance(cascade, Cascade)
    assert isinstance(by_images, Cascade)
    request = Request.of(PROMPTS, seed=5, negative=["blurry", "a crowd"])
    *_, before = cascade.first.states(request, noise=request.noise(0))
    noise = request.noise(1).initial((2, *cascade.last.denoiser.image_shape), "cpu")
    given: dict[str, Any] = {
        "image": before.x,
        "guidance_scale": 9.0,
        "negative_prompt": ["blurry", "a crowd"],
    }
    expected = latents_of(theirs(saved("latent_upscaler")), noise, **given)
    *_, last = cascade.states(request)
    assert (last.x - expected).abs().max() < NEAR * expected.std()
    assert cascade.lengths() == [STEPS, STEPS]
    *_, other = by_images.states(request)  # of 8 bits, which are encoded again
    assert (other.x - last.x).abs().max() > NEAR * expected.std()


def test_two_controlnets_each_have_their_say(saved: Saved) -> None:
    folder, net = saved("sd15"), saved("controlnet")
    parts = theirs(folder).components
    network = diffusers.ControlNetModel.from_pretrained(net)
    # not PNDM, which counts its warm-up as a step there
    parts["scheduler"] = diffusers.DDIMScheduler.from_config(parts["scheduler"].config, clip_sample=False)
    reference = diffusers.StableDiffusionControlNetPipeline(**parts, controlnet=[network, network])
    reference.set_progress_bar_config(disable=True)
    control = {"use": "controlnet", "config": str(net / "config.json"), "weights": str(net)}
    pipeline = ours(
        folder,
        scheduler={**parts["scheduler"].config, "_class_name": "DDIMScheduler"},
        denoiser={
            "controls": [
                {**control, "scale": 0.7},
                {**control, "picture": "pose", "scale": 0.4, "begin": 0.2, "end": 0.6},
            ]
        },
        conditioners=[{"use": "control-picture"}, {"use": "control-picture", "name": "pose"}],
    )
    noise = first_noise(pipeline)
    expected = latents_of(
        reference,
        noise,
        image=[pil(picture(1)), pil(picture(2))],
        controlnet_conditioning_scale=[0.7, 0.4],
        control_guidance_start=[0.0, 0.2],
        control_guidance_end=[1.0, 0.6],
    )
    assert_equal(pipeline, noise, expected, control=picture(1), pose=picture(2))
    assert (expected - latents_of(theirs(folder), noise)).abs().max() > 0.1
