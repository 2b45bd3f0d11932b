"""What this plugin supplies: denoisers, codecs and text encoders of diffusers and transformers.

Imports neither torch nor these, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.plugins.diffusers.contracts import (
    MADE,
    clip_lacks,
    clip_provides,
    codec_provides,
    control_faults,
    control_needs,
    joined_provides,
    lacks_weights,
    lora_faults,
    network_faults,
    network_lacks,
    network_needs,
    network_provides,
    pixels_needed,
    saved_faults,
    t5_lacks,
    t5_provides,
    zero_provides,
)
from glidepath.registry import Command, Component, Extra, Kind, Preset, hookimpl

if TYPE_CHECKING:
    from glidepath.testing import Trial

_HERE = "glidepath.plugins.diffusers"
_INSTALL = "pip install 'glidepath-diffusion[diffusers]'"
_DIFFUSERS = Extra(module="diffusers", install=_INSTALL)
_PEFT = Extra(module="peft", install=_INSTALL)
_TRANSFORMERS = Extra(module="transformers", install=_INSTALL)


def _example(name: str) -> Callable[[Path], Mapping[str, object]]:
    """The example of a part that reads files, by the name of a function of `examples`."""

    def write(folder: Path) -> Mapping[str, object]:
        from glidepath.plugins.diffusers import examples

        written: Mapping[str, object] = getattr(examples, name)(folder)
        return written

    return write


@hookimpl
def kinds() -> Iterable[Kind]:
    """What has a say at each step of a denoiser of diffusers."""
    return (
        Kind(
            name="control",
            interface=f"{_HERE}.control:Control",
            summary="tells a denoiser of diffusers at each step what the image is to follow",
        ),
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses a control."""
    if kind != "control":
        return ()
    from glidepath.plugins.diffusers.conformance import ControlTrial

    return (ControlTrial,)


def _conditioner(name: str, target: str, summary: str, reference: str, **more: Any) -> Component:
    """The conditioner of a class X, whose parameters are XConfig."""
    made = {f"condition.{name}": True for name in MADE.get(name, ())}
    given = {"config": f"{_HERE}.steering_configs:{target}Config", "provides": lambda _config: made, **more}
    return Component(
        kind="conditioner",
        name=name,
        target=f"{_HERE}.conditioners:{target}",
        summary=summary,
        references=(reference,),
        **given,
    )


