"""How images are drawn: in batches under a progress bar, and the films of their states."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from glidepath.core.cascade import Cascade
    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.core.request import Request
    from glidepath.core.sampler import State
    from glidepath.registry.records.manifest import ImageKey
    from glidepath.registry.records.pictures import Inputs

FILM_FRAMES = 10
"""How many states a film shows, about."""


def draw(
    pipeline: ImagePipeline | Cascade,
    keys: Sequence[ImageKey],
    batch: int,
    inputs: Inputs,
    film: list[list[Tensor]] | None = None,
) -> Iterator[list[Tensor]]:
    """Make images in batches, each [3, H, W] uint8 on the CPU, under a progress bar.

    film: receives, for each image, its frames from noise to image, all of the image's size.
    """
    from tqdm import tqdm

    from glidepath.core.cascade import stages_of

    stages = stages_of(pipeline)
    lengths = pipeline.lengths(inputs.strength, inputs.size)
    wanted = _frames(lengths)
    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left"
    with tqdm(total=len(keys) * sum(lengths), bar_format=layout, file=sys.stderr, leave=False) as bar:
        for first in range(0, len(keys), batch):
            some = keys[first : first + batch]
            states: list[State] = []
            last = None
            for state in pipeline.states(image_request(some, inputs)):
                if last is None or last.stage != state.stage:
                    _describe(bar, first, len(keys), tuple(stages)[state.stage])
                last = state
                if film is not None and state.index in wanted:
                    states.append(state)
                bar.update(len(some))
            assert last is not None  # each stage has at least one step
            images = pipeline.images(last).cpu()
            if film is not None:
                frames = [_enlarged(pipeline.images(state).cpu(), images) for state in states]
                film.extend([frame[row] for frame in frames] for row in range(len(some)))
            _describe(bar, first + len(some), len(keys), "")
            yield list(images)


def film_strips(film: Sequence[Sequence[Tensor]], scale: int) -> Image:
    """A strip of frames for each image, at half the scale of the image."""
    from glidepath.registry.records.images import grid

    return grid([frame for row in film for frame in row], len(film[0]), max(1, scale // 2))


def noise_film(pipeline: ImagePipeline, image: Tensor, seed: int, scale: int) -> tuple[Image, list[int]]:
    """A strip of the forward chain of an image [1, 3, H, W], ever noisier, and its timesteps.

    Raises:
        PartError: the pipeline has no schedule.
    """
    import torch

    from glidepath.core.errors import PartError
    from glidepath.core.noise import PerSampleNoise
    from glidepath.core.pipeline import Pipeline
    from glidepath.registry.records.images import grid

    if not isinstance(pipeline, Pipeline):
        raise PartError("a film of noise is made along a schedule, and this spec has none")
    pipeline.bring("codec")
    x_0 = pipeline.codec.encode(image.to(pipeline.device))
    noise = PerSampleNoise([(seed, 0)]).initial(tuple(x_0.shape), pipeline.device)
    schedule = pipeline.schedule
    times = torch.linspace(0, schedule.last_time, FILM_FRAMES - 1)
    times = times if schedule.continuous else times.round().long()
    frames = [image[0]]
    frames += [pipeline.decode(schedule.add_noise(x_0, noise, t[None]))[0].cpu() for t in times]
    return grid(frames, len(frames), max(1, scale // 2)), times.tolist()


def image_request(keys: Sequence[ImageKey], inputs: Inputs) -> Request:
    """What is asked of a pipeline for some images, which have one seed."""
    from glidepath.core.request import Request

    labels = [key.label for key in keys if key.label is not None]
    negatives = [key.negative for key in keys if key.negative is not None]
    return Request(
        prompts=[key.prompt for key in keys],
        negative=negatives or None,
        seed=keys[0].seed,
        samples=[key.sample for key in keys],
        labels=labels or None,
        size=inputs.size,
        texts={name: [dict(key.texts)[name] for key in keys] for name, _ in keys[0].texts},
        inputs={name: picture.pixels for name, picture in inputs.pictures.items()},
        strength=inputs.strength,
    )


def _describe(bar: Any, done: int, count: int, stage: str) -> None:
    bar.set_description_str(f"{done} of {count} images{f', stage {stage}' if stage else ''}")


def _frames(lengths: Sequence[int]) -> set[int]:
    """Which states make the film: as many of each stage, spread over its steps; the last of each is one."""
    wanted: set[int] = set()
    each, more = divmod(FILM_FRAMES - 1, len(lengths))
    for stage, length in enumerate(lengths):
        count = max(2, each + (stage < more))
        done = sum(lengths[:stage])
        wanted |= {done + round(index * (length - 1) / (count - 1)) + 1 for index in range(count)}
    return wanted


def _enlarged(frame: Tensor, images: Tensor) -> Tensor:
    """A frame in the size of the images: pixels of an earlier stage of a cascade are seen as they are."""
    import torch.nn.functional as F

    if frame.shape == images.shape:
        return frame
    return F.interpolate(frame, size=images.shape[2:], mode="nearest")
