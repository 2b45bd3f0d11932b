"""ControlNets give the latents that they give in diffusers, on each network that they are made for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from glidepath.core import PartError, Request
from glidepath.plugins.diffusers.imported import read_folder
from glidepath.registry import SpecError
from glidepath.registry.cli import main

from .equality import PROMPTS, assert_equal, first_noise, latents_of, ours, theirs
from .test_steering import draws, picture, pil

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]


def with_control(pipeline: str, name: str, model: str, saved: Saved, controls: list[str]) -> Any:
    """A pipeline of diffusers with ControlNets, which ends at latents."""
    networks = [getattr(diffusers, name).from_pretrained(saved(one)) for one in controls]
    made = getattr(diffusers, pipeline)(
        **theirs(saved(model)).components, controlnet=networks[0] if len(networks) == 1 else networks
    )
    made.set_progress_bar_config(disable=True)
    return made


def test_a_controlnet_of_sdxl_is_told_of_sizes(saved: Saved) -> None:
    reference = with_control(
        "StableDiffusionXLControlNetPipeline", "ControlNetModel", "sdxl", saved, ["sdxl_controlnet"]
    )
    pipeline = ours(saved("sdxl"), controls=[saved("sdxl_controlnet")])
    noise = first_noise(pipeline)
    expected = latents_of(reference, noise, image=pil(picture(1)), controlnet_conditioning_scale=1.0)
    assert_equal(pipeline, noise, expected, control=picture(1))
    assert (expected - latents_of(theirs(saved("sdxl")), noise)).abs().max() > 0.1


@pytest.mark.parametrize("controls", [["sd3_controlnet"], ["sd35_controlnet"], ["sd3_controlnet"] * 2])
def test_a_controlnet_of_sd3_follows_a_picture_in_latents(
    controls: list[str], saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = with_control(
        "StableDiffusion3ControlNetPipeline", "SD3ControlNetModel", "sd3", saved, controls
    )
    pipeline = ours(saved("sd3"), controls=[saved(one) for one in controls])
    noise, several = first_noise(pipeline), len(controls) > 1
    drawn = Request.of(PROMPTS).noise().posterior(tuple(noise.shape), "cpu")
    draws(monkeypatch, torch.cat([drawn, drawn]))  # both halves of the batch are encoded there
    pictures = [picture(1), picture(2)][: len(controls)]
    expected = latents_of(
        reference,
        noise,
        control_image=[pil(one) for one in pictures] if several else pil(pictures[0]),
        controlnet_conditioning_scale=[1.0] * 2 if several else 1.0,
        height=16,
        width=16,
    )
    given = dict(zip(["control", "control-2"], pictures, strict=False))
    assert_equal(pipeline, noise, expected, inputs=given)
    draws(monkeypatch, drawn)
    assert (expected - latents_of(theirs(saved("sd3")), noise)).abs().max() > 0.1


@pytest.mark.parametrize("control", ["flux_controlnet", "flux_pixel_controlnet"])
def test_a_controlnet_of_flux_follows_a_picture(
    control: str, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    union = control == "flux_controlnet"
    model, side = ("flux", 16) if union else ("flux_of_eight", 64)
    reference = with_control("FluxControlNetPipeline", "FluxControlNetModel", model, saved, [control])
    read = read_folder(saved(model), str(saved(model)), controls=[(saved(control), str(saved(control)))])
    (one,) = read.spec["denoiser"]["controls"]
    pipeline = ours(
        saved(model),
        controls=[saved(control)],
        denoiser={"size": 8, "controls": [{**one, "scale": 0.7, **({"mode": 2} if union else {})}]},
    )
    noise = first_noise(pipeline)
    packed = reference._pack_latents(noise, *noise.shape)
    draws(monkeypatch, Request.of(PROMPTS).noise().posterior(tuple(noise.shape), "cpu"))
    followed = picture(1, side=side)
    given = {
        "control_image": [pil(followed)] * 2,
        "controlnet_conditioning_scale": 0.7,
        "guidance_scale": 3.5,
    }
    expected = latents_of(
        reference, packed, **given, control_mode=2 if union else None, height=side, width=side
    )
    assert_equal(
        pipeline,
        noise,
        reference._unpack_latents(expected, side, side, reference.vae_scale_factor),
        control=followed,
    )
    plain = latents_of(theirs(saved(model)), packed, height=side, width=side)
    assert (expected - plain).abs().max() > 0.1


def test_a_union_of_controlnets_is_asked_for_one_of_them(saved: Saved) -> None:
    pipeline = ours(saved("flux"), controls=[saved("flux_controlnet")])
    with pytest.raises(PartError, match="`mode`, a whole number, says which is asked"):
        pipeline(["a red star"], control=picture(1), size=(16, 16))


def test_a_controlnet_that_is_told_a_scale_needs_a_denoiser_that_is(saved: Saved) -> None:
    with pytest.raises(SpecError, match=r"needs guidance.distilled true, and .* gives false") as refused:
        ours(saved("schnell"), controls=[saved("flux_controlnet")])
    assert "denoiser.controls[0].config" in str(refused.value)


def test_a_picture_that_is_not_encoded_is_refused_by_name(saved: Saved) -> None:
    pipeline = ours(
        saved("sd3"), controls=[saved("sd3_controlnet")], conditioners=[{"use": "control-picture"}]
    )
    with pytest.raises(PartError, match="reads a picture of 16 channels, and 'control' has 3: `encoded`"):
        pipeline(["a red star"], control=picture(1))


def test_controlnets_are_imported_with_a_picture_each(
    saved: Saved, capsys: pytest.CaptureFixture[str]
) -> None:
    net = str(saved("controlnet"))
    assert main(["import", str(saved("sd15")), "--control", net, "--control", net]) == 0
    text = capsys.readouterr().out
    assert "conditioners: [{use: control-picture}, {use: control-picture, name: control-2}]" in text
    assert text.count("use: controlnet") == 2


def test_the_folder_of_a_pipeline_with_a_controlnet_has_it(saved: Saved, tmp_path: Path) -> None:
    made = with_control("StableDiffusionControlNetPipeline", "ControlNetModel", "sd15", saved, ["controlnet"])
    made.save_pretrained(tmp_path)
    spec = read_folder(tmp_path, "sd").spec
    assert spec["denoiser"]["controls"] == [
        {"use": "controlnet", "config": "sd/controlnet/config.json", "weights": "sd/controlnet"}
    ]
    assert spec["conditioners"] == [{"use": "control-picture"}]


def test_networks_of_another_class_are_no_controlnets(saved: Saved, tmp_path: Path) -> None:
    from glidepath.plugins.diffusers import plugin
    from glidepath.plugins.diffusers.steering_configs import ControlNetConfig

    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    (component,) = (one for one in plugin.components() if one.name == "controlnet")
    ((field, message),) = component.check(ControlNetConfig(config=tmp_path / "config.json"))
    assert (field, "UNet2DModel is no ControlNet that is known: ControlNetModel" in message) == (
        "config",
        True,
    )