@hookimpl
def components() -> Iterable[Component]:
    """The parts."""
    return (
        Component(
            kind="denoiser",
            name="diffusers-network",
            target=f"{_HERE}.denoiser:DiffusersDenoiser",
            config=f"{_HERE}.configs:NetworkConfig",
            summary="any UNet or transformer of diffusers (Stable Diffusion, SDXL, SD 3, Flux, DiT, PixArt)",
            requires=(_DIFFUSERS,),
            provides=network_provides,
            needs=network_needs,
            check=network_faults,
            lacks=network_lacks,
            example=_example("network"),
            references=(
                'Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", '
                "arXiv:2112.10752",
                'Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748',
            ),
        ),
        Component(
            kind="codec",
            name="autoencoder",
            target=f"{_HERE}.autoencoder:Autoencoder",
            config=f"{_HERE}.configs:AutoencoderConfig",
            summary="an autoencoder of diffusers, or a tiny one: latents in place of pixels",
            requires=(_DIFFUSERS,),
            provides=codec_provides,
            check=saved_faults,
            lacks=lacks_weights,
            example=_example("autoencoder"),
            references=(
                'Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", '
                "arXiv:2112.10752, section 3.1",
            ),
        ),
        Component(
            kind="text_encoder",
            name="clip-text",
            target=f"{_HERE}.text:ClipTextEncoder",
            config=f"{_HERE}.configs:ClipTextConfig",
            summary="the text encoder of a CLIP (Stable Diffusion; one of those of SDXL, SD 3, Flux)",
            requires=(_TRANSFORMERS,),
            provides=clip_provides,
            check=saved_faults,
            lacks=clip_lacks,
            example=_example("clip_text"),
            references=('Radford et al. 2021, "Learning Transferable Visual Models", arXiv:2103.00020',),
        ),
        Component(
            kind="text_encoder",
            name="t5-text",
            target=f"{_HERE}.text:T5TextEncoder",
            config=f"{_HERE}.configs:T5TextConfig",
            summary="the encoder of a T5 (PixArt; one of those of SD 3, Flux)",
            requires=(_TRANSFORMERS,),
            provides=t5_provides,
            check=saved_faults,
            lacks=t5_lacks,
            example=_example("t5_text"),
            references=('Raffel et al. 2020, "Exploring the Limits of Transfer Learning", arXiv:1910.10683',),
        ),
        Component(
            kind="text_encoder",
            name="zero-text",
            target=f"{_HERE}.text:ZeroTextEncoder",
            config=f"{_HERE}.configs:ZeroTextConfig",
            summary="token vectors of zeros, in place of an encoder that is left out (the T5 of SD 3)",
            provides=zero_provides,
            example={"width": 32, "context": 8},
        ),
        Component(
            kind="text_encoder",
            name="joined-text",
            target=f"{_HERE}.joined:JoinedTextEncoder",
            config=f"{_HERE}.configs:JoinedTextConfig",
            summary="several text encoders as one (SDXL, SD 3, Flux)",
            provides=joined_provides,
            example=_example("joined_text"),
            references=(
                'Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.1',
                'Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, section 4',
            ),
        ),
        _conditioner(
            "size-ids",
            "SizeIds",
            "what SDXL is told of sizes: the original's, the crop's, the image's",
            'Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.2',
            config=f"{_HERE}.configs:SizeIdsConfig",
        ),
        _conditioner(
            "resolution",
            "Resolution",
            "what PixArt-alpha of 1024 pixels is told of the image's size",
            'Chen et al. 2023, "PixArt-alpha", arXiv:2310.00426, section 2.3',
            config=None,
        ),
        _conditioner(
            "control-picture",
            "ControlPicture",
            "the picture that a ControlNet follows",
            'Zhang et al. 2023, "Adding Conditional Control", arXiv:2302.05543',
        ),
        _conditioner(
            "image-prompt",
            "ImagePrompt",
            "a picture as a prompt, for an IP-adapter",
            'Ye et al. 2023, "IP-Adapter", arXiv:2308.06721, section 3.2',
            requires=(_TRANSFORMERS,),
            check=saved_faults,
            lacks=lacks_weights,
            example=_example("image_prompt"),
        ),
        _conditioner(
            "prompt-mask",
            "PromptMask",
            "where an image prompt has its say",
            'Ye et al. 2023, "IP-Adapter", arXiv:2308.06721',
        ),
        _conditioner(
            "inpainting",
            "Inpainting",
            "a mask and what it leaves of an image, for networks that were trained for inpainting",
            'Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", '
            "arXiv:2112.10752, section 4.5",
        ),
        _conditioner(
            "edit-image",
            "EditImage",
            "the image that the prompt says how to change, for InstructPix2Pix",
            'Brooks et al. 2023, "InstructPix2Pix", arXiv:2211.09800, section 3.2',
            config=None,
        ),
        _conditioner(
            "noised-low-res",
            "NoisedLowRes",
            "the picture that Stable Diffusion's upscaler enlarges, with noise that it is told of",
            'Ho et al. 2022, "Cascaded Diffusion Models for High Fidelity Image Generation", '
            "arXiv:2106.15282, section 4.2",
            example={"schedule": "glidepath-diffusion/quadratic"},
            needs=pixels_needed,
        ),
        _conditioner(
            "latent-low-res",
            "LatentLowRes",
            "the latents that Stable Diffusion's upscaler of latents enlarges",
            'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
            "arXiv:2206.00364, table 1",
            config=None,
        ),
        Component(
            kind="control",
            name="controlnet",
            target=f"{_HERE}.control:ControlNet",
            config=f"{_HERE}.steering_configs:ControlNetConfig",
            summary="a ControlNet of a UNet, of SD 3 or of Flux",
            requires=(_DIFFUSERS,),
            needs=control_needs,
            check=control_faults,
            lacks=lacks_weights,
            example=_example("controlnet"),
            references=(
                'Zhang et al. 2023, "Adding Conditional Control to Text-to-Image Diffusion Models", '
                "arXiv:2302.05543",
            ),
        ),
        Component(
            kind="adapter",
            name="lora",
            target=f"{_HERE}.lora:Lora",
            config=f"{_HERE}.steering_configs:LoraConfig",
            summary="low-rank changes to the denoiser and the text encoders, of the common trainers",
            requires=(_PEFT,),
            check=lora_faults,
            example=_example("lora"),
            references=(
                'Hu et al. 2021, "LoRA", arXiv:2106.09685, section 4.1',
                'Liu et al. 2024, "DoRA", arXiv:2402.09353, section 4.1',
            ),
        ),
        Component(
            kind="adapter",
            name="ip-adapter",
            target=f"{_HERE}.ip_adapter:IpAdapter",
            config=f"{_HERE}.steering_configs:IpAdapterConfig",
            summary="attention to an image prompt, beside that to the text",
            requires=(_DIFFUSERS,),
            example={},
            references=('Ye et al. 2023, "IP-Adapter", arXiv:2308.06721, section 3.2',),
        ),
    )


@hookimpl
def presets() -> Iterable[Preset]:
    """The published models."""
    from glidepath.plugins.diffusers.published import published_presets

    return published_presets()


@hookimpl
def spec_of(path: Path) -> Mapping[str, Any] | None:
    """The spec of the folder of a pipeline, or of a single file, as `glidepath import` writes it."""
    from glidepath.plugins.diffusers.imported import INDEX, full_names, read_folder
    from glidepath.plugins.diffusers.single import is_known, read_file

    if path.is_file():
        return full_names(read_file(path, path.name).spec) if is_known(path) else None
    return full_names(read_folder(path).spec) if (path / INDEX).is_file() else None


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath import`."""
    return (
        Command(
            name="import",
            target=f"{_HERE}.command:main",
            summary="make a spec of the folder of a pipeline of diffusers, or of a single file",
            makes_weights="known to a spec, from a folder of diffusers or a single file",
            weights_of=(
                "diffusers-network",
                "autoencoder",
                "clip-text",
                "t5-text",
                "image-prompt",
                "controlnet",
            ),
        ),
    )
