"""What this plugin supplies: the UNet of EDM2 and its presets.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry import Component, Need, Preset, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.edm2.configs import Edm2UNetConfig


def _provides(config: Edm2UNetConfig) -> dict[str, object]:
    classes = {} if config.num_classes is None else {"labels.null": config.null_class}
    return {
        **classes,
        "image.channels": config.in_channels,
        "image.size": config.image_size,
        "image.upsamples": False,
        "prediction.kind": "sample",
        "prediction.learned_variance": False,
    }


def _needs(_config: Edm2UNetConfig) -> dict[str, Need]:
    why = "it scales x by its noise level, which it is told as log(sigma) / 4, with alpha at 1"
    return {
        "schedule.time": Need(value="log-sigma", why=why),
        "text.width": Need(optional=True, test=_takes_no_text),
    }


def _takes_no_text(_width: object) -> str:
    return "it takes no text"


def _faults(config: Edm2UNetConfig) -> Sequence[tuple[str, str]]:
    from glidepath.plugins.edm2.configs import edm2_faults

    return edm2_faults(config)


_HERE = "glidepath.plugins.edm2"


@hookimpl
def components() -> Iterable[Component]:
    """The denoiser."""
    return (
        Component(
            kind="denoiser",
            name="edm2-unet",
            target=f"{_HERE}.network:Edm2UNet",
            config=f"{_HERE}.configs:Edm2UNetConfig",
            summary="the magnitude-preserving UNet of EDM2: from class labels or nothing",
            provides=_provides,
            needs=_needs,
            check=_faults,
            lacks=lambda _config: [("weights", "has no weights yet: it makes noise")],
            example={
                "image_size": 8,
                "channels": 16,
                "channel_mult": [1, 2],
                "res_blocks": 1,
                "attention_resolutions": [4],
                "head_channels": 16,
                "num_classes": 5,
                "logvar_channels": 16,
            },
            references=(
                'Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", '
                "arXiv:2312.02696",
                'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
                "arXiv:2206.00364, table 1",
            ),
        ),
    )


_PRESETS = {
    "edm2-img64": "EDM2-S, 64 x 64, one of 1000 classes; you give the weights",
    "edm2-img512": "EDM2-S, 512 x 512, one of 1000 classes; you give the weights",
}


@hookimpl
def presets() -> Iterable[Preset]:
    """The published models."""
    folder = Path(__file__).with_name("presets")
    return [
        Preset(name=name, file=folder / f"{name}.yaml", summary=summary) for name, summary in _PRESETS.items()
    ]
