"""An imported folder gives the latents that its own pipeline in diffusers gives from the same noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from torch import Tensor

from glidepath.core import Request

from .equality import (
    NEAR,
    PROMPTS,
    STEPS,
    GivenNoise,
    assert_equal,
    first_noise,
    latents_of,
    ours,
    refined_cascade,
    theirs,
)

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]


@attrs.frozen
class Case:
    """A scheduler of diffusers, with what is set of it."""

    name: str
    settings: Mapping[str, Any] = attrs.field(factory=dict)


SCHEDULERS = [
    Case("DDIMScheduler", {"clip_sample": False}),
    Case("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "trailing"}),
    Case("PNDMScheduler"),
    Case("PNDMScheduler", {"timestep_spacing": "trailing"}),
    Case("EulerDiscreteScheduler", {"timestep_spacing": "leading"}),
    Case("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    Case("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    Case("HeunDiscreteScheduler", {"timestep_spacing": "trailing"}),
    Case("DPMSolverMultistepScheduler"),
    Case("DPMSolverMultistepScheduler", {"timestep_spacing": "leading"}),
    Case("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    Case("UniPCMultistepScheduler"),
]


@pytest.mark.parametrize(
    "case", SCHEDULERS, ids=lambda case: "-".join([case.name, *map(str, case.settings.values())])
)
def test_stable_diffusion_under_each_scheduler(case: Case, saved: Saved) -> None:
    folder = saved("sd15")
    reference = theirs(folder)
    reference.scheduler = getattr(diffusers, case.name).from_config(
        reference.scheduler.config, **case.settings
    )
    scheduler = {**reference.scheduler.config, "_class_name": case.name}
    pipeline = ours(folder, scheduler=scheduler)
    noise = first_noise(pipeline)
    assert_equal(pipeline, noise, latents_of(reference, noise))


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl", "sd3", "sd3_without_t5", "sd35", "pixart"])
def test_a_folder_gives_the_latents_of_its_pipeline(name: str, saved: Saved) -> None:
    folder = saved(name)
    pipeline, reference = ours(folder), theirs(folder)
    noise = first_noise(pipeline)
    (guidance,) = pipeline.guidance
    more = {"use_resolution_binning": False} if name == "pixart" else {}
    scale: float = guidance.scale  # type: ignore[attr-defined]
    assert_equal(pipeline, noise, latents_of(reference, noise, guidance_scale=scale, **more))


@pytest.mark.parametrize("name", ["flux", "schnell", "chroma"])
def test_packed_latents_are_those_of_its_pipeline(name: str, saved: Saved) -> None:
    pipeline = ours(saved(name), denoiser={"size": 8})  # which the folder does not say
    reference = theirs(saved(name))
    noise = first_noise(pipeline)
    packed = reference._pack_latents(noise, *noise.shape)
    height, width = pipeline.image_size
    expected = latents_of(reference, packed, height=height, width=width)
    assert_equal(
        pipeline, noise, reference._unpack_latents(expected, height, width, reference.vae_scale_factor)
    )


def test_dit_gives_the_latents_of_its_pipeline(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, reference = ours(saved("dit")), theirs(saved("dit"))
    noise = first_noise(pipeline)
    monkeypatch.setattr("diffusers.pipelines.dit.pipeline_dit.randn_tensor", lambda *_, **__: noise.clone())
    decode, latents = reference.vae.decode, []

    def kept(z: Tensor) -> Any:
        latents.append(z)
        return decode(z)

    reference.vae.decode = kept
    reference(class_labels=[3, 7], guidance_scale=4.0, num_inference_steps=STEPS, output_type="np")
    expected = reference.vae.config.scaling_factor * latents[0]
    assert_equal(pipeline, noise, expected, labels=[3, 7])


def test_a_unet_of_pixels_gives_the_images_of_its_pipeline(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, reference = ours(saved("pixels")), theirs(saved("pixels"))
    noise = first_noise(pipeline)
    monkeypatch.setattr("diffusers.pipelines.ddim.pipeline_ddim.randn_tensor", lambda *_, **__: noise.clone())
    expected = reference(batch_size=2, num_inference_steps=STEPS, output_type="np").images
    images = pipeline(PROMPTS, noise=GivenNoise(noise)).permute(0, 2, 3, 1).numpy()
    assert abs(images - (expected * 255).round()).max() <= 1


@pytest.mark.parametrize("saved_as", [{"variant": "fp16"}, {"max_shard_size": "100KB"}], ids=str)
def test_variants_and_shards_are_read_as_one_file(
    saved_as: Mapping[str, Any], saved: Saved, tmp_path: Path
) -> None:
    reference = theirs(saved("sd15"))
    reference.save_pretrained(tmp_path, **saved_as)
    assert not (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").exists()
    pipeline = ours(tmp_path)
    noise = first_noise(pipeline)
    assert_equal(pipeline, noise, latents_of(reference, noise))


def test_pixels_are_within_one_level(saved: Saved) -> None:
    pipeline, reference = ours(saved("sd15")), theirs(saved("sd15"))
    noise = first_noise(pipeline)
    expected = reference(PROMPTS, latents=noise, num_inference_steps=STEPS, output_type="pt").images
    images = pipeline(PROMPTS, noise=GivenNoise(noise))
    assert (images - (expected * 255).round()).abs().max() <= 1


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("steps", [10, 20])
def test_a_refiner_goes_on_from_the_noise_that_the_base_leaves(name: str, steps: int, saved: Saved) -> None:
    base, refiner = theirs(saved("sdxl")), theirs(saved("refiner"))
    for pipeline in (base, refiner):
        made = getattr(diffusers, name).from_config(base.scheduler.config, timestep_spacing="leading")
        pipeline.scheduler = made
    scheduler = {**base.scheduler.config, "_class_name": name}
    cascade = refined_cascade(saved("sdxl"), saved("refiner"), steps, scheduler)
    request = Request.of(PROMPTS, seed=5)
    noise = request.noise().initial((2, *cascade.first.denoiser.image_shape), "cpu")
    asked: dict[str, Any] = {"num_inference_steps": steps, "output_type": "latent", "guidance_scale": 5.0}
    half_way = base(PROMPTS, latents=noise, denoising_end=0.8, **asked).images
    expected = refiner(PROMPTS, image=half_way, denoising_start=0.8, **asked).images
    assert cascade.lengths() == [steps * 4 // 5, steps // 5]
    *_, last = cascade.states(request)
    assert (last.x - expected).abs().max() < NEAR * expected.std()
    assert (half_way - expected).std() > 0.1
