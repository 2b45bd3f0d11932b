"""One picture of each family at work, from the weights of a study that has run: what goes in, what comes out.

python pictures.py runs/studies/families families.png
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from omegaconf import OmegaConf
from torch import Tensor

from glidepath.core import GeneratorPipeline, PerSampleNoise, Request
from glidepath.registry import assemble, main
from glidepath_families.autoregressive import Autoregressive
from glidepath_families.flow import Flow
from glidepath_families.gan import Gan
from glidepath_families.vae import Vae

PROMPT = "a blue square on white"
SHOWN = 5
TITLES = {
    "diffusion-20": "diffusion: noise as large as the image,\nmade less in 20 steps of one network",
    "flow": "flow: the same noise, back through\nfour maps that can be undone",
    "autoregressive": "autoregression: 16 tokens, each drawn\ngiven the text and those before it",
    "vae": "VAE: latents, from small resolutions\nto large; each narrows what is left open",
    "gan": "GAN: 32 numbers, made an image\nin one pass of one network",
}


def pipeline_of(study: Path, arm: str) -> GeneratorPipeline:
    """An arm with the weights of its first training seed."""
    graph = json.loads((study / "graph.json").read_text(encoding="utf-8"))
    [key] = next(trial for trial in graph["trials"] if trial["arm"] == arm)["nodes"]["train"]
    weights = sorted((study / "nodes" / key[:2] / key / "attempts").glob("*/weights.safetensors"))[-1]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        main(["study", "show", str(study / "study.yaml"), arm])
    spec: Any = OmegaConf.to_container(OmegaConf.create(shown.getvalue()))
    made = assemble({**spec, "weights": str(weights.resolve())})
    assert isinstance(made, GeneratorPipeline)
    return made


@torch.inference_mode()
def stages(pipeline: GeneratorPipeline, seed: int) -> list[Tensor]:
    """Images [C, H, W] of how one comes about, the finished one last."""
    noise = PerSampleNoise([(seed, 0)])
    generator: Any = pipeline.model
    conditioning = pipeline.conditioning(Request(prompts=[PROMPT])).only(generator.reads)
    x = noise.initial((1, *generator.image_shape), "cpu")
    if isinstance(generator, Autoregressive):
        drawn = [*generator.states(conditioning, x, noise)][-1].x[0]
        side = generator.config.factor
        order = torch.arange(generator.grid[0] * generator.grid[1]).reshape(generator.grid)
        order = order.repeat_interleave(side, 0).repeat_interleave(side, 1)
        count = int(order.max()) + 1
        parts = torch.linspace(0, count, SHOWN).round()
        return [torch.where(order < part, drawn, torch.zeros(())) for part in parts]
    if isinstance(generator, Vae):
        layers, sizes = generator.config.layers, generator.config.sizes
        own = [generator.config.latent * h * w for h, w in sizes for _ in range(layers)]
        z = torch.randn(1, sum(own), generator=torch.Generator().manual_seed(seed))
        ends = [0, *torch.tensor(own).cumsum(0).tolist()]
        some = [ends[round(it)] for it in torch.linspace(0, len(own), SHOWN).tolist()]
        # beyond the first latents, those that their priors hold likeliest
        kept = [torch.where(torch.arange(sum(own)) < end, z, torch.zeros(())) for end in some]
        return [generator.from_latent(it, conditioning)[0] for it in kept]
    if isinstance(generator, Gan):
        z = noise.step(0, x.new_empty(1, generator.config.latent))
        return [z.reshape(1, -1, 8).expand(3, -1, -1) / 2, generator.from_latent(z, conditioning)[0]]
    first = 0.5 * x[0] if isinstance(generator, Flow) else x[0]
    states = [first, *(state.x[0] for state in generator.states(conditioning, x, noise))]
    return [states[round(it)] for it in torch.linspace(0, len(states) - 1, SHOWN).tolist()]


def draw(study: Path, out: Path, seed: int = 1) -> None:
    """A row for each family."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(len(TITLES), SHOWN + 1, figsize=(9, 1.5 * len(TITLES)), squeeze=False)
    for axes, (arm, title) in zip(rows, TITLES.items(), strict=True):
        _row(axes, title, stages(pipeline_of(study, arm), seed))
    figure.suptitle(f"“{PROMPT}”: what goes in, and what comes out", fontsize=11)
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def _row(axes: Sequence[Any], title: str, images: Sequence[Tensor]) -> None:
    for axis in axes:
        axis.axis("off")
    axes[0].text(1.0, 0.5, title, ha="right", va="center", fontsize=8, transform=axes[0].transAxes)
    for axis, image in zip(axes[1:], images, strict=False):
        axis.imshow(((image + 1) / 2).clamp(0, 1).permute(1, 2, 0), interpolation="nearest")
    for axis in axes[1 : len(images)]:
        axis.text(1.07, 0.5, "→", ha="center", va="center", transform=axis.transAxes)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
