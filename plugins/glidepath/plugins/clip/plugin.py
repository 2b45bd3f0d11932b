"""What this plugin supplies: the kind `clip`, its parts, and guidance.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from glidepath.registry import Component, Extra, Kind, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.clip.configs import ClipGuidanceConfig, NoisedClipConfig, TransformersClipConfig
    from glidepath.testing import Trial


def noised_clip_faults(config: NoisedClipConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    faults = []
    for heads, width in (("text_heads", "text_width"), ("image_heads", "image_width")):
        count, whole = getattr(config, heads), getattr(config, width)
        if whole % count:
            faults.append((heads, f"{count} does not divide {width}, which is {whole}"))
    if config.image_size % config.patch_size:
        faults.append(
            ("patch_size", f"{config.patch_size} does not divide image_size, which is {config.image_size}")
        )
    return faults


def _transformers_clip_lacks(config: TransformersClipConfig) -> list[tuple[str, str]]:
    if any(config.folder.glob("*.safetensors")):
        return []
    return [("weights", f"has no weights yet: there is no .safetensors file in {config.folder}")]


def _needs_of_noised_clip(config: NoisedClipConfig) -> dict[str, Need]:
    if not config.timesteps:
        return {}
    return {
        "schedule.num_steps": Need(
            value=config.timesteps,
            field="timesteps",
            why="it learned one vector for each timestep of its schedule",
        ),
        "schedule.rescale_timesteps": Need(
            value=False, optional=True, why="its timesteps are whole numbers, counted as the schedule counts"
        ),
        "schedule.time": Need(value="t", optional=True, why="it looks its vectors up by timestep"),
        "image.size": Need(
            value=config.image_size,
            field="image_size",
            optional=True,
            why="it reads x_t as it is, at the size that it was trained on",
        ),
    }


def _provides_weight(_config: ClipGuidanceConfig) -> dict[str, object]:
    return {"guidance.weight": True}


def _needs_pixels(_config: ClipGuidanceConfig) -> dict[str, Need]:
    return {"codec.bounded": Need(value=True, optional=True, why="a CLIP looks at x as pixels")}


_CLIP = (
    'Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", '
    "arXiv:2103.00020"
)
_GLIDE = 'Nichol et al. 2021, "GLIDE", arXiv:2112.10741'
_VQGAN_CLIP = (
    'Crowson et al. 2022, "VQGAN-CLIP: Open Domain Image Generation and Editing with Natural Language '
    'Guidance", arXiv:2204.08583'
)
_HERE = "glidepath.plugins.clip"
_SMALL = {
    "width": 16,
    "text_width": 32,
    "text_layers": 1,
    "text_heads": 2,
    "context": 8,
    "vocabulary_rows": None,
    "image_size": 16,
    "image_width": 32,
    "image_layers": 1,
    "image_heads": 2,
    "tokenizer": {
        "use": "glidepath-diffusion/words",
        "vocabulary": ["a", "red", "tan", "circle", "square", "ribbon"],
    },
}
"""Parameters with which a noised CLIP is tried."""


@hookimpl
def kinds() -> Iterable[Kind]:
    """Networks that embed prompts and images."""
    return (
        Kind(
            name="clip",
            interface=f"{_HERE}.interface:Clip",
            summary="embeds prompts and images, to compare them; inside a guidance",
        ),
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses a CLIP."""
    if kind != "clip":
        return ()
    from glidepath.plugins.clip.conformance import ClipTrial

    return (ClipTrial,)


@hookimpl
def components() -> Iterable[Component]:
    """The networks and the guidance."""
    return (
        Component(
            kind="clip",
            name="noised-clip",
            target=f"{_HERE}.noised:NoisedClip",
            config=f"{_HERE}.configs:NoisedClipConfig",
            summary="GLIDE's CLIP for noisy images",
            needs=_needs_of_noised_clip,
            check=noised_clip_faults,
            lacks=lambda _config: [("weights", "has no weights yet: it guides to nothing")],
            example=_SMALL,
            references=(f"{_GLIDE}, section 2.4", _CLIP),
        ),
        Component(
            kind="clip",
            name="transformers-clip",
            target=f"{_HERE}.transformers_clip:TransformersClip",
            config=f"{_HERE}.configs:TransformersClipConfig",
            summary="the CLIP models of the package transformers, for images without noise",
            requires=(Extra(module="transformers", install="pip install 'glidepath-diffusion[clip]'"),),
            lacks=_transformers_clip_lacks,
            example="needs a folder that a CLIPModel of transformers was saved to",
            references=(
                _CLIP,
                'Cherti et al. 2023, "Reproducible Scaling Laws for Contrastive Language-Image Learning", '
                "arXiv:2212.07143",
            ),
        ),
        Component(
            kind="guidance",
            name="clip",
            target=f"{_HERE}.guidance:ClipGuidance",
            config=f"{_HERE}.configs:ClipGuidanceConfig",
            summary="pulls each step towards what a CLIP finds fitting for the prompt",
            provides=_provides_weight,
            needs=_needs_pixels,
            example={"clip": {"use": "glidepath-diffusion/noised-clip", **_SMALL}},
            neutral={"scale": 0},
            references=(f"{_GLIDE}, section 2.4", f"{_VQGAN_CLIP}, section 2"),
        ),
    )
