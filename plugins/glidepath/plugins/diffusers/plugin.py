"""What this plugin supplies: denoisers, codecs and text encoders of diffusers and transformers.

Imports neither torch nor these, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError
from glidepath.registry import Command, Component, Extra, Kind, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.diffusers.configs import (
        AutoencoderConfig,
        ClipTextConfig,
        ControlNetConfig,
        ImagePromptConfig,
        JoinedTextConfig,
        NetworkConfig,
        T5TextConfig,
        ZeroTextConfig,
    )

_HERE = "glidepath.plugins.diffusers"
_INSTALL = "pip install 'glidepath-diffusion[diffusers]'"
_DIFFUSERS = Extra(module="diffusers", install=_INSTALL)
_TRANSFORMERS = Extra(module="transformers", install=_INSTALL)
_FILE = "changes networks by a published file, which does not come with it"
_WEIGHTS = ("weights", "has random numbers until it is given those of its folder")


_MADE: Mapping[str, tuple[str, ...]] = {
    "size-ids": ("size_ids",),
    "resolution": ("resolution", "aspect_ratio"),
    "inpainting": ("inpaint_mask", "inpaint_image"),
    "edit-image": ("edit_image",),
    "noised-low-res": ("noise_level",),
}
"""Which conditions the conditioners make that a network cannot do without."""


def _network_provides(config: NetworkConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.known import describe

    known = describe(config)
    return {
        "image.channels": known.channels,
        "image.size": known.size[0],
        "image.upsamples": "low_res" in known.reads,
        "prediction.kind": config.predicts,
        "prediction.learned_variance": known.learned_variance,
        **({"labels.null": True} if known.num_classes else {}),
    }


def _network_needs(config: NetworkConfig) -> dict[str, Need]:
    from glidepath.plugins.diffusers.known import describe

    known = describe(config)
    needs = {}
    if known.text_width is not None:
        why = "so wide are the token vectors that its attention takes in"
        needs["text.width"] = Need(value=known.text_width, field="config", why=why)
    if known.pooled_widths:
        why = "so wide is the pooled text that joins the timestep embedding"
        needs["text.pooled"] = Need(value=known.pooled_widths, field="config", why=why)
    for name in (name for names in _MADE.values() for name in names if name in known.reads):
        needs[f"condition.{name}"] = Need(value=True, field="config", why=f"{known.name} reads it")
    return needs


def _network_faults(config: NetworkConfig) -> list[tuple[str, str]]:
    from glidepath.plugins.diffusers.known import describe

    try:
        describe(config)
    except GlidepathError as error:
        return [("config", str(error))]
    return []


def _saved_faults(
    config: AutoencoderConfig | ClipTextConfig | ControlNetConfig | ImagePromptConfig | T5TextConfig,
) -> list[tuple[str, str]]:
    from glidepath.plugins.diffusers.saved import read_config

    try:
        read_config(config.config)
    except GlidepathError as error:
        return [("config", str(error))]
    return []


def _control_faults(config: ControlNetConfig) -> list[tuple[str, str]]:
    from glidepath.plugins.diffusers.saved import CONTROLNETS, read_config

    if faults := _saved_faults(config):
        return faults
    name = read_config(config.config).get("_class_name")
    known = ", ".join(CONTROLNETS)
    return [] if name in CONTROLNETS else [("config", f"{name} is no ControlNet that is known: {known}")]


def _codec_provides(config: AutoencoderConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.saved import latent_channels, latent_factor, read_config

    saved = read_config(config.config)
    return {
        "codec.channels": latent_channels(saved),
        "codec.factor": latent_factor(saved),
        "codec.bounded": False,
    }


def _clip_provides(config: ClipTextConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.saved import has_projection, read_config

    saved = read_config(config.config)
    width = saved.get("hidden_size", 512)
    pooled = saved.get("projection_dim", 512) if has_projection(saved) else width
    return {
        "text.width": width,
        "text.pooled": pooled,
        "text.context": saved.get("max_position_embeddings", 77),
    }


def _t5_provides(config: T5TextConfig) -> dict[str, object]:
    from glidepath.plugins.diffusers.saved import read_config

    return {"text.width": read_config(config.config).get("d_model", 512), "text.context": config.context}


def _zero_provides(config: ZeroTextConfig) -> dict[str, object]:
    return {"text.width": config.width, "text.context": config.context}


def _joined_provides(
    config: JoinedTextConfig, inner: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, object]:
    encoders = inner["encoders"]
    groups = [[encoders[index] for index in group] for group in config.tokens]
    provided: dict[str, object] = {
        "text.width": max(sum(one["text.width"] for one in group) for group in groups),
        "text.context": sum(group[0]["text.context"] for group in groups),
    }
    if config.pooled:
        provided["text.pooled"] = sum(encoders[index]["text.pooled"] for index in config.pooled)
    return provided


def _lacks_weights(_config: object) -> list[tuple[str, str]]:
    return [_WEIGHTS]


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


def _conditioner(name: str, target: str, summary: str, reference: str, **more: Any) -> Component:
    """The conditioner of a class X, whose parameters are XConfig."""
    made = {f"condition.{name}": True for name in _MADE.get(name, ())}
    given = {"config": f"{_HERE}.configs:{target}Config", "provides": lambda _config: made, **more}
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
            provides=_network_provides,
            needs=_network_needs,
            check=_network_faults,
            lacks=_lacks_weights,
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
            provides=_codec_provides,
            check=_saved_faults,
            lacks=_lacks_weights,
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
            provides=_clip_provides,
            check=_saved_faults,
            lacks=_lacks_weights,
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
            provides=_t5_provides,
            check=_saved_faults,
            lacks=_lacks_weights,
            example=_example("t5_text"),
            references=('Raffel et al. 2020, "Exploring the Limits of Transfer Learning", arXiv:1910.10683',),
        ),
        Component(
            kind="text_encoder",
            name="zero-text",
            target=f"{_HERE}.text:ZeroTextEncoder",
            config=f"{_HERE}.configs:ZeroTextConfig",
            summary="token vectors of zeros, in place of an encoder that is left out (the T5 of SD 3)",
            provides=_zero_provides,
            example={"width": 32, "context": 8},
        ),
        Component(
            kind="text_encoder",
            name="joined-text",
            target=f"{_HERE}.joined:JoinedTextEncoder",
            config=f"{_HERE}.configs:JoinedTextConfig",
            summary="several text encoders as one (SDXL, SD 3, Flux)",
            provides=_joined_provides,
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
            check=_saved_faults,
            lacks=_lacks_weights,
            example=_example("image_prompt"),
        ),
        _conditioner(
            "inpainting",
            "Inpainting",
            "a mask and what it leaves of an image, for UNets that were trained for inpainting",
            'Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", '
            "arXiv:2112.10752, section 4.5",
            config=None,
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
        ),
        Component(
            kind="control",
            name="controlnet",
            target=f"{_HERE}.control:ControlNet",
            config=f"{_HERE}.configs:ControlNetConfig",
            summary="a ControlNet of a UNet, of SD 3 or of Flux",
            requires=(_DIFFUSERS,),
            check=_control_faults,
            lacks=_lacks_weights,
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
            config=f"{_HERE}.configs:LoraConfig",
            summary="low-rank changes to the denoiser and the text encoders, of the common trainers",
            requires=(_DIFFUSERS,),
            example=_FILE,
            references=('Hu et al. 2021, "LoRA", arXiv:2106.09685, section 4.1',),
        ),
        Component(
            kind="adapter",
            name="ip-adapter",
            target=f"{_HERE}.ip_adapter:IpAdapter",
            config=f"{_HERE}.configs:IpAdapterConfig",
            summary="attention to an image prompt, beside that to the text",
            requires=(_DIFFUSERS,),
            example=_FILE,
            references=('Ye et al. 2023, "IP-Adapter", arXiv:2308.06721, section 3.2',),
        ),
    )


@hookimpl
def spec_of(path: Path) -> Mapping[str, Any] | None:
    """The spec of the folder of a pipeline, as `glidepath import` writes it."""
    from glidepath.plugins.diffusers.imported import INDEX, full_names, read_folder

    return full_names(read_folder(path).spec) if (path / INDEX).is_file() else None


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath import`."""
    return (
        Command(
            name="import",
            target=f"{_HERE}.command:main",
            summary="make a spec of the folder of a pipeline of diffusers",
        ),
    )
