"""What this plugin supplies. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Component, hookimpl

_SDEDIT = (
    'Meng et al. 2022, "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations", '
    "arXiv:2108.01073"
)


def _provides(_config: object) -> dict[str, object]:
    return {"codec.channels": 3, "codec.factor": 1, "codec.bounded": True}


_EXPERTS = 'Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.5'


def _handover(name: str, target: str, summary: str) -> Component:
    return Component(
        kind="handover",
        name=name,
        target=f"glidepath.plugins.codecs.handovers:{target}",
        config="glidepath.plugins.codecs.configs:HandoverConfig",
        summary=summary,
        provides=lambda _config: {"handover.latent": name == "latent"},
        references=(_SDEDIT,),
    )


@hookimpl
def components() -> Iterable[Component]:
    """The codecs, and how stages of a cascade hand over."""
    return (
        Component(
            kind="codec",
            name="identity",
            target="glidepath.core.codec:IdentityCodec",
            summary="pixels: 8 bits to [-1, 1] and back, rounded as GLIDE does",
            provides=_provides,
        ),
        Component(
            kind="codec",
            name="truncating",
            target="glidepath.plugins.codecs.truncating:TruncatingCodec",
            summary="pixels: 8 bits to [-1, 1] and back, fractions cut off as ADM does",
            provides=_provides,
            references=("Dhariwal & Nichol 2021, the program published with it (guided-diffusion)",),
        ),
        _handover("image", "ImageHandover", "its images, resized and encoded: to refine or enlarge them"),
        _handover("latent", "LatentHandover", "its latents, resized: for stages that share a codec"),
        Component(
            kind="handover",
            name="unfinished",
            target="glidepath.plugins.codecs.handovers:UnfinishedHandover",
            config="glidepath.plugins.codecs.configs:UnfinishedConfig",
            summary="its latents with the noise that is left at a level, as SDXL's refiner goes on from them",
            provides=lambda config: {"handover.latent": True, "handover.level": config.level},
            example={"level": 0.5},
            references=(_EXPERTS,),
        ),
    )
