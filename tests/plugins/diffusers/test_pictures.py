"""Images that are changed, filled or followed, by flows and by networks that read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glidepath.core import Pipeline, Request

from .equality import NEAR, PROMPTS, STEPS, assert_equal, first_noise, latents_of, ours, theirs
from .test_steering import draws, hole, picture, pil

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]


def unpacked(reference: Any, latents: Tensor) -> Tensor:
    """What a pipeline of Flux ends at, as x."""
    return latents if latents.ndim == 4 else reference._unpack_latents(latents, 16, 16, 2)


def of_folder(name: str, saved: Saved) -> Pipeline:
    return ours(saved(name), **({"denoiser": {"size": 8}} if name.startswith("flux") else {}))


@pytest.mark.parametrize("inpaints", [False, True])
@pytest.mark.parametrize("name", ["sd3", "flux"])
def test_a_flow_begins_from_an_image(
    name: str, inpaints: bool, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = "Flux" if name == "flux" else "StableDiffusion3"
    kind = getattr(diffusers, f"{family}{'Inpaint' if inpaints else 'Img2Img'}Pipeline")
    reference, pipeline = kind(**theirs(saved(name)).components), of_folder(name, saved)
    reference.set_progress_bar_config(disable=True)
    pipeline.sampler.known = "x_t"
    image, mask = picture(1), hole(4, 12, 2, 10)
    kept = {"mask": 1 - mask[:, :1] // 255} if inpaints else {}
    request = Request.of(PROMPTS, seed=5, image=image, strength=0.6, **kept)
    noise, shape = request.noise(), (2, *pipeline.denoiser.image_shape)
    monkeypatch.setattr(f"{kind.__module__}.randn_tensor", lambda *_, **__: noise.initial(shape, "cpu"))
    draws(monkeypatch, noise.posterior(shape, "cpu"))
    expected = reference(
        PROMPTS,
        image=[pil(image)] * 2,
        strength=0.6,
        num_inference_steps=STEPS,
        guidance_scale=3.5 if name == "flux" else 7.0,
        height=16,
        width=16,
        output_type="latent",
        **({"mask_image": [pil(mask).convert("L")] * 2} if inpaints else {}),
    ).images
    *_, last = pipeline.states(request)
    expected = unpacked(reference, expected)
    assert (last.x - expected).abs().max() < NEAR * expected.std()


@pytest.mark.parametrize("name", ["flux_control", "flux_fill"])
def test_flux_reads_pictures_beside_x(name: str, saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, reference = of_folder(name, saved), theirs(saved(name))
    noise, image, mask = first_noise(pipeline), picture(1), hole(4, 12, 2, 9)
    draws(monkeypatch, Request.of(PROMPTS).noise().posterior(tuple(noise.shape), "cpu"))
    if name == "flux_control":
        theirs_given: dict[str, Any] = {"control_image": [pil(image)] * 2}
        given = {"control": image}
    else:
        theirs_given = {"image": [pil(image)] * 2, "mask_image": [pil(mask).convert("L")] * 2}
        given = {"inpaint_image": image, "inpaint_mask": mask}
    packed = reference._pack_latents(noise, *noise.shape)
    expected = latents_of(reference, packed, **theirs_given, height=16, width=16)
    assert_equal(pipeline, noise, unpacked(reference, expected), inputs=given)
    others = {key: 255 - value for key, value in given.items()}
    *_, last = pipeline.states(PROMPTS, inputs=others, seed=1)
    *_, again = pipeline.states(PROMPTS, inputs=given, seed=1)
    assert not torch.equal(last.x, again.x)
