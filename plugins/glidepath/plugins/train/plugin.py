"""What this plugin supplies: the kinds `dataset` and `trainer`, parts of both, and the command `train`.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
from attrs.validators import ge, gt, le, lt, optional

from glidepath.registry.component import Command, Component, Kind, Need, doc, part
from glidepath.registry.hooks import hookimpl

if TYPE_CHECKING:
    from glidepath.testing import Trial

_HERE = "glidepath.plugins.train"


@attrs.frozen(kw_only=True)
class TrainingConfig:
    """How any network is trained."""

    steps: int = attrs.field(
        default=100_000,
        validator=ge(1),
        metadata=doc("optimizer steps (of the last stage, where there are several)"),
    )
    batch: int = attrs.field(default=64, validator=ge(1), metadata=doc("images in a step"))
    learning_rate: float = attrs.field(
        default=1e-4, validator=gt(0), metadata=doc("of AdamW at its highest, after the warm-up")
    )
    warmup_steps: int = attrs.field(
        default=500, validator=ge(0), metadata=doc("steps over which the learning rate rises from zero")
    )
    decay_share: float = attrs.field(
        default=0.2,
        validator=[ge(0), le(1)],
        metadata=doc("share of the steps, at the end, over which the learning rate falls to zero"),
    )
    weight_decay: float = attrs.field(default=0.0, validator=ge(0), metadata=doc("of AdamW"))
    gradient_clip: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc("the norm, over all parameters together, that gradients are clipped to; 0: never"),
    )
    ema: float = attrs.field(
        default=0.9999,
        validator=[ge(0), lt(1)],
        metadata=doc("decay of the moving average of the weights, which is what is kept in the end"),
    )
    precision: Literal["auto", "float32", "bfloat16"] = attrs.field(
        default="auto",
        metadata=doc(
            "of the forward pass: auto is bfloat16 on a GPU that has it; weights and optimizer are float32"
        ),
    )
    seed: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc("decides the first weights and, together with the step, every draw"),
    )
    log_every: int = attrs.field(default=50, validator=ge(1), metadata=doc("steps between lines of the log"))
    probe_every: int = attrs.field(
        default=500,
        validator=ge(1),
        metadata=doc("steps between probes of whether the caption is heard, for the log"),
    )
    checkpoint_every: int = attrs.field(
        default=500, validator=ge(1), metadata=doc("steps between checkpoints")
    )
    keep: int = attrs.field(default=2, validator=ge(1), metadata=doc("how many checkpoints are kept"))
    export_dtype: Literal["float32", "float16", "bfloat16"] = attrs.field(
        default="float32", metadata=doc("of the weights that are written at the end")
    )
    init_from_weights: bool = attrs.field(
        default=False, metadata=doc("begin with the spec's weights; false: from scratch, ignoring them")
    )


@attrs.frozen(kw_only=True)
class DiffusionTrainerConfig(TrainingConfig):
    """How a denoiser and its text encoder are trained."""

    caption_dropout: float = attrs.field(
        default=0.2,
        validator=[ge(0), le(1)],
        metadata=doc("share of the captions replaced by the null condition, for classifier-free guidance"),
    )
    shift: float = attrs.field(
        default=1.0,
        validator=gt(0),
        metadata=doc(
            "sigma / alpha of the timesteps drawn, relative to uniform ones; 2 trains on more noise"
        ),
    )
    min_snr_gamma: float = attrs.field(
        default=0.0, validator=ge(0), metadata=doc("gamma of the min-SNR weighting; 0: unweighted")
    )
    variational_weight: float = attrs.field(
        default=0.001,
        validator=ge(0),
        metadata=doc("lambda of L_hybrid: the weight of the variational bound, where variance is learned"),
    )
    low_res: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc(
            "for an upsampler: the size of the images it starts from, made of the dataset's by area"
        ),
    )
    low_res_noise: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc(
            "for an upsampler: most of the Gaussian noise added to what it starts from, as a standard "
            "deviation in [-1, 1]; so that it bears the flaws of a base model's images"
        ),
    )
    contrastive_steps: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc("steps of a first stage that trains the text encoder against noisy images; 0: none"),
    )
    contrastive_batch: int = attrs.field(
        default=256, validator=ge(2), metadata=doc("images in a step of the first stage")
    )
    facts_steps: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc(
            "steps of a stage that first teaches the text encoder what captions say, if the dataset knows; "
            "0: none"
        ),
    )
    facts_batch: int = attrs.field(
        default=64, validator=ge(1), metadata=doc("captions in a step of that stage")
    )
    facts_learning_rate: float = attrs.field(
        default=1e-3, validator=gt(0), metadata=doc("of that stage, at its highest")
    )
    text_encoder_rate: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc(
            "learning rate of the text encoder while the denoiser learns, as a factor of learning_rate; less "
            "than 1 keeps what a first stage taught it, 0 freezes it"
        ),
    )


@attrs.frozen(kw_only=True)
class ContrastiveTrainerConfig(TrainingConfig):
    """How a CLIP is trained, which guidance then asks."""

    batch: int = attrs.field(
        default=256, validator=ge(2), metadata=doc("images in a step, each told apart from all the others")
    )
    clip: Any = attrs.field(default=None, metadata=part("clip", "what is trained"))


@attrs.frozen(kw_only=True)
class BitsConfig:
    """The variational bound of real images."""

    images: int = attrs.field(
        default=32, validator=ge(1), metadata=doc("real images of the spec's dataset that it is the mean of")
    )
    timesteps: int = attrs.field(
        default=50,
        validator=ge(2),
        metadata=doc("how many of the chain's are looked at; as many as it has: no error but the images'"),
    )
    variance: Literal["auto", "small", "large"] = attrs.field(
        default="auto",
        metadata=doc(
            "of a step: the learned one, or the posterior's (small); beta (large). Part of what a value means"
        ),
    )
    seed: int = attrs.field(
        default=1_000_003,
        validator=ge(0),
        metadata=doc("of the real images; another than that of training, so that none was trained on"),
    )


@attrs.frozen(kw_only=True)
class CaptionedFolderConfig:
    """A folder of images, with captions in metadata.jsonl or in a text file beside each."""

    folder: Path = attrs.field(
        converter=Path,
        metadata=doc(
            "holds the images, also in folders inside; captions are in its metadata.jsonl, a line "
            '{"file_name": "a.png", "text": "..."} for each, or, without that file, in a.txt beside a.png'
        ),
    )
    size: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc("pixels of each side: the largest square in the middle is cut out and resized"),
    )
    flip: bool = attrs.field(
        default=False,
        metadata=doc(
            "mirror half of the images, drawn anew each time; none whose caption says left or right"
        ),
    )


def _needs_of_trainer(config: DiffusionTrainerConfig) -> dict[str, Need]:
    needs = {"image.upsamples": Need(field="low_res", test=partial(_fault_of_low_res, config), optional=True)}
    if config.contrastive_steps:
        why = "the first stage trains a text encoder; 0 leaves it out"
        needs["text.pooled"] = Need(field="contrastive_steps", test=lambda _width: "", why=why)
    elif config.facts_steps:
        why = "a stage trains a text encoder; 0 leaves it out"
        needs["text.pooled"] = Need(field="facts_steps", test=lambda _width: "", why=why)
    if config.facts_steps:
        why = "the dataset says what its captions say; 0 leaves the stage out"
        needs["data.facts"] = Need(value=True, field="facts_steps", why=why)
    return needs


def _needs_of_bits(_config: BitsConfig) -> dict[str, Need]:
    return {
        "image.upsamples": Need(
            test=lambda upsamples: "it is an upsampler" if upsamples else "",
            optional=True,
            why="the bound is of a model that draws from noise alone",
        ),
    }


def _fault_of_low_res(config: DiffusionTrainerConfig, upsamples: bool) -> str:
    if upsamples and config.low_res is None:
        return "an upsampler is trained with low_res, the size of the images that it starts from"
    if not upsamples and config.low_res is not None:
        return "low_res is for upsamplers, and this denoiser is none"
    return ""


def _provides_of_folder(config: CaptionedFolderConfig) -> dict[str, object]:
    return {"data.channels": 3, "data.size": config.size}


def _needs_of_folder(config: CaptionedFolderConfig) -> dict[str, Need]:
    return {
        "image.size": Need(
            value=config.size,
            field="size",
            optional=True,
            why="a denoiser is trained at the size it is made for",
        ),
        "image.channels": Need(value=3, optional=True, why="the images are RGB"),
    }


@hookimpl
def kinds() -> Iterable[Kind]:
    """What a spec says of training."""
    return (
        Kind(
            name="dataset",
            interface=f"{_HERE}.dataset:CaptionedDataset",
            summary="the captioned images that `glidepath train` trains on",
            slot="data",
            sampling=False,
        ),
        Kind(
            name="trainer",
            interface=f"{_HERE}.run:Trainer",
            summary="how `glidepath train` trains",
            slot="train",
            sampling=False,
        ),
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses a dataset."""
    if kind != "dataset":
        return ()
    from glidepath.plugins.train.conformance import DatasetTrial

    return (DatasetTrial,)


