"""What this package supplies. Imports no torch: glidepath imports it whenever it lists or checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from glidepath.registry import Component, Kind, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.testing import Trial
    from glidepath_families.config import AutoregressiveConfig, FamilyConfig, FlowConfig, PyramidConfig

_HERE = "glidepath_families"
_SIMPLE = {"image_size": [8, 8], "width": 16, "halvings": 1, "layers": 1, "text_width": 8}
_DENOISER = {
    "use": "glidepath-diffusion/adm-unet",
    "image_size": 8,
    "channels": 32,
    "channel_mult": [1],
    "res_blocks": 1,
    "attention_resolutions": [],
    "head_channels": 16,
    "learned_variance": False,
}
_SMALL = {"image_size": [8, 8], "width": 16, "depth": 1, "heads": 2, "text_width": 8}


def _provides(config: FamilyConfig) -> dict[str, object]:
    height, width = config.image_size
    square = {"image.size": height} if height == width else {}
    return {"image.channels": config.channels, **square}


def _needs(config: FamilyConfig) -> dict[str, Need]:
    if config.text_width is None:
        return {"text.width": Need(field="text_width", optional=True, test=_takes_no_text)}
    why = "the width of the text's tokens"
    return {"text.width": Need(value=config.text_width, field="text_width", why=why)}


def _takes_no_text(_width: object) -> str:
    return "it reads no text while text_width is null"


def _faults_of_flow(config: FlowConfig) -> Sequence[tuple[str, str]]:
    return list(_heads(config.width, config.heads)) + list(_sides(config, "patch", config.patch))


def _faults_of_autoregressive(config: AutoregressiveConfig) -> Sequence[tuple[str, str]]:
    faults = list(_heads(config.width, config.heads)) + list(_sides(config, "factor", config.factor))
    if config.factor & (config.factor - 1):
        faults.append(("factor", f"{config.factor} is no power of 2"))
    return faults


def _faults_of_pyramid(config: PyramidConfig) -> Sequence[tuple[str, str]]:
    return list(_sides(config, "halvings", config.patch * 2**config.halvings))


def _heads(width: int, heads: int) -> Iterator[tuple[str, str]]:
    if width % heads:
        yield "heads", f"{heads} heads do not divide a width of {width}"


def _sides(config: FamilyConfig, field: str, side: int) -> Iterator[tuple[str, str]]:
    if any(length % side for length in config.image_size):
        size = "x".join(map(str, config.image_size))
        yield field, f"sides of {size} are no multiples of {side}"


@hookimpl
def kinds() -> Iterable[Kind]:
    """What makes images in place of a denoiser along a schedule."""
    return [
        Kind(
            name="generator",
            interface=f"{_HERE}.generator:ImageGenerator",
            summary="makes images by itself, in place of schedule, denoiser and sampler",
            slot="generator",
            instead_of=("schedule", "denoiser", "sampler", "guidance", "handover"),
        )
    ]


@hookimpl
def components() -> Iterable[Component]:
    """The families, and what each is trained by."""
    return [*_generators(), *_objectives()]


def _generators() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="flow",
        target=f"{_HERE}.flow:Flow",
        config=f"{_HERE}.config:FlowConfig",
        summary="a normalising flow of causal transformers: exactly invertible, its likelihood exact",
        provides=_provides,
        needs=_needs,
        check=_faults_of_flow,
        example={**_SMALL, "layers": 2},
        references=['Zhai et al. 2024, "Normalizing Flows are Capable Generative Models", arXiv:2412.06329'],
    )
    yield Component(
        kind="generator",
        name="autoregressive",
        target=f"{_HERE}.autoregressive:Autoregressive",
        config=f"{_HERE}.config:AutoregressiveConfig",
        summary="a transformer that draws the tokens of a discrete autoencoder, as DALL-E does",
        provides=_provides,
        needs=_needs,
        check=_faults_of_autoregressive,
        example={**_SMALL, "levels": [4, 4], "code_width": 8},
        references=[
            'Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation", arXiv:2102.12092, section 2',
            'Mentzer et al. 2023, "Finite Scalar Quantization", arXiv:2309.15505',
            'Holtzman et al. 2020, "Neural Text Degeneration", arXiv:1904.09751, section 3.1 (top_p)',
        ],
    )

    yield Component(
        kind="generator",
        name="vae",
        target=f"{_HERE}.vae:Vae",
        config=f"{_HERE}.config:VaeConfig",
        summary="a hierarchical variational autoencoder: a bound on the likelihood, latents of an image",
        provides=_provides,
        needs=_needs,
        check=_faults_of_pyramid,
        example={**_SIMPLE, "latent": 2, "importance_samples": 2},
        references=[
            'Child 2021, "Very Deep VAEs", arXiv:2011.10650, section 3',
            'Burda et al. 2016, "Importance Weighted Autoencoders", arXiv:1509.00519, equation 8',
        ],
    )
    yield Component(
        kind="generator",
        name="gan",
        target=f"{_HERE}.gan:Gan",
        config=f"{_HERE}.config:GanConfig",
        summary="makes an image in one pass, as an adversary has taught it",
        provides=_provides,
        needs=_needs,
        check=_faults_of_pyramid,
        example={**_SIMPLE, "latent": 4},
        references=[
            'Huang et al. 2024, "The GAN is dead; long live the GAN!", arXiv:2501.05441',
            'Brock et al. 2019, "BigGAN", arXiv:1809.11096, section 3.1 (truncation)',
        ],
    )
    yield Component(
        kind="generator",
        name="diffusion",
        target=f"{_HERE}.diffusion:Diffusion",
        config=f"{_HERE}.config:DiffusionConfig",
        summary="a pipeline of schedule, denoiser, sampler and guidance, in many steps or few",
        provides=lambda _config, inner: inner["denoiser"],
        example={
            "schedule": {"use": "glidepath-diffusion/cosine", "num_steps": 20},
            "denoiser": _DENOISER,
            "sampler": {"use": "glidepath-diffusion/ddim", "steps": 2},
        },
        references=['Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239'],
    )


def _objectives() -> Iterator[Component]:
    yield Component(
        kind="objective",
        name="likelihood",
        target=f"{_HERE}.objectives:Likelihood",
        config=f"{_HERE}.objective_config:LikelihoodConfig",
        summary="of a flow: the likelihood of images, in bits for each value",
    )
    yield Component(
        kind="objective",
        name="reconstruction",
        target=f"{_HERE}.objectives:Reconstruction",
        config=f"{_HERE}.objective_config:StageConfig",
        summary="of an autoregressive generator, first: its autoencoder gives images back",
    )
    yield Component(
        kind="objective",
        name="next-token",
        target=f"{_HERE}.objectives:NextToken",
        summary="of an autoregressive generator: its transformer says which token follows",
    )

    yield Component(
        kind="objective",
        name="bound",
        target=f"{_HERE}.objectives:Bound",
        config=f"{_HERE}.objective_config:BoundConfig",
        summary="of a vae: the bound on the likelihood, with free bits",
        references=['Kingma et al. 2016, "Inverse Autoregressive Flow", arXiv:1606.04934, equation 15'],
    )
    yield Component(
        kind="objective",
        name="adversarial",
        target=f"{_HERE}.adversarial:Adversarial",
        config=f"{_HERE}.objective_config:AdversarialConfig",
        summary="of a gan: a discriminator that knows which text an image is for, with R1 and R2",
        references=[
            'Huang et al. 2024, "The GAN is dead; long live the GAN!", arXiv:2501.05441, equations 1 to 3',
            'Reed et al. 2016, "Generative Adversarial Text to Image Synthesis", arXiv:1605.05396',
        ],
    )
    yield Component(
        kind="objective",
        name="denoising",
        target=f"{_HERE}.objectives:Denoising",
        summary="of diffusion: the squared error of what the denoiser predicts",
        references=["Ho et al. 2020, arXiv:2006.11239, equation 14"],
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How a generator and an objective are tried by `glidepath test-plugin`."""
    if kind not in ("generator", "objective"):
        return []
    from glidepath_families import conformance  # which imports torch

    return [conformance.GeneratorTrial if kind == "generator" else conformance.ObjectiveTrial]
