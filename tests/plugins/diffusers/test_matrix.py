"""Samplers, spacings and guidance run on every model of today, or are refused for a reason that is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from glidepath.core import Pipeline
from glidepath.plugins.diffusers.imported import read_folder, refined
from glidepath.registry import Catalogue, SpecError, build_pipeline, load_catalogue, make_plan, read_spec

from .equality import ours

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

from .test_ip_adapter import adapter, plus, prompt, write

pytestmark = pytest.mark.thorough

Saved = Callable[[str], Path]
FREE = {"use": "classifier-free", "scale": 3}
GUIDANCES: dict[str, list[Any]] = {
    "none": [],
    "apg": ["apg"],
    "interval": [FREE, {"use": "interval", "low": 0.1}],
    "rescale": [FREE, "rescale"],
    "scale-schedule": [FREE, "scale-schedule"],
    "dynamic-threshold": [FREE, "dynamic-threshold"],
    "low-res-consistency": ["low-res-consistency"],
}
SPACINGS: list[Any] = [
    *("2,1,1", "fast27", "ddim4", "leading4", "leading4+1", "trailing4", "uniform4"),
    *([900, 500, 10], [1.0, 0.6, 0.2]),
]
LEVELS: list[Any] = ["time", "karras", "exponential", [5.0, 1.0, 0.2]]
ENDLESS = "the first sigma over alpha is infinite"  # of flows, and with a terminal SNR of zero
REASONS = {
    "pndm": ENDLESS,
    "dynamic-threshold": "needs codec.bounded true",
    "low-res-consistency": "needs image.upsamples true",
    "clip": "needs codec.bounded true",
    "classifier": "needs image.channels 3",
    **{f"sigmas {levels}": ENDLESS for levels in LEVELS[:3]},
    **{f"steps {spacing}": "is no spacing in continuous time" for spacing in SPACINGS},
    "steps [900, 500, 10]": "time 900 is not above 0 and at most 1",
    "steps [1.0, 0.6, 0.2]": "timestep 1.0 is not a whole number",
}
FEW = {
    *("ddpm", "euler", "dpmpp-2m", "unipc", "pndm"),
    *("none", "apg", "dynamic-threshold"),
}
"""Of each family of samplers and guidance one: other rows have them all."""
NATIVE = {
    "dit-xl-2-256": {"image_size": 8, "width": 32, "depth": 2, "heads": 2},
    "edm2-img512": {
        "image_size": 8,
        "channels": 16,
        "channel_mult": [1, 2],
        "res_blocks": 1,
        "attention_resolutions": [4],
        "head_channels": 16,
        "null_class": True,
    },
}


def changes(catalogue: Catalogue, steps: int = 4) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is laid over the spec of a folder: each sampler, and each guidance."""
    for sampler in catalogue.components("sampler"):
        name = sampler.component.name
        yield name, {"sampler": {"use": name, "steps": steps}}
    for name, guidance in GUIDANCES.items():
        yield name, {"guidance": guidance}


