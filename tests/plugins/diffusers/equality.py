"""A folder's pipeline here, and in diffusers, from the same noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glidepath.core import Cascade, Noise, Pipeline
from glidepath.plugins.diffusers.imported import read_folder, refined
from glidepath.plugins.diffusers.schedulers import read_scheduler
from glidepath.registry import assemble

PROMPTS = ["a red star over the sea", "a castle"]
NEAR = 1e-4  # of the standard deviation of the latents
STEPS = 5  # which divides 1000: where a number does not, trailing timesteps of diffusers' DDIM miss the grid


class GivenNoise(Noise):
    """The first noise is given, and none is drawn after."""

    def __init__(self, first: Tensor) -> None:
        self.first = first

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        assert tuple(shape) == tuple(self.first.shape)
        return self.first.clone().to(device)

    def step(self, index: int, like: Tensor) -> Tensor:
        raise AssertionError("a deterministic sampler draws no noise")

    def skip(self, index: int, like: Tensor) -> None:
        pass


def theirs(folder: Path) -> Any:
    """The pipeline of diffusers."""
    import diffusers

    absent = {} if (folder / "text_encoder_3").exists() else {"text_encoder_3": None, "tokenizer_3": None}
    is_sd3 = "StableDiffusion3" in (folder / "model_index.json").read_text()
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, **(absent if is_sd3 else {}))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ours(
    folder: Path,
    steps: int = STEPS,
    scheduler: Mapping[str, Any] | None = None,
    controls: Sequence[Path] = (),
    **more: Any,
) -> Pipeline:
    """The folder's pipeline here, with so many steps.

    scheduler: another one's configuration. controls: folders of ControlNets.
    more: what is laid over the spec, part by part.
    """
    spec: dict[str, Any] = dict(read_folder(folder, str(folder), steps=steps, controls=_named(controls)).spec)
    if scheduler is not None:
        walk = read_scheduler(scheduler, steps, corrected=True)
        spec |= {"schedule": walk.schedule, "sampler": walk.sampler}
    for slot, parameters in more.items():
        spec[slot] = {**spec.get(slot, {}), **parameters} if isinstance(parameters, dict) else parameters
    built = assemble(spec)
    assert isinstance(built, Pipeline)
    return built


def refined_cascade(base: Path, refiner: Path, steps: int, scheduler: Mapping[str, Any]) -> Cascade:
    """SDXL's base and its refiner as stages of one spec, with the same scheduler."""
    walk = read_scheduler(scheduler, steps)
    found = refined(*(read_folder(folder, str(folder), steps=steps) for folder in (base, refiner)))
    spec: dict[str, Any] = dict(found.spec)
    for stage in spec["stages"].values():
        stage |= {"schedule": walk.schedule, "sampler": walk.sampler}
    built = assemble(spec)
    assert isinstance(built, Cascade)
    return built


def _named(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    return [(folder, str(folder)) for folder in folders]


def first_noise(pipeline: Pipeline) -> Tensor:
    """Two rows of it."""
    return torch.randn(2, *pipeline.denoiser.image_shape, generator=torch.Generator().manual_seed(3))


def latents_of(reference: Any, noise: Tensor, **arguments: Any) -> Tensor:
    """What a pipeline of diffusers ends at."""
    given = {"num_inference_steps": STEPS, "output_type": "latent", "latents": noise, **arguments}
    found: Tensor = reference(PROMPTS, **given).images
    return found


def assert_equal(pipeline: Pipeline, noise: Tensor, expected: Tensor, **arguments: Any) -> None:
    """The last x is what diffusers ends at."""
    *_, last = pipeline.states(PROMPTS, noise=GivenNoise(noise), **arguments)
    assert expected.std() > 0.1
    assert (last.x - expected).abs().max() < NEAR * expected.std()
