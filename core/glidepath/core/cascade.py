"""Pipelines that feed one another: each stage enlarges, or refines, what the one before made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core.defaults import torch_defaults
from glidepath.core.errors import PartError
from glidepath.core.image_pipeline import ImagePipeline
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import PerSampleNoise
from glidepath.core.pipeline import Pipeline
from glidepath.core.request import Input, Request, check_inputs, check_texts
from glidepath.core.sampler import State
from glidepath.core.size import checked_size, sides


class Cascade:
    """Makes images in stages (Ho et al. 2022, "Cascaded Diffusion Models"; GLIDE's base and upsampler).

    Every stage is given the prompt. The images of a stage, in 8 bits, are the low-resolution images of an
    upsampler, or what its handover makes of them, or of their latents. Another stage begins from that, and
    may go on from where the stage before stopped half way (Podell et al. 2023, section 2.5). A cascade is
    called as a `Pipeline` is, and keeps no state between calls either.

    Args:
        stages: the pipelines by name, in order; all but the first are upsamplers, or have a handover.

    Raises:
        PartError: there is no stage, or the first needs one before it, or another takes nothing from it.
    """

    def __init__(self, stages: Mapping[str, Pipeline]) -> None:
        if not stages:
            raise PartError("a cascade needs at least one stage")
        self.stages: Mapping[str, Pipeline] = MappingProxyType(dict(stages))
        for index, (name, pipeline) in enumerate(stages.items()):
            upsamples, hands = pipeline.denoiser.needs_low_res, pipeline.handover is not None
            if not index and (upsamples or hands):
                what = "is an upsampler" if upsamples else "has a handover"
                raise PartError(f"stage {name!r} {what}, and stands before the other stages of its cascade")
            if index and not upsamples and not hands:
                raise PartError(
                    f"stage {name!r} is no upsampler, and stands after another without a handover"
                )
            if upsamples and pipeline.handover is not None and pipeline.handover.level is not None:
                raise PartError(f"stage {name!r} is an upsampler, and goes on from no noise of another's")

    def __call__(self, prompts: Sequence[str] | Request, **values: Any) -> Tensor:
        """Images of B prompts, as the last stage makes them; arguments as for `states`."""
        (last,) = deque(self.states(prompts, **values), maxlen=1)  # each stage has at least one step
        return self.images(last)

    @torch_defaults()
    def states(self, prompts: Sequence[str] | Request, **values: Any) -> Iterator[State]:
        """Each state of each stage as it is made; arguments as for `Pipeline.states`.

        Of a request, each stage is given what it reads. The size is that of the last stage's images; those of
        earlier ones are smaller in proportion, and pictures of that size are reduced for them. Without a
        mask, image and strength concern the first stage alone.

        Raises:
            PartError: the request does not fit a stage. None has begun by then.
        """
        request = Request.of(prompts, **values)
        sizes = self.sizes(request.size)
        check_inputs(request.inputs, self.inputs, sizes[-1])
        check_texts(request.texts, self.texts)
        if request.labels is not None and all(stage.num_classes is None for stage in self.stages.values()):
            raise PartError("labels were given, and no stage of this cascade reads any")
        requests = [self._asked(index, request, size) for index, size in enumerate(sizes)]
        for pipeline, asked in zip(self.stages.values(), requests, strict=True):
            small = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
            pipeline.check(_enlarging(asked, small) if pipeline.denoiser.needs_low_res else asked)
        return self._walk(requests, self.grids(request.strength, request.size))

    def _asked(self, index: int, request: Request, size: tuple[int, ...]) -> Request:
        """What is asked of a stage that makes images of a size, but for the image that it enlarges."""
        pipeline = tuple(self.stages.values())[index]
        given = {name: picture for name, picture in request.inputs.items() if name in pipeline.inputs}
        if index and "mask" not in given:
            given.pop("image", None)
        return attrs.evolve(
            request,
            inputs={
                name: _reduced(picture, size) if pipeline.inputs[name].size == "image" else picture
                for name, picture in given.items()
            },
            negative=request.negative if pipeline.text_encoder is not None else None,
            texts={name: texts for name, texts in request.texts.items() if name in pipeline.texts},
            labels=None if pipeline.num_classes is None else request.labels,
            size=None if request.size is None else size,
            strength=None if index else request.strength,
        )

    def images(self, state: State) -> Tensor:
        """A state as images of its stage, [B, 3, H, W] uint8."""
        return tuple(self.stages.values())[state.stage].decode(state.x)

    @property
    def image_size(self) -> tuple[int, ...]:
        """(H, W) in pixels of the images that it makes where no other size is asked for."""
        return self.last.image_size

    def sizes(self, size: Sequence[int] | None = None) -> list[tuple[int, ...]]:
        """(H, W) in pixels of each stage's images, where the last stage's are of `size`; None: `image_size`.

        Raises:
            PartError: they would not be whole.
        """
        own = [pipeline.image_size for pipeline in self.stages.values()]
        if size is None:
            return own
        wanted = checked_size(size)
        for name, made in zip(self.stages, own, strict=True):
            if any(side * part % whole for side, part, whole in zip(wanted, made, own[-1], strict=True)):
                of = f"stage {name!r} makes {sides(made)} of {sides(own[-1])} pixels"
                raise PartError(f"this cascade makes no images of {sides(wanted)} pixels: {of}")
        return [
            tuple(side * part // whole for side, part, whole in zip(wanted, made, own[-1], strict=True))
            for made in own
        ]

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The pictures that it takes, by name: those of its stages, but for the images that they enlarge."""
        taken = {name: input for stage in self.stages.values() for name, input in stage.inputs.items()}
        return {name: input for name, input in taken.items() if name != "low_res"}

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the texts that its stages read beside prompts."""
        return tuple(dict.fromkeys(name for stage in self.stages.values() for name in stage.texts))

    @property
    def first(self) -> Pipeline:
        """The stage that starts from noise and prompt alone."""
        return next(iter(self.stages.values()))

    @property
    def last(self) -> Pipeline:
        """The stage whose images are the cascade's."""
        return tuple(self.stages.values())[-1]

    def lengths(self, strength: float | None = None, size: Sequence[int] | None = None) -> list[int]:
        """How many steps each stage takes; arguments as for `grids`."""
        return [len(grid) for grid in self.grids(strength, size)]

    def grids(self, strength: float | None = None, size: Sequence[int] | None = None) -> list[NoiseLevels]:
        """The noise levels that each stage visits. One whose next goes on from its noise stops there.

        strength: of the first stage. size: as for `sizes`.

        Raises:
            PartError: a handover at a noise level leaves a stage nothing to do.
        """
        grids: list[NoiseLevels] = []
        sizes = self.sizes(size) if size is not None else [None] * len(self.stages)
        for (name, stage), own in zip(self.stages.items(), sizes, strict=True):
            try:
                grids.append(_levels_after(stage, own) if grids else stage.levels(strength, own))
                if stage.handover is not None and stage.handover.level is not None:
                    grids[-2] = grids[-2].until(grids[-1])
            except PartError as error:
                raise PartError(f"at stage {name!r}: {error}") from error
        return grids

    def _walk(self, requests: Sequence[Request], grids: Sequence[NoiseLevels]) -> Iterator[State]:
        state = before = None
        lengths = [len(grid) for grid in grids]
        for index, (pipeline, asked) in enumerate(zip(self.stages.values(), requests, strict=True)):
            done, noise, handed = sum(lengths[:index]), asked.noise(stream=index), dict[str, Tensor]()
            if before is not None and state is not None:
                if pipeline.handover is None:
                    asked = _enlarging(asked, before.images(state))
                elif pipeline.denoiser.needs_low_res:
                    asked = _enlarging(asked, _handed_over(state.x, before, pipeline, asked, noise))
                else:
                    name = "x_0" if pipeline.handover.level is None else "x"
                    handed[name] = _handed_over(state.x, before, pipeline, asked, noise)
                before.bring()
            for state in pipeline.states(asked, noise=noise, levels=grids[index], **handed):
                yield attrs.evolve(state, index=done + state.index, total=sum(lengths), stage=index)
            before = pipeline


def _levels_after(stage: Pipeline, size: Sequence[int] | None) -> NoiseLevels:
    """Those that a stage visits after another: which its handover leaves to it."""
    if stage.handover is None or stage.denoiser.needs_low_res:
        return stage.levels(None, size)
    if stage.handover.level is None:
        return stage.levels(stage.handover.strength, size)
    return stage.levels(None, size).below(stage.handover.level)


def _enlarging(request: Request, images: Tensor) -> Request:
    """The request, of images [B, 3, h, w] uint8 or an x_0 that are enlarged."""
    return attrs.evolve(request, inputs={**request.inputs, "low_res": images})


@torch_defaults()
def _handed_over(
    x: Tensor, before: Pipeline, stage: Pipeline, asked: Request, noise: PerSampleNoise
) -> Tensor:
    """What a stage begins from, or enlarges, [B, C, *spatial] on its device."""
    assert stage.handover is not None  # the caller saw to it
    shape = (asked.batch, *stage.latent_shape(asked.size))
    drawn, size = noise.posterior(shape, stage.device), asked.size or stage.image_size
    before.bring("codec")
    stage.bring("codec")
    with torch.inference_mode():
        x_0 = stage.handover.x_0(x.to(stage.device), before.codec, stage.codec, size, drawn)
    if x_0.shape != shape:
        raise PartError(f"the handover made an x of {list(x_0.shape)}, and the stage takes {list(shape)}")
    return x_0


def stages_of(pipeline: ImagePipeline | Cascade) -> Mapping[str, ImagePipeline]:
    """The pipelines of a cascade by name; a pipeline by itself under ""."""
    return pipeline.stages if isinstance(pipeline, Cascade) else {"": pipeline}


def _reduced(picture: Tensor, size: tuple[int, ...]) -> Tensor:
    """A picture in the size of a stage: each pixel the mean of the area that it covers.

    A pixel of a mask is known where all that it covers is known.
    """
    if tuple(picture.shape[2:]) == size:
        return picture
    if picture.shape[1] == 1:
        return 1 - F.adaptive_max_pool2d(1 - picture, size)
    return F.interpolate(picture.to(torch.float32), size=size, mode="area").round().to(torch.uint8)
