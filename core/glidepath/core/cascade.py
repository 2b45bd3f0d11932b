"""Pipelines that feed one another: each stage after the first makes the images of the one before larger."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core.defaults import torch_defaults
from glidepath.core.errors import PartError
from glidepath.core.noise import PerSampleNoise
from glidepath.core.pipeline import Pipeline, sample_indices
from glidepath.core.sampler import State
from glidepath.core.size import checked_size, sides


class Cascade:
    """Makes images in stages (Ho et al. 2022, "Cascaded Diffusion Models"; GLIDE's base and upsampler).

    Every stage is given the prompt. The images of a stage, in 8 bits, are the low-resolution images of the
    next. A cascade is called as a `Pipeline` is, and keeps no state between calls either.

    Args:
        stages: the pipelines by name, in order; all but the first are upsamplers.

    Raises:
        PartError: there is no stage, or one is an upsampler where it must not be, or none where it must.
    """

    def __init__(self, stages: Mapping[str, Pipeline]) -> None:
        if not stages:
            raise PartError("a cascade needs at least one stage")
        self.stages: Mapping[str, Pipeline] = MappingProxyType(dict(stages))
        for index, (name, pipeline) in enumerate(stages.items()):
            if pipeline.denoiser.needs_low_res != (index > 0):
                what = "is no upsampler, and stands after" if index else "is an upsampler, and stands before"
                raise PartError(f"stage {name!r} {what} the other stages of its cascade")

    def __call__(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        size: Sequence[int] | None = None,
    ) -> Tensor:
        """Images of B prompts, as the last stage makes them; arguments as for `states`."""
        walk = self.states(
            prompts,
            seed=seed,
            samples=samples,
            labels=labels,
            image=image,
            mask=mask,
            strength=strength,
            size=size,
        )
        (last,) = deque(walk, maxlen=1)  # each stage has at least one step
        return self.images(last)

    @torch_defaults()
    def states(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        size: Sequence[int] | None = None,
    ) -> Iterator[State]:
        """Each state of each stage as it is made; arguments as for `Pipeline.states`.

        labels: for the stages that read them.
        size: (H, W) in pixels of the last stage's images; those of earlier ones are smaller in proportion.
        image, mask: of the last stage's size; earlier stages receive them reduced. Without a mask, `image`
            and `strength` concern the first stage alone.

        Raises:
            PartError: the arguments do not fit a stage. None has begun by then.
        """
        chosen = sample_indices(prompts, samples)
        sizes = self.sizes(size)
        _check_picture("image", image, 3, sizes[-1])
        _check_picture("mask", mask, 1, sizes[-1])
        if labels is not None and all(pipeline.num_classes is None for pipeline in self.stages.values()):
            raise PartError("labels were given, and no stage of this cascade reads any")
        walks = [
            partial(
                pipeline.states,
                prompts,
                samples=chosen,
                labels=None if pipeline.num_classes is None else labels,
                image=_reduced_image(image, pixels) if index == 0 or mask is not None else None,
                mask=_reduced_mask(mask, pixels),
                size=None if size is None else pixels,
                strength=strength if index == 0 else None,
                noise=PerSampleNoise([(seed, sample) for sample in chosen], stream=index),
            )
            for index, (pipeline, pixels) in enumerate(zip(self.stages.values(), sizes, strict=True))
        ]
        for index, walk in enumerate(walks):
            # `states` checks its arguments when it is called; this generator is dropped before its first step
            walk(low_res=torch.zeros(1, 3, 1, 1, dtype=torch.uint8) if index else None)
        return self._walk(walks, self.lengths(strength))

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
    def first(self) -> Pipeline:
        """The stage that starts from noise and prompt alone."""
        return next(iter(self.stages.values()))

    @property
    def last(self) -> Pipeline:
        """The stage whose images are the cascade's."""
        return tuple(self.stages.values())[-1]

    def lengths(self, strength: float | None = None) -> list[int]:
        """How many steps each stage takes."""
        first, *others = self.stages.values()
        return [len(first.levels(strength)), *(len(pipeline.levels()) for pipeline in others)]

    def _walk(
        self, walks: Sequence[Callable[..., Iterator[State]]], lengths: Sequence[int]
    ) -> Iterator[State]:
        made: Tensor | None = None
        for index, (pipeline, walk) in enumerate(zip(self.stages.values(), walks, strict=True)):
            done = sum(lengths[:index])
            state = None
            for state in walk(low_res=made):
                yield attrs.evolve(state, index=done + state.index, total=sum(lengths), stage=index)
            assert state is not None  # each stage has at least one step
            made = pipeline.images(state)


def stages_of(pipeline: Pipeline | Cascade) -> Mapping[str, Pipeline]:
    """The pipelines of a cascade by name; a pipeline by itself under ""."""
    return pipeline.stages if isinstance(pipeline, Cascade) else {"": pipeline}


def _check_picture(name: str, picture: Tensor | None, channels: int, size: tuple[int, ...]) -> None:
    wanted = (channels, *size)
    if picture is not None and tuple(picture.shape[1:]) != wanted:
        shape = ", ".join(map(str, wanted))
        raise PartError(
            f"{name} is {list(picture.shape)}, and must be [1 or B, {shape}]: of the size of the images "
            "that this cascade makes"
        )
    if picture is not None and name == "image" and picture.dtype != torch.uint8:
        raise PartError(f"image is uint8 (8 bits a colour), not {picture.dtype}")


def _reduced_image(image: Tensor | None, size: tuple[int, ...]) -> Tensor | None:
    """The image in the size of a stage: each pixel the mean of the area that it covers."""
    if image is None or tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image.to(torch.float32), size=size, mode="area").round().to(torch.uint8)


def _reduced_mask(mask: Tensor | None, size: tuple[int, ...]) -> Tensor | None:
    """The mask in the size of a stage. A pixel is known where all that it covers is known."""
    if mask is None or tuple(mask.shape[2:]) == size:
        return mask
    return 1 - F.adaptive_max_pool2d(1 - mask.to(torch.float32), size)
