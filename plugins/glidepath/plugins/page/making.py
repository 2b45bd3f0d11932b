"""Images for the page: pipelines that are kept, the walk with its previews, the files."""

from __future__ import annotations

import base64
import io
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core import Cascade, GlidepathError, ImagePipeline, State, stages_of
from glidepath.plugins.page.asked import Asked
from glidepath.plugins.page.jobs import Job
from glidepath.registry import (
    Catalogue,
    ImageKey,
    Images,
    Inputs,
    Plan,
    build_pipeline,
    canonical_json,
    decode_picture,
    decode_pictures,
    default_scale,
    describe_images,
    grid,
    image_request,
    middle,
    naming_the_part,
    noise_film,
    remarks,
    resized,
    save_png,
    to_pil,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MOST_KEPT = 4
_MOST_PARAMETERS = 500_000_000
_FRAMES = 64
_BUSY = 0.25
"""The share of a walk's time that its previews may take."""

_SMALL = 128
"""Pictures up to this side are shown as they are; larger ones are shown as JPEG, smaller."""

_PREVIEW = 384


class Pipelines:
    """The pipelines that were built last, by what they are made of."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._built: OrderedDict[str, ImagePipeline | Cascade] = OrderedDict()

    def of(self, plan: Plan) -> ImagePipeline | Cascade:
        """The pipeline of a plan. Raises as `build_pipeline` does."""
        key = canonical_json(plan.tree)
        if key in self._built:
            self._built.move_to_end(key)
            return self._built[key]
        while len(self._built) >= MOST_KEPT or self._parameters() > _MOST_PARAMETERS:
            self._built.popitem(last=False)
        with naming_the_part(plan):
            self._built[key] = build_pipeline(plan, self._catalogue)
        return self._built[key]

    def _parameters(self) -> int:
        return sum(
            sum(stage.parameters().values())
            for pipeline in self._built.values()
            for stage in stages_of(pipeline).values()
        )


@attrs.frozen
class Maker:
    """Makes what is asked for. It is used by one thread at a time.

    name: gives a new file for an image of a job: the job, and which of its images.
    """

    catalogue: Catalogue
    pipelines: Pipelines
    name: Callable[[Job, int], Path]

    def make(self, job: Job, plan: Plan, asked: Asked) -> Mapping[str, Any]:
        """The images of a request, each in a file with its record.

        Raises:
            GlidepathError: the model cannot make them.
            Cancelled: the job was told to stop.
        """
        pipeline = self.pipelines.of(plan)
        with naming_the_part(plan):
            pixels = asked.size or pipeline.image_size
            opened = decode_pictures({name: (name, data) for name, data in asked.pictures.items()})
            inputs = Inputs(
                pictures=opened.fitted(pixels, pipeline.inputs), strength=asked.strength, size=asked.size
            )
            keys = list(_keys(asked))
            _check(pipeline, asked)
            remarked = remarks(pipeline, asked.read, pixels, negative=bool(asked.negative))
            if not plan.all_weights():
                remarked.append("The spec names no weights: its networks know nothing yet.")
            images = Images(
                keys=keys,
                columns=_columns(len(keys)),
                scale=default_scale(max(pixels)),
                pictures=inputs.carried(),
                strength=asked.strength,
                size=asked.size,
            )
            manifest = describe_images(plan, pipeline, self.catalogue, images)
            job.step(0, sum(pipeline.lengths(asked.strength, asked.size)))  # it may be cancelled by now
            last = None
            walk = _Walk(job, pipeline, images)
            for last in pipeline.states(image_request(keys, inputs)):
                walk.show(last)
            assert last is not None  # there is at least one step
            drawn = list(pipeline.images(last).cpu())
        files = []
        for index, image in enumerate(drawn):
            alone = attrs.evolve(manifest, images=images.alone(index, len(keys)))
            file = self.name(job, index)
            save_png(to_pil(image, images.scale), file, alone.to_json())
            files.append(file.name)
        return {"files": files, "prompts": [key.prompt for key in keys], "remarks": remarked}

    def noised(self, job: Job, plan: Plan, asked: Asked) -> Mapping[str, Any]:
        """The forward chain of a picture, ever noisier, as frames of the job."""
        pipeline = next(iter(stages_of(self.pipelines.of(plan)).values()))
        with naming_the_part(plan):
            pipeline.latent_shape(asked.size)  # it refuses a size that it does not take
            size = asked.size or pipeline.image_size
            whole = decode_picture(asked.pictures["image"], "the picture")
            strip, times = noise_film(pipeline, resized(middle(whole, size), size), asked.seed, 2)
        count = len(times) + 1
        width = (strip.width + _GAP) // count
        for index in range(count):
            frame = strip.crop((index * width, 0, (index + 1) * width - _GAP, strip.height))
            job.frames[index] = {"x": encoded(frame)}
        return {"times": [None, *times]}


_GAP = 4  # of a strip, between its frames


def _keys(asked: Asked) -> Iterator[ImageKey]:
    count = max(len(asked.prompts), len(asked.labels))
    prompts = list(asked.prompts) * (count if len(asked.prompts) == 1 else 1)
    labels = list(asked.labels) * (count if len(asked.labels) == 1 else 1)
    if len(prompts) != count or (labels and len(labels) != count):
        given = f"{len(labels)} classes were given for {len(prompts)} prompts"
        raise GlidepathError(f"{given}; give one for all, or one for each")
    texts = tuple(asked.texts.items())
    for index, prompt in enumerate(prompts):
        for sample in range(asked.first, asked.first + asked.count):
            label = labels[index] if labels else None
            yield ImageKey(prompt, asked.seed, sample, label, asked.negative, texts)


def _check(pipeline: ImagePipeline | Cascade, asked: Asked) -> None:
    counts = [it for stage in stages_of(pipeline).values() if (it := stage.num_classes) is not None]
    if counts and not asked.labels:
        raise GlidepathError(f"this model is one of classes: choose one from 0 to {min(counts) - 1}")


def _columns(count: int) -> int:
    return next(columns for columns in range(1, count + 1) if columns * columns >= count)


class _Walk:
    """What is shown of a walk: the predicted x_0 after each step, as far as there is time, and x_t."""

    def __init__(self, job: Job, pipeline: ImagePipeline | Cascade, images: Images) -> None:
        self._job, self._pipeline, self._images = job, pipeline, images
        self._names = tuple(stages_of(pipeline))
        self._before = time.perf_counter()
        self._spent = 0.0

    def show(self, state: State) -> None:
        """Tell of a state, with a preview."""
        now, done = time.perf_counter(), time.time()
        stage = self._names[state.stage]
        is_due = now - self._before >= self._spent * (1 / _BUSY - 1) or state.index == state.total
        if not is_due:
            self._job.step(state.index, state.total, stage)
            return
        x_0 = encoded(self._grid(attrs.evolve(state, x=state.sample)))
        self._job.step(state.index, state.total, stage, preview=data_url(x_0), at=done)
        if len(self._job.frames) >= _FRAMES:
            for index in sorted(self._job.frames)[1::2]:
                del self._job.frames[index]
        self._job.frames[state.index] = {"x_0": x_0, "x": encoded(self._grid(state))}
        self._before = time.perf_counter()
        self._spent = self._before - now

    def _grid(self, state: State) -> Image:
        drawn: Tensor = self._pipeline.images(state).cpu()
        return grid(list(drawn), self._images.columns)


def encoded(picture: Image) -> bytes:
    """A picture as a browser shows it."""
    written = io.BytesIO()
    if max(picture.size) <= _SMALL:
        picture.save(written, "PNG", compress_level=1)
    else:
        picture.thumbnail((_PREVIEW, _PREVIEW))
        picture.save(written, "JPEG", quality=85)
    return written.getvalue()


def data_url(data: bytes) -> str:
    """An encoded picture as the address of itself."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
