"""Every pool and option of the classifier gives what another rendering of it gives in float64.

The bound is the strictest of those of the recorded classifiers, which have three of the pools.
"""

from __future__ import annotations

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.plugins.adm.classifier_config import AdmClassifierConfig
from glidepath.plugins.adm.classifier_network import AdmClassifier

from .rendering import Rendering, sinusoids
from .test_kernels_in_networks import apart

TOLERANCE = 1e-5
ATTENTION = AdmClassifierConfig(
    image_size=16,
    num_classes=6,
    channels=32,
    res_blocks=2,
    channel_mult=(1, 2),
    attention_resolutions=(8,),
    head_channels=16,
)
ADAPTIVE = attrs.evolve(ATTENTION, pool="adaptive")
NETWORKS = {
    "attention": ATTENTION,
    "attention, the new order in the blocks": attrs.evolve(ATTENTION, attention_order="new"),
    "attention, resampling by convolutions": attrs.evolve(ATTENTION, resblock_updown=False),
    "adaptive": ADAPTIVE,
    "adaptive, heads by number": attrs.evolve(ADAPTIVE, head_channels=None, heads=4),
    "adaptive, a timestep that is added": attrs.evolve(ADAPTIVE, scale_shift_norm=False),
    "adaptive, one dimension": attrs.evolve(ADAPTIVE, dims=1),
    "adaptive, frames": attrs.evolve(ADAPTIVE, dims=3),
    "spatial": attrs.evolve(ATTENTION, pool="spatial"),
    "spatial, attention in the middle alone": attrs.evolve(
        ATTENTION, pool="spatial", attention_resolutions=(), head_channels=None, heads=2
    ),
    "spatial_v2": attrs.evolve(ATTENTION, pool="spatial_v2"),
    "spatial_v2, grey, resampling without convolutions": attrs.evolve(
        ATTENTION, pool="spatial_v2", in_channels=1, resblock_updown=False, conv_resample=False
    ),
}


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_a_classifier_gives_what_another_rendering_of_it_gives(network: str) -> None:
    config = NETWORKS[network]
    classifier = random_classifier(config)
    size = {1: (16,), 2: (16, 16), 3: (3, 16, 16)}[config.dims]
    x = torch.randn(2, config.in_channels, *size, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([980, 3])
    made = classifier(x, t)
    weights = {name: value.double() for name, value in classifier.state_dict().items()}
    again = logits(Rendering(weights, config.unet), config, x, t)
    assert apart(made, again) < TOLERANCE


def random_classifier(config: AdmClassifierConfig) -> AdmClassifier:
    """No weight of it is 0."""
    torch.manual_seed(0)
    made = AdmClassifier(config).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.ndim == 1 else (1 / parameter[0].numel()) ** 0.5)
    return made


def logits(rendering: Rendering, config: AdmClassifierConfig, x: Tensor, t: Tensor) -> Tensor:
    """[B, classes]: down through all stages, then the head that the pool names."""
    embedding = rendering.linear("time_embed.0", sinusoids(t, config.channels).double())
    embedding = rendering.linear("time_embed.2", F.silu(embedding))
    h, means = x.double(), []
    for index in range(len(config.channel_mult) * (config.res_blocks + 1)):
        resampling = "down" if index > 0 and index % (config.res_blocks + 1) == 0 else ""
        h = rendering.stage(f"input_blocks.{index}", h, embedding, None, resampling)
        means.append(h.flatten(2).mean(dim=2))
    h = rendering.stage("middle_block", h, embedding, None)
    means.append(h.flatten(2).mean(dim=2))
    if config.pool.startswith("spatial"):
        hidden = rendering.linear("out.0", torch.cat(means, dim=1))
        if config.pool == "spatial":
            return rendering.linear("out.2", hidden.clamp(min=0))
        return rendering.linear("out.3", F.silu(rendering.norm("out.1", hidden)))
    h = F.silu(rendering.norm("out.0", h)).flatten(2)
    if config.pool == "adaptive":
        return rendering.pointwise("out.3", h.mean(dim=2, keepdim=True))[:, :, 0]
    assert config.head_channels is not None
    return attention_pool(rendering, config.head_channels, h)


def attention_pool(rendering: Rendering, head_channels: int, h: Tensor) -> Tensor:
    """What the mean of all positions attends to, head by head; queries, keys and values one after another."""
    h = torch.cat([h.mean(dim=2, keepdim=True), h], dim=2) + rendering.weights["out.2.positional_embedding"]
    q, k, v = rendering.pointwise("out.2.qkv_proj", h).chunk(3, dim=1)
    heads = []
    for query, key, value in zip(*(it.split(head_channels, dim=1) for it in (q, k, v)), strict=True):
        scores = torch.einsum("bc,bcs->bs", query[:, :, 0], key) * head_channels**-0.5
        heads.append(torch.einsum("bs,bcs->bc", scores.softmax(dim=1), value))
    return rendering.pointwise("out.2.c_proj", torch.cat(heads, dim=1)[:, :, None])[:, :, 0]
