"""`glidepath straightness`: how far the paths of a pipeline are from straight lines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from glidepath.core import NoiseLevels, PerSampleNoise, Pipeline
from glidepath.registry import assemble


def main(arguments: Sequence[str]) -> int:
    """Print the straightness of a spec for a prompt."""
    parser = argparse.ArgumentParser(
        prog="glidepath straightness",
        description="How far the paths from noise to image are from straight lines; 0: one step would do.",
    )
    parser.add_argument("spec", metavar="SPEC", help="a YAML file, or the name of a preset")
    parser.add_argument("--prompt", default="a red star")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[])
    given = parser.parse_args(arguments)
    pipeline = assemble(given.spec, given.overrides)
    if not isinstance(pipeline, Pipeline):
        parser.error(f"{given.spec} is a cascade: each of its stages has a path of its own")
    print(f"{given.spec}: {straightness(path(pipeline, given.prompt, given.seed), pipeline.levels()):.3f}")
    return 0


def path(pipeline: Pipeline, prompt: str, seed: int) -> Tensor:
    """[N + 1, C, *spatial], the states of a walk from its noise to its image."""
    levels = pipeline.levels()
    noise = PerSampleNoise([(seed, 0)])
    first = levels.init_noise_sigma * noise.initial((1, *pipeline.denoiser.image_shape), "cpu")
    states = [state.x.cpu() for state in pipeline.states([prompt], noise=noise)]
    return torch.cat([pipeline.sampler.temperature * first, *states])


def straightness(x: Tensor, levels: NoiseLevels) -> float:
    """The integral of |(z_1 - z_0) - dz/du|^2 over u, as a share of |z_1 - z_0|^2.

    Liu et al. 2023, equation 7.

    x: [N + 1, ...], the states at N levels and at their end. z and u as in `EulerSampler`.
    """
    scale = levels.alpha + levels.sigma
    u = levels.sigma / scale
    z = x.to(torch.float64).flatten(1) / scale[:, None]
    du = u.diff()[:, None]
    straight = (z[-1] - z[0]) / (u[-1] - u[0])
    apart = (straight - z.diff(dim=0) / du).square()
    return float((apart * du.abs()).sum() / (straight.square().sum() * du.abs().sum()))
