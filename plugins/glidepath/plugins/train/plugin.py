"""What this plugin supplies: datasets, their transforms, trainers and their losses, the command `train`.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.plugins.train.data.components import datasets, transforms
from glidepath.plugins.train.losses.components import KINDS, objectives
from glidepath.registry import Command, Component, Kind, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import BitsConfig, DiffusionTrainerConfig
    from glidepath.testing import Trial

_HERE = "glidepath.plugins.train"


def _needs_of_trainer(config: DiffusionTrainerConfig) -> dict[str, Need]:
    needs = {"image.upsamples": Need(field="low_res", test=partial(_low_res_problem, config), optional=True)}
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


def _faults_of_trainer(config: DiffusionTrainerConfig) -> Sequence[tuple[str, str]]:
    if config.lora is None:
        return []
    faults = []
    if not config.init_from_weights:
        faults.append(("lora", "it changes weights that are there: init_from_weights: true"))
    for field in ("only", "ema_lengths"):
        if getattr(config, field):
            faults.append((field, "lora says what is trained, and keeps it alone: leave this out"))
    return faults


def _needs_of_bits(_config: BitsConfig) -> dict[str, Need]:
    return {
        "schedule.continuous": Need(
            test=lambda continuous: "it is in continuous time" if continuous else "",
            optional=True,
            why="the bound is that of a chain of timesteps",
        ),
        "image.upsamples": Need(
            test=lambda upsamples: "it is an upsampler" if upsamples else "",
            optional=True,
            why="the bound is of a model that draws from noise alone",
        ),
        "codec.bounded": Need(value=True, optional=True, why="the bound is of pixels in 8 bits"),
    }


def _low_res_problem(config: DiffusionTrainerConfig, upsamples: bool) -> str:
    if upsamples and config.low_res is None:
        return "an upsampler is trained with low_res, the size of the images that it starts from"
    if not upsamples and config.low_res is not None:
        return "low_res is for upsamplers, and this denoiser is none"
    return ""


@hookimpl
def kinds() -> Iterable[Kind]:
    """What a spec says of training."""
    return (
        Kind(
            name="dataset",
            interface=f"{_HERE}.data.dataset:CaptionedDataset",
            summary="the captioned images that `glidepath train` trains on",
            slot="data",
            sampling=False,
            template=Path(__file__).parent / "template",
        ),
        Kind(
            name="transform",
            interface=f"{_HERE}.data.transform:Transform",
            summary="what is done with a picture before it is trained on",
            sampling=False,
        ),
        Kind(
            name="trainer",
            interface=f"{_HERE}.run.run:Trainer",
            summary="how `glidepath train` trains",
            slot="train",
            sampling=False,
        ),
        Kind(
            name="objective",
            interface=f"{_HERE}.run.objective:Objective",
            summary="what a generator learns from",
            sampling=False,
        ),
        *KINDS,
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses datasets, transforms, weightings and timestep densities."""
    if kind in ("dataset", "transform"):
        from glidepath.plugins.train.data.conformance import DatasetTrial, TransformTrial

        return (DatasetTrial,) if kind == "dataset" else (TransformTrial,)
    if kind in ("weighting", "timestep_density"):
        from glidepath.plugins.train.losses.conformance import DensityTrial, WeightingTrial

        return (WeightingTrial,) if kind == "weighting" else (DensityTrial,)
    return ()


