"""What this plugin supplies: the diffusion transformer and presets of DiT.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry import Component, Need, Preset, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.dit.configs import DitConfig


def _provides(config: DitConfig) -> dict[str, object]:
    # beside a text, the null condition is that of the text, and the label stays
    by_class_alone = config.num_classes is not None and config.text_width is None
    classes = {"labels.null": config.null_class} if by_class_alone else {}
    return {
        **classes,
        "image.channels": config.in_channels,
        "image.size": config.image_size,
        "image.upsamples": False,
        "prediction.kind": config.predicts,
        "prediction.learned_variance": config.learned_variance,
    }


def _needs(config: DitConfig) -> dict[str, Need]:
    if config.text_width is None:
        return {"text.width": Need(field="text_width", optional=True, test=_takes_no_text)}
    why = "text_width is the width of the token vectors that its blocks attend to"
    return {"text.width": Need(value=config.text_width, field="text_width", why=why)}


def _takes_no_text(_width: object) -> str:
    return "text_width is none, so the denoiser takes no text"


def _faults(config: DitConfig) -> Sequence[tuple[str, str]]:
    from glidepath.plugins.dit.configs import dit_faults

    return dit_faults(config)


_HERE = "glidepath.plugins.dit"


@hookimpl
def components() -> Iterable[Component]:
    """The denoiser."""
    return (
        Component(
            kind="denoiser",
            name="dit",
            target=f"{_HERE}.network:Dit",
            config=f"{_HERE}.configs:DitConfig",
            summary="a transformer of patches: from class labels, text or neither",
            provides=_provides,
            needs=_needs,
            check=_faults,
            lacks=lambda _config: [("weights", "has no weights yet: it makes noise")],
            example={
                "image_size": 8,
                "width": 32,
                "depth": 2,
                "heads": 2,
                "num_classes": 5,
                "text_width": 32,
            },
            references=(
                'Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748',
                'Chen et al. 2023, "PixArt-alpha", arXiv:2310.00426, section 2.2 (text)',
            ),
        ),
    )


@hookimpl
def presets() -> Iterable[Preset]:
    """The published models."""
    folder = Path(__file__).with_name("presets")
    return [
        Preset(
            name=f"dit-xl-2-{pixels}",
            file=folder / f"dit-xl-2-{pixels}.yaml",
            summary=f"DiT-XL/2, {pixels} x {pixels}, one of 1000 classes; you give the weights",
        )
        for pixels in (256, 512)
    ]
