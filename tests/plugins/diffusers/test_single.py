"""A single file, under the names of its authors' code, gives what the folder of the same model gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glidepath.core import Pipeline
from glidepath.plugins.diffusers.single import read_file
from glidepath.registry import assemble

from .equality import PROMPTS, STEPS, GivenNoise, assert_equal, first_noise, latents_of, ours, theirs

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

from . import originals  # noqa: E402

Saved = Callable[[str], Path]
FILES: Mapping[str, Callable[[Path], Mapping[str, torch.Tensor]]] = {
    "sd15": originals.stable_diffusion,
    "inpainting": originals.stable_diffusion,
    "sd21": originals.stable_diffusion_2,
    "sdxl_of_two_widths": originals.stable_diffusion_xl,
    "refiner": originals.refiner,
    "sd35": originals.stable_diffusion_3,
    "flux": originals.flux_alone,
    "schnell": originals.flux_alone,
}
BESIDE = dict.fromkeys(("flux", "schnell"), ("text_encoder", "text_encoder_2", "vae"))


def single(name: str, saved: Saved, folder: Path, **more: Any) -> Pipeline:
    """The pipeline of a single file; the folder beside it has what the file lacks, and no other weights."""
    file = originals.write(folder / "whole" / "model.safetensors", FILES[name](saved(name)))
    config = originals.without_weights(saved(name), folder / "config", BESIDE.get(name, ()))
    spec = dict(read_file(file, str(file), config=(config, str(config)), steps=STEPS).spec)
    for slot, parameters in more.items():
        spec[slot] = {**spec[slot], **parameters}
    built = assemble(spec)
    assert isinstance(built, Pipeline)
    return built


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl_of_two_widths", "sd35"])
def test_a_single_file_gives_the_latents_of_its_pipeline(name: str, saved: Saved, tmp_path: Path) -> None:
    pipeline, reference = single(name, saved, tmp_path), theirs(saved(name))
    if name == "sd35":  # the published first CLIP projects by the identity
        projection = reference.text_encoder.text_projection.weight
        projection.data.copy_(torch.eye(len(projection)))
    noise = first_noise(pipeline)
    (guidance,) = pipeline.guidance
    scale: float = guidance.scale  # type: ignore[attr-defined]
    expected = latents_of(reference, noise, guidance_scale=scale)
    assert_equal(pipeline, noise, expected)
    images = pipeline(PROMPTS, noise=GivenNoise(noise))
    shown = reference(
        PROMPTS, latents=noise, num_inference_steps=STEPS, guidance_scale=scale, output_type="pt"
    ).images
    assert (images - (shown * 255).round()).abs().max() <= 1


@pytest.mark.parametrize("name", ["flux", "schnell"])
def test_a_transformer_alone_gives_the_latents_of_its_pipeline(
    name: str, saved: Saved, tmp_path: Path
) -> None:
    pipeline, reference = single(name, saved, tmp_path, denoiser={"size": 8}), theirs(saved(name))
    noise = first_noise(pipeline)
    height, width = pipeline.image_size
    packed = reference._pack_latents(noise, *noise.shape)
    expected = latents_of(reference, packed, height=height, width=width)
    unpacked = reference._unpack_latents(expected, height, width, reference.vae_scale_factor)
    assert_equal(pipeline, noise, unpacked)


@pytest.mark.parametrize("name", ["inpainting", "refiner"])
def test_a_single_file_has_the_tensors_of_its_folder(name: str, saved: Saved, tmp_path: Path) -> None:
    found, expected = single(name, saved, tmp_path), ours(saved(name))
    for slot, network in expected.networks().items():
        own = found.networks()[slot].state_dict()
        assert own.keys() == network.state_dict().keys()
        assert all(torch.equal(own[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["sd15", "sdxl_of_two_widths"])
def test_diffusers_reads_the_same_of_these_files(name: str, saved: Saved, tmp_path: Path) -> None:
    """So that the files of these tests are what its authors' code and diffusers mean by them."""
    pipeline = single(name, saved, tmp_path)
    kind = type(theirs(saved(name)))
    peer = kind.from_single_file(
        str(tmp_path / "whole" / "model.safetensors"), config=str(tmp_path / "config"), local_files_only=True
    )
    networks = {"denoiser.network": peer.unet, "codec.network": peer.vae}
    for path, network in networks.items():
        slot, _, inner = path.partition(".")
        own = getattr(getattr(pipeline, slot), inner).state_dict()
        assert own.keys() == network.state_dict().keys()
        assert all(torch.equal(own[key], value) for key, value in network.state_dict().items())
    noise = first_noise(pipeline)
    peer.set_progress_bar_config(disable=True)
    (guidance,) = pipeline.guidance
    scale: float = guidance.scale  # type: ignore[attr-defined]
    assert_equal(pipeline, noise, latents_of(peer, noise, guidance_scale=scale))


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl_of_two_widths", "sd35", "flux"])
def test_tensors_are_cut_and_renamed_and_not_copied(name: str, saved: Saved, tmp_path: Path) -> None:
    """But for shift and scale, which stand in another order, and a projection that a file lacks."""
    pipeline = single(name, saved, tmp_path)
    tensors = load_file(tmp_path / "whole" / "model.safetensors")
    there = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    text: Any = pipeline.text_encoder
    parts: list[Any] = [pipeline.denoiser]
    if name != "flux":  # whose file has nothing else
        parts += [pipeline.codec, *getattr(text, "encoders", [text])]
    for part in parts:
        read = part.read_weights(tensors)
        assert read.keys() == part.state_dict().keys()
        copied = {key for key, tensor in read.items() if tensor.untyped_storage().data_ptr() not in there}
        allowed = ("norm_out.linear", "norm1_context.linear", "text_projection")
        assert all(any(one in key for one in allowed) for key in copied)