@hookimpl
def components() -> Iterable[Component]:
    """Trainers, datasets, what losses are made of, a metric."""
    return (
        Component(
            kind="trainer",
            name="diffusion",
            target=f"{_HERE}.trainers.diffusion:DiffusionTrainer",
            config=f"{_HERE}.configs:DiffusionTrainerConfig",
            summary="trains the denoiser and its text encoder together; resumes exactly",
            needs=_needs_of_trainer,
            check=_faults_of_trainer,
            references=(
                'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, algorithm 1',
                'Nichol & Dhariwal 2021, "Improved DDPM", arXiv:2102.09672, section 3.1 (learned variance)',
                'Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, algorithm 1',
                'Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685',
                'Ruiz et al. 2023, "DreamBooth", arXiv:2208.12242, equation 2 (prior)',
                'Ho et al. 2022, "Cascaded Diffusion Models", arXiv:2106.15282, section 4 (low_res_noise)',
            ),
        ),
        Component(
            kind="trainer",
            name="objectives",
            target=f"{_HERE}.trainers.objectives:ObjectivesTrainer",
            config=f"{_HERE}.configs:ObjectivesTrainerConfig",
            summary="trains a generator and its text encoder by its objectives; resumes exactly",
            example="no generator comes with glidepath, and so no objective",
        ),
        Component(
            kind="trainer",
            name="contrastive",
            target=f"{_HERE}.trainers.contrastive:ContrastiveTrainer",
            config=f"{_HERE}.trainers.configs:ContrastiveTrainerConfig",
            summary="trains a CLIP, on noisy images if it is a noised one; resumes exactly",
            example={
                "clip": {
                    "use": "glidepath-diffusion/noised-clip",
                    "width": 16,
                    "text_width": 32,
                    "text_layers": 1,
                    "text_heads": 2,
                    "vocabulary_rows": 10,
                    "image_size": 16,
                    "image_width": 32,
                    "image_layers": 1,
                    "image_heads": 2,
                    "tokenizer": {"use": "glidepath-diffusion/words", "vocabulary": ["a", "star"]},
                }
            },
            references=(
                'Radford et al. 2021, "Learning Transferable Visual Models", arXiv:2103.00020, figure 3',
                'Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 2.4 (noised CLIP)',
            ),
        ),
        Component(
            kind="trainer",
            name="classifier",
            target=f"{_HERE}.trainers.classifier:ClassifierTrainer",
            config=f"{_HERE}.trainers.configs:ClassifierTrainerConfig",
            summary="trains a classifier of noisy images, for guidance; resumes exactly",
            example={
                "classifier": {
                    "use": "glidepath-diffusion/adm-classifier",
                    "image_size": 16,
                    "num_classes": 5,
                    "channels": 32,
                    "channel_mult": [1, 2],
                    "res_blocks": 1,
                    "attention_resolutions": [8],
                    "head_channels": 16,
                }
            },
            references=(
                'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233, '
                "section 4 and appendix H",
            ),
        ),
        Component(
            kind="metric",
            name="bits-per-dimension",
            target=f"{_HERE}.losses.bits_per_dimension:BitsPerDimension",
            config=f"{_HERE}.configs:BitsConfig",
            summary="how many bits the model needs for each value of a real image: the variational bound",
            provides=lambda _config: {
                "metric.whole_set": True,
                "metric.reads": ("schedule", "text_encoder", "denoiser", "codec", "data"),
            },
            needs=_needs_of_bits,
            example={"images": 2, "timesteps": 4},
            references=(
                'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, section 2',
                'Nichol & Dhariwal 2021, "Improved DDPM", arXiv:2102.09672, equations 4 to 7',
            ),
        ),
        *datasets(),
        *transforms(),
        *objectives(),
    )


@hookimpl
def spec_of(path: Path) -> Mapping[str, Any] | None:
    """A run's folder stands for the spec that is in it, with the weights of its newest checkpoint."""
    files = (path / "spec.yaml", path / "events.jsonl")
    return {"extends": "spec.yaml"} if all(file.is_file() for file in files) else None


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath train` and what belongs to it."""
    return (
        Command(
            name="train",
            target=f"{_HERE}.command:main",
            summary="train the denoiser and the text encoder of a spec",
            makes_weights="from data",
        ),
        Command(
            name="ema",
            target=f"{_HERE}.averages.command:main",
            summary="the weights of a run as a moving average of another length",
        ),
        Command(
            name="data",
            target=f"{_HERE}.data.command:main",
            summary="tell what a spec's dataset holds: duplicates, damaged pictures, long captions",
        ),
        Command(
            name="cache",
            target=f"{_HERE}.cache.command:main",
            summary="compute the latents and text embeddings of a dataset once, for training",
        ),
    )