@hookimpl
def components() -> Iterable[Component]:
    """Trainers and a dataset."""
    return (
        Component(
            kind="trainer",
            name="diffusion",
            target=f"{_HERE}.trainer:DiffusionTrainer",
            config=DiffusionTrainerConfig,
            summary="trains the denoiser and its text encoder together; resumes exactly",
            needs=_needs_of_trainer,
            references=(
                'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, algorithm 1',
                'Nichol & Dhariwal 2021, "Improved DDPM", arXiv:2102.09672, section 3.1 (learned variance)',
                'Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, algorithm 1',
                'Hoogeboom et al. 2023, "simple diffusion", arXiv:2301.11093, equation 4 (shift)',
                'Ho et al. 2022, "Cascaded Diffusion Models", arXiv:2106.15282, section 4 (low_res_noise)',
                'Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting", arXiv:2303.09556',
            ),
        ),
        Component(
            kind="trainer",
            name="contrastive",
            target=f"{_HERE}.contrastive:ContrastiveTrainer",
            config=ContrastiveTrainerConfig,
            summary="trains a CLIP, on noisy images if it is a noised one; resumes exactly",
            example={
                "clip": {
                    "use": "glidepath/noised-clip",
                    "width": 16,
                    "text_width": 32,
                    "text_layers": 1,
                    "text_heads": 2,
                    "vocabulary_rows": 10,
                    "image_size": 16,
                    "image_width": 32,
                    "image_layers": 1,
                    "image_heads": 2,
                    "tokenizer": {"use": "glidepath/words", "vocabulary": ["a", "star"]},
                }
            },
            references=(
                'Radford et al. 2021, "Learning Transferable Visual Models", arXiv:2103.00020, figure 3',
                'Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 2.4 (noised CLIP)',
            ),
        ),
        Component(
            kind="metric",
            name="bits-per-dimension",
            target=f"{_HERE}.bits:BitsPerDimension",
            config=BitsConfig,
            summary="how many bits the model needs for each value of a real image: the variational bound",
            provides=lambda _config: {"metric.whole_set": True},
            needs=_needs_of_bits,
            example={"images": 2, "timesteps": 4},
            references=(
                'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, section 2',
                'Nichol & Dhariwal 2021, "Improved DDPM", arXiv:2102.09672, equations 4 to 7',
            ),
        ),
        Component(
            kind="dataset",
            name="captioned-folder",
            target=f"{_HERE}.folder:CaptionedFolder",
            config=CaptionedFolderConfig,
            summary="a folder of images and their captions",
            provides=_provides_of_folder,
            needs=_needs_of_folder,
            example="it reads a folder of images, and none comes with it",
        ),
    )


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath train`."""
    return (
        Command(
            name="train",
            target=f"{_HERE}.command:main",
            summary="train the denoiser and the text encoder of a spec",
        ),
    )
