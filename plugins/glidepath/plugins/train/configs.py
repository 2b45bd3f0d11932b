"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, min_len, optional

from glidepath.plugins.train.stages.configs import LoraTraining
from glidepath.registry import doc, part, parts


@attrs.frozen(kw_only=True)
class TrainingConfig:
    """How any network is trained."""

    steps: int = attrs.field(
        default=100_000,
        validator=ge(1),
        metadata=doc("optimizer steps (of the last stage, where there are several)"),
    )
    batch: int = attrs.field(default=64, validator=ge(1), metadata=doc("images in a step"))
    accumulate: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc(
            "parts into which a batch is cut, one after the other, for less memory; the numbers are those of "
            "the whole batch"
        ),
    )
    optimizer: Literal["adamw", "adam", "sgd", "adafactor", "muon"] = attrs.field(
        default="adamw", metadata=doc("torch's; muon is of matrices, and AdamW of everything else beside it")
    )
    betas: tuple[float, float] = attrs.field(
        default=(0.9, 0.99),
        validator=deep_iterable(and_(ge(0), lt(1))),
        metadata=doc("decays of both moments of Adam and AdamW; the first is the momentum of sgd and muon"),
    )
    weight_decay: float = attrs.field(default=0.0, validator=ge(0), metadata=doc("of the optimizer"))
    learning_rate: float = attrs.field(
        default=1e-4, validator=gt(0), metadata=doc("at its highest, after the warm-up")
    )
    rate: Literal["rise-and-fall", "constant", "linear", "cosine", "inverse-sqrt"] = attrs.field(
        default="rise-and-fall",
        metadata=doc(
            "how the learning rate goes after its rise: rise-and-fall stays and falls over `decay_share`; "
            "linear and cosine fall to zero over all the steps; inverse-sqrt falls after `constant_steps`"
        ),
    )
    warmup_steps: int = attrs.field(
        default=500, validator=ge(0), metadata=doc("steps over which the learning rate rises from zero")
    )
    decay_share: float = attrs.field(
        default=0.2,
        validator=[ge(0), le(1)],
        metadata=doc("of rise-and-fall: share of the steps, at the end, over which it falls to zero"),
    )
    constant_steps: int = attrs.field(
        default=10_000,
        validator=ge(1),
        metadata=doc("of inverse-sqrt: steps before it falls; EDM2 has 35,000 to 70,000"),
    )
    gradient_clip: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc(
            "the norm, over all parameters together, that gradients are clipped to; 0: never", unbounded=True
        ),
    )
    ema: float = attrs.field(
        default=0.9999,
        validator=[ge(0), lt(1)],
        metadata=doc("decay of the moving average of the weights, which is what is kept in the end"),
    )
    ema_lengths: tuple[float, ...] = attrs.field(
        default=(),
        validator=deep_iterable(and_(gt(0), lt(0.28))),
        metadata=doc(
            "lengths of power-function averages that are kept too, relative to all steps, such as 0.05 and "
            "0.1; `glidepath ema` then makes one of any length"
        ),
    )
    ema_every: int = attrs.field(
        default=1000, validator=ge(1), metadata=doc("steps between files of those averages")
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = attrs.field(
        default="auto",
        metadata=doc(
            "of the forward pass: auto is bfloat16 on a GPU that has it; weights and optimizer are float32; "
            "float16 scales its losses"
        ),
    )
    checkpointing: bool = attrs.field(
        default=False,
        metadata=doc(
            "compute activations again for their gradients, and do not keep them: less memory, a third slower"
        ),
    )
    seed: int = attrs.field(
        default=0,
        validator=[ge(0), lt(2**63)],
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
    processes: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc("how many processes on this machine share the rows of each batch"),
    )
    shard: bool = attrs.field(
        default=False,
        metadata=doc(
            "divide weights, averages and moments among the processes too (FSDP2), for networks that one GPU "
            "has no room for"
        ),
    )
    keep: int = attrs.field(default=2, validator=ge(1), metadata=doc("how many checkpoints are kept"))
    keep_hours: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc("besides those, one checkpoint of every so many hours is kept; 0: none"),
    )
    keep_best: str = attrs.field(
        default="",
        metadata=doc("besides those, the checkpoint is kept at which this figure of the log is lowest"),
    )
    spike: float = attrs.field(
        default=10.0,
        validator=ge(0),
        metadata=doc("a loss above so many times the median of 100 steps is a spike; 0: none is"),
    )
    on_spike: Literal["tell", "rewind"] = attrs.field(
        default="tell",
        metadata=doc(
            "tell: a spike is told, and a loss that is no number ends training. rewind: both are told, and "
            "training goes on from the checkpoint before, without that batch"
        ),
    )
    patience: float = attrs.field(
        default=600.0,
        validator=ge(0),
        metadata=doc(
            "seconds for which a checkpoint that cannot be written is tried again, as of a full disk"
        ),
    )
    cache: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=doc(
            "a folder that `glidepath cache` has written for this spec: its latents, and embeddings of "
            "captions where no stage trains the text encoder, are read in place of the networks"
        ),
    )
    workers: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc(
            "processes that make batches ahead; 0: none, each is made when its step begins. Batches are the "
            "same, however many there are"
        ),
    )
    worker_timeout: float = attrs.field(
        default=600.0,
        validator=gt(0),
        metadata=doc(
            "seconds that a batch of theirs may take to come, before training ends with an error; the first "
            "of each has 120 more"
        ),
    )
    export_dtype: Literal["float32", "float16", "bfloat16"] = attrs.field(
        default="float32", metadata=doc("of the weights that are written at the end")
    )
    init_from_weights: bool = attrs.field(
        default=False, metadata=doc("begin with the spec's weights; false: from scratch, ignoring them")
    )

    @property
    def samples(self) -> Samples | None:
        """The sheets that are drawn while it is trained: none, unless a trainer has a parameter for them."""
        return None


