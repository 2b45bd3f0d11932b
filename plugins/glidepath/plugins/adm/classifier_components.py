"""What the plugin supplies for classifier guidance. Imports no torch, and no parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glidepath.plugins.adm.faults import classifier_faults
from glidepath.registry import Component, Kind, Need

if TYPE_CHECKING:
    from glidepath.plugins.adm.classifier_config import AdmClassifierConfig

_PAPER = 'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233'
_HERE = "glidepath.plugins.adm"

KINDS = (
    Kind(
        name="classifier",
        interface=f"{_HERE}.classifier:Classifier",
        summary="says which class a noisy image is of, inside a guidance",
    ),
)

_SMALL = {
    "image_size": 16,
    "num_classes": 5,
    "channels": 32,
    "channel_mult": [1, 2],
    "res_blocks": 1,
    "attention_resolutions": [8],
    "head_channels": 16,
}
"""Parameters with which a classifier is tried."""


def _needs(config: AdmClassifierConfig) -> dict[str, Need]:
    channels = Need(
        value=config.in_channels, field="in_channels", optional=True, why="it reads x_t as it is, latents too"
    )
    if config.pool != "attention":
        return {"image.channels": channels}
    why = "pool attention has learned a vector for each position of such images"
    size = Need(value=config.image_size, field="image_size", optional=True, why=why)
    return {"image.channels": channels, "image.size": size}


COMPONENTS = (
    Component(
        kind="classifier",
        name="adm-classifier",
        target=f"{_HERE}.classifier_network:AdmClassifier",
        config=f"{_HERE}.classifier_config:AdmClassifierConfig",
        summary="ADM's classifier of noisy images: the way down of its UNet, and a head",
        needs=_needs,
        check=classifier_faults,
        lacks=lambda _config: [("weights", "has no weights yet: it guides to no class")],
        example=_SMALL,
        references=(f"{_PAPER}, section 4 and appendix H",),
    ),
    Component(
        kind="guidance",
        name="classifier",
        target=f"{_HERE}.classifier_guidance:ClassifierGuidance",
        config=f"{_HERE}.classifier_config:ClassifierGuidanceConfig",
        summary="pulls each step to where a classifier sees the label",
        provides=lambda _config: {"guidance.weight": True},
        example={"classifier": {"use": "glidepath-diffusion/adm-classifier", **_SMALL}},
        neutral={"scale": 0},
        references=(f"{_PAPER}, section 4, algorithms 1 and 2",),
    ),
)

PRESETS = {
    "adm-g-64": "ADM-G, 64 x 64: adm-64 guided by a classifier; you give the weights",
    "adm-g-128": "ADM-G, 128 x 128: adm-128 guided by a classifier; you give the weights",
    "adm-g-256": "ADM-G, 256 x 256: adm-256 guided by a classifier; you give the weights",
    "adm-g-256-uncond": "ADM-G, 256 x 256: adm-256-uncond, steered to a class by a classifier alone",
    "adm-g-512": "ADM-G, 512 x 512: adm-512 guided by a classifier; you give the weights",
}
"""What the files beside those of the denoisers hold."""
