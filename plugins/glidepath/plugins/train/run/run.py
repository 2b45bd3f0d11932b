"""A training run, and the interface of what performs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs
import torch
from torch import nn

from glidepath.core import (
    Codec,
    ConditionalModel,
    Conditioner,
    Denoiser,
    Diverged,
    Event,
    Generator,
    IdentityCodec,
    Listener,
    NoiseSchedule,
    PartError,
    TextEncoder,
)
from glidepath.plugins.train.cache.cached import Caches
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.run.sheets import PipelineOf
from glidepath.plugins.train.scale.group import ALONE, Group

WEIGHTS = "weights.safetensors"


def conditioner_file(slot: str) -> str:
    """The file of the trained weights of `conditioners[0]`; "" of a slot whose weights are the spec's."""
    return f"conditioner-{slot[13:-1]}.safetensors" if slot.startswith("conditioners[") else ""


class TrainingDiverged(Diverged):
    """The loss or the weights are no longer numbers. The last good checkpoint is kept.

    batches: what was trained on when it happened: step, names and captions.
    """

    batches: Sequence[Mapping[str, Any]] = ()


@attrs.frozen(eq=False)
class Run:
    """What is trained, on what, and where its files go.

    schedule, denoiser: None where there is a generator.
    denoiser, text_encoder: on `device`, in float32; None for a model without text.
    conditioners: make other conditions of a batch; they are not trained.
    folder: receives `log.jsonl`, checkpoints and at the end `weights.safetensors`. One process at a time
        writes to it.
    spec: the resolved spec, plain JSON; checkpoints carry it, and a run resumes only under one that trains
        alike.
    distributions: the version of each distribution that supplies a part; checkpoints and weights carry them.
    codec: what makes x_0 of images; it learns nothing. Pixels are x_0 themselves where it is the identity.
    caches: of what the codec makes, and the text encoder where it does not learn.
    contents: the hash of what is trained on, once it is known; "" of a dataset that does not lie in files.
    located: the keys of `spec` that say where the dataset lies; a run is resumed from another place as well.
    pipeline_of: the spec's pipeline around modules by name, for samples on the way; None: none are drawn.
    listeners: are told what happens, in this order.
    generator, slot: what makes images in place of schedule and denoiser, and its slot in the spec.
    compiled: `runtime.compile`: the network of a stage is compiled, forward and backward.
    group: this process among those that train the run; of the first one, listeners are told.
    stop: asked before each step, and while the dataset is checked; True ends the call of `train`, with a
        checkpoint if there was a step.
    """

    _schedule: NoiseSchedule | None
    _denoiser: Denoiser | None
    text_encoder: TextEncoder | None
    dataset: CaptionedDataset
    folder: Path
    spec: Mapping[str, Any]
    device: torch.device
    codec: Codec = attrs.field(factory=IdentityCodec)
    conditioners: Sequence[Conditioner] = ()
    distributions: Mapping[str, str] = attrs.field(factory=dict)
    caches: Caches = attrs.field(factory=Caches)
    contents: str = ""
    located: frozenset[str] = frozenset()
    pipeline_of: PipelineOf | None = None
    listeners: Sequence[Listener] = ()
    compiled: bool = False
    group: Group = ALONE
    stop: Callable[[], bool] = lambda: False
    generator: Generator | None = None
    slot: str = "denoiser"

    @property
    def denoiser(self) -> Denoiser:
        """The denoiser, for what trains one.

        Raises:
            PartError: the spec has a generator.
        """
        if self._denoiser is None:
            raise PartError(f"this trainer trains a denoiser, and the spec has a {self.slot} in its place")
        return self._denoiser

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule, for what trains a denoiser along it.

        Raises:
            PartError: the spec has a generator.
        """
        if self._schedule is None:
            raise PartError(f"this trainer needs a schedule, and the spec has a {self.slot} in its place")
        return self._schedule

    @property
    def model(self) -> ConditionalModel:
        """The denoiser, or the generator."""
        return self.generator if self.generator is not None else self.denoiser

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """What training may change, by slot."""
        text = {} if self.text_encoder is None else {"text_encoder": self.text_encoder}
        return {self.slot: self.model, **text}

    def tell(self, event: Event) -> None:
        """Tell all listeners."""
        for listener in self.listeners if self.group.first else ():
            if listener.wants_steps or event.name != "step":
                listener.tell(event)

    def warn(self, sentence: str) -> None:
        """Tell what a person should know of."""
        self.tell(Event(name="warning", message=sentence))

    def check_shape(self, shape: Sequence[int]) -> None:
        """Refuse images [C, *spatial] that the model does not take, or the dataset does not announce.

        Raises:
            PartError: it is of another shape than the model is made for, and not one of `dataset.sizes`;
                or the model or the codec does not take that size.
        """
        announced = [tuple(size) for size in getattr(self.dataset, "sizes", ())]
        if tuple(shape) == self.image_shape:
            return
        if tuple(shape[1:]) not in announced or shape[0] != self.image_shape[0]:
            raise PartError(
                f"the dataset gives images of {list(shape)} (channels, height, width), and the {self.slot} "
                f"is made for {list(self.image_shape)}"
            )
        if fault := self.model.takes(self.codec.latent_size(shape[1:])):
            raise PartError(f"the dataset gives images of {list(shape[1:])} (height, width): {fault}")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(3, H, W) of the images that it is trained on; of what is no image, what the model takes."""
        if type(self.codec) is IdentityCodec:
            return self.model.image_shape
        return (3, *self.codec.image_size(self.model.image_shape[1:]))


@runtime_checkable
class Trainer(Protocol):
    """Trains the parts of a spec.

    A trainer whose weights are not those of the spec's denoiser and text encoder (but of a part that another
    spec names) says so by an attribute `trains_spec` that is False. One that writes other files than the
    run's `weights.safetensors` has `sampling_spec(run)`, the tree of the spec that names them.
    """

    def train(self, run: Run, *, stop_after: int | None = None) -> Path | None:
        """Train to the end, from the newest checkpoint of `run.folder` if there is one.

        stop_after: stop, with a checkpoint, when this many steps are done in all.
        Returns the file of trained weights, or None when it stopped earlier.
        """


def sampling_spec(trainer: Trainer, run: Run) -> Mapping[str, Any]:
    """The tree of the spec that samples with what a trainer writes."""
    if hasattr(trainer, "sampling_spec"):
        return trainer.sampling_spec(run)  # type: ignore[no-any-return]
    return {**run.spec, "weights": WEIGHTS} if getattr(trainer, "trains_spec", True) else run.spec
