"""What this plugin supplies: ADM's networks and presets.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.plugins.adm import classifier_components
from glidepath.plugins.adm.faults import unet_faults
from glidepath.registry import Component, Kind, Need, Preset, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.adm.configs import AdmUNetConfig
    from glidepath.testing import Trial


def _provides(config: AdmUNetConfig) -> dict[str, object]:
    # beside a text, the null condition is that of the text, and the label stays
    by_class_alone = config.num_classes is not None and config.text_width is None
    classes = {"labels.null": config.null_class} if by_class_alone else {}
    return {
        **classes,
        "image.channels": config.in_channels,
        "image.size": config.image_size,
        "image.upsamples": config.upsamples,
        "prediction.kind": config.predicts,
        "prediction.learned_variance": config.learned_variance,
    }


def _needs(config: AdmUNetConfig) -> dict[str, Need]:
    if config.text_width is None:
        return {"text.width": Need(field="text_width", optional=True, test=_takes_no_text)}
    return {
        "text.width": Need(
            value=config.text_width,
            field="text_width",
            why="text_width is the width of the token vectors that its attention takes in",
        ),
        "text.pooled": Need(
            value=4 * config.channels,
            field="channels",
            why="the pooled text is added to the timestep embedding, which is 4 x channels wide",
        ),
    }


def _takes_no_text(_width: object) -> str:
    return "text_width is none, so the denoiser takes no text"


@hookimpl
def components() -> Iterable[Component]:
    """The denoiser, and what guides by a classifier."""
    return (
        Component(
            kind="denoiser",
            name="adm-unet",
            target="glidepath.plugins.adm.unet:AdmUNet",
            config="glidepath.plugins.adm.configs:AdmUNetConfig",
            summary="the UNet of ADM and GLIDE: from text, class labels or neither; upsampling, inpainting",
            provides=_provides,
            needs=_needs,
            check=unet_faults,
            lacks=lambda _config: [("weights", "has no weights yet: it makes noise")],
            example={
                "image_size": 8,
                "channels": 32,
                "channel_mult": [1, 2],
                "res_blocks": 1,
                "attention_resolutions": [4],
                "head_channels": 16,
                "text_width": 32,
            },
            references=(
                'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233',
                'Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 4.1',
                'Luhman & Luhman 2022, "Improving Diffusion Model Efficiency Through Patching", '
                "arXiv:2207.04316",
            ),
        ),
        *classifier_components.COMPONENTS,
    )


@hookimpl
def kinds() -> Iterable[Kind]:
    """The classifiers that a guidance asks."""
    return classifier_components.KINDS


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses a classifier."""
    if kind != "classifier":
        return ()
    from glidepath.plugins.adm.conformance import ClassifierTrial

    return (ClassifierTrial,)


_PRESETS = {
    "adm-64": "ADM, 64 x 64, one of 1000 classes; you give the weights",
    "adm-128": "ADM, 128 x 128, one of 1000 classes; you give the weights",
    "adm-256": "ADM, 256 x 256, one of 1000 classes; you give the weights",
    "adm-256-uncond": "ADM, 256 x 256, without classes; you give the weights",
    "adm-512": "ADM, 512 x 512, one of 1000 classes; you give the weights",
    "adm-64-256": "ADM's upsampler, 64 x 64 to 256 x 256 (ADM-U); you give the weights",
    "adm-128-512": "ADM's upsampler, 128 x 128 to 512 x 512 (ADM-U); you give the weights",
    "adm-u-256": "ADM-U at 256 x 256: adm-64, then adm-64-256",
    "adm-u-512": "ADM-U at 512 x 512: adm-128, then adm-128-512",
}


@hookimpl
def presets() -> Iterable[Preset]:
    """The published models."""
    folder = Path(__file__).with_name("presets")
    return [
        Preset(name=name, file=folder / f"{name}.yaml", summary=summary)
        for name, summary in {**_PRESETS, **classifier_components.PRESETS}.items()
    ]