def spacings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each way to space steps and noise levels."""
    for spacing in SPACINGS:
        yield f"steps {spacing}", {"sampler": {"use": "euler", "steps": spacing}}
    for levels in LEVELS:
        yield f"sigmas {levels}", {"sampler": {"use": "euler", "steps": 3, "sigmas": levels}}


def more_changes(spec: dict[str, Any], catalogue: Catalogue) -> Iterator[tuple[str, dict[str, Any]]]:
    """Guidance that has parts, or scales, of its own."""
    steered_by = "text" if "text_encoder" in spec else "labels"
    examples: dict[str, Any] = {
        "autoguidance": {"denoiser": spec["denoiser"]},
        "per-condition": {"scales": {steered_by: 3.0}},
        "clip": {"clip": example(catalogue, "clip/noised-clip")},
        "classifier": {"classifier": example(catalogue, "classifier/adm-classifier"), "label": 1},
    }
    known = {part.component.name for part in catalogue.components("guidance")}
    assert known == {*GUIDANCES, *examples, "classifier-free"} - {"none"}
    for name, parameters in examples.items():
        yield name, {"guidance": [{"use": name, **parameters}]}


def example(catalogue: Catalogue, part: str) -> dict[str, Any]:
    """The part with the parameters with which it is tried."""
    kind, _, name = part.partition("/")
    parameters = catalogue.find(kind, name).component.example
    assert isinstance(parameters, Mapping)
    return {"use": name, **parameters}


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl", "sd3", "flux", "dit", "pixart"])
def test_every_sampler_and_guidance_runs_on_a_model(model: str, saved: Saved) -> None:
    catalogue = load_catalogue()
    spec = imported(model, saved)
    ran, refused = run(spec, [*changes(catalogue), *more_changes(spec, catalogue)], catalogue)
    assert len(ran) >= 14
    assert {"clip", "classifier"} <= refused.keys()
    require_reasons(refused)


@pytest.mark.parametrize(
    "model",
    [
        "sd15",
        "sd21",
        "flux",
        *(pytest.param(it, marks=pytest.mark.slow) for it in ("sdxl", "sd3", "dit", "pixart")),
    ],
)
def test_every_spacing_runs_on_a_model(model: str, saved: Saved) -> None:
    """It knows no network. The schedules of these are betas, betas that end in noise alone, and a flow."""
    ran, refused = run(imported(model, saved), spacings(), load_catalogue())
    assert len(ran) >= 2
    require_reasons(refused)


@pytest.mark.parametrize(
    "model",
    [
        "flux_fill",
        "flux_control",
        "chroma",
        "pix2pix",
        "upscaler",
        "latent_upscaler",
        "inpainting",
        "refiner",
        "sd15 + controlnet",
        "sdxl + sdxl_controlnet",
        "sd3 + sd3_controlnet",
        "flux + flux_controlnet",
        "sd15 + ip-adapter plus",
        "dit-xl-2-256",
        "edm2-img512",
    ],
)
def test_samplers_and_guidance_run_on_newer_models(model: str, saved: Saved, tmp_path: Path) -> None:
    """Two steps of each: what is refused is refused for the reasons that other models have too."""
    catalogue = load_catalogue()
    spec = with_image_prompt(saved, tmp_path) if "ip-adapter" in model else imported(model, saved)
    few = {name: change for name, change in changes(catalogue, steps=2) if name in FEW}
    ran, refused = run(spec, few.items(), catalogue)
    assert {*ran, *refused} == FEW
    assert len(ran) >= 6
    require_reasons(refused)


def require_reasons(refused: Mapping[str, str]) -> None:
    """That what is refused is refused for the reason that holds."""
    assert refused.keys() <= REASONS.keys()
    assert all(REASONS[name] in message for name, message in refused.items())


@pytest.mark.parametrize("sampler", ["euler", "dpmpp-2m", "heun"])
def test_samplers_run_through_base_and_refiner(sampler: str, saved: Saved) -> None:
    catalogue = load_catalogue()
    found = refined(*(read_folder(saved(name), str(saved(name)), steps=4) for name in ("sdxl", "refiner")))
    stages = {
        name: {**stage, "sampler": {"use": sampler, "steps": 4}}
        for name, stage in dict(found.spec["stages"]).items()
    }
    cascade = build_pipeline(
        make_plan(read_spec({**found.spec, "stages": stages}, catalogue=catalogue), catalogue), catalogue
    )
    assert cascade(["a red star"]).shape == (1, 3, 16, 16)


def imported(model: str, saved: Saved) -> dict[str, Any]:
    """The spec of a folder of diffusers, or of a small network in the place of a preset's."""
    if model in NATIVE:
        folder = saved("dit") / "vae"
        codec = {"use": "autoencoder", "config": str(folder / "config.json"), "weights": str(folder)}
        return {"extends": model, "denoiser": NATIVE[model], "codec": codec}
    base, _, control = model.partition(" + ")
    controls = [(saved(control), str(saved(control)))] if control else []
    spec: dict[str, Any] = dict(read_folder(saved(base), str(saved(base)), steps=3, controls=controls).spec)
    if base.startswith("flux") or base == "latent_upscaler":  # which do not say it
        spec["denoiser"] = {**spec["denoiser"], "size": 8 if base.startswith("flux") else 16}
    if base == "flux" and controls:
        spec["denoiser"]["controls"] = [{**spec["denoiser"]["controls"][0], "mode": 1}]
    return spec


def with_image_prompt(saved: Saved, folder: Path) -> dict[str, Any]:
    unet = ours(saved("sd15")).denoiser.network
    write(folder / "plus.safetensors", adapter(unet, plus, 3))
    spec = imported("sd15", saved)
    spec["denoiser"] = {
        **spec["denoiser"],
        "arguments": {"added_cond_kwargs.image_embeds": ["image_prompt"]},
    }
    return {
        **spec,
        "conditioners": [prompt(saved("image_encoder"), "image_prompt", hidden=True)],
        "adapters": [{"use": "ip-adapter", "weights": str(folder / "plus.safetensors")}],
    }


def run(
    spec: dict[str, Any], changed: Iterable[tuple[str, dict[str, Any]]], catalogue: Catalogue
) -> tuple[list[str], dict[str, str]]:
    """Which changes ran, and why `check` refuses the others."""
    ran, refused = [], {}
    for name, change in changed:
        try:
            plan = make_plan(read_spec({**spec, **change}, catalogue=catalogue), catalogue)
        except SpecError as error:
            refused[name] = str(error)
            continue
        pipeline = build_pipeline(plan, catalogue)
        assert isinstance(pipeline, Pipeline)
        height, width = pipeline.image_size
        pictures = {
            what: torch.full((1, 3, *((height, width) if input.size == "image" else (8, 8))), 99).byte()
            for what, input in pipeline.inputs.items()
            if input.required
        }
        # what is not finite raises
        images = pipeline(["a red star"], labels=[1] if pipeline.num_classes else None, **pictures)
        assert images.shape == (1, 3, height, width)
        ran.append(name)
    return ran, refused