@attrs.frozen(kw_only=True)
class Samples:
    """Images at fixed prompts and noise, with the spec's sampler and guidance, while a model is trained."""

    prompts: tuple[str, ...] = attrs.field(default=(), metadata=doc("what they show, one image of each"))
    labels: tuple[int, ...] = attrs.field(
        default=(), metadata=doc("their classes, for a denoiser that reads class labels")
    )
    every: int = attrs.field(default=1000, validator=ge(1), metadata=doc("steps between sheets"))
    every_images: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("images trained on between sheets, in place of steps"),
    )
    columns: int | None = attrs.field(
        default=None, validator=optional(ge(1)), metadata=doc("of a sheet; none: about as many as rows")
    )
    seed: int = attrs.field(default=0, validator=ge(0), metadata=doc("of their noise"))

    def __attrs_post_init__(self) -> None:
        if not self.prompts and not self.labels:
            raise ValueError("samples need prompts, or labels")
        if self.prompts and self.labels and len(self.prompts) != len(self.labels):
            raise ValueError(f"samples have {len(self.prompts)} prompts, and {len(self.labels)} labels")


@attrs.frozen(kw_only=True)
class DiffusionTrainerConfig(TrainingConfig):
    """How a denoiser and its text encoder are trained."""

    samples: Samples | None = attrs.field(
        default=None, metadata=doc("sheets of samples, drawn while it is trained; none: none are")
    )

    only: tuple[str, ...] | None = attrs.field(
        default=None,
        validator=optional(min_len(1)),
        metadata=doc(
            "what the last stage trains, while everything else stays as it is: slots or names of parameters, "
            "as denoiser, conditioners[0] or denoiser.blocks.*.attn; `*` and `?` stand for any letters; "
            "none: denoiser and text encoder"
        ),
    )
    validation: int = attrs.field(
        default=64,
        validator=ge(0),
        metadata=doc(
            "of the images that the dataset holds out, how many each probe takes the loss of, at five noise "
            "levels; 0: none"
        ),
    )
    lora: LoraTraining | None = attrs.field(
        default=None,
        metadata=doc(
            "train low-rank changes instead of the weights, which are those of the spec; they are written to "
            "lora.safetensors"
        ),
    )
    prior: Any = attrs.field(
        default=None,
        metadata=part("dataset", "images that are not to be forgotten, a half of each batch (DreamBooth)"),
    )
    prior_weight: float = attrs.field(
        default=1.0, validator=ge(0), metadata=doc("of the loss of that half, beside the other's")
    )
    caption_dropout: float = attrs.field(
        default=0.2,
        validator=[ge(0), le(1)],
        metadata=doc(
            "share of the captions and labels replaced by the null condition, for classifier-free guidance"
        ),
    )
    weighting: Any = attrs.field(
        default=None,
        metadata=part("weighting", "how much the error of each noise level counts; none: all alike (simple)"),
    )
    timesteps: Any = attrs.field(
        default=None, metadata=part("timestep_density", "how often each timestep is trained; none: uniform")
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
class ObjectivesTrainerConfig(TrainingConfig):
    """How a generator is trained, through a stage for each objective."""

    objectives: Any = attrs.field(
        metadata=parts("objective", "what it learns from, one after the other; the last for `steps`")
    )
    samples: Samples | None = attrs.field(
        default=None, metadata=doc("sheets of samples, drawn while it is trained; none: none are")
    )
    caption_dropout: float = attrs.field(
        default=0.1,
        validator=[ge(0), le(1)],
        metadata=doc("share of the captions and labels replaced by what stands for their absence"),
    )
    text_encoder_rate: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc("learning rate of the text encoder, as a factor of learning_rate; 0 freezes it"),
    )


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
    clip: bool = attrs.field(
        default=False,
        metadata=doc(
            "clip each predicted x_0 to [-1, 1]: the bound of what samplers do, and of the program published "
            "with ADM (clip_denoised). Part of what a value means"
        ),
    )
    seed: int = attrs.field(
        default=1_000_003,
        validator=ge(0),
        metadata=doc("of the real images; another than that of training, so that none was trained on"),
    )
