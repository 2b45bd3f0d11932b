"""What is asked of a pipeline: the values of one call."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.noise import PerSampleNoise
from glidepath.core.size import checked_size, sides


@attrs.frozen
class Input:
    """A picture that a pipeline takes, or a conditioner of it.

    summary: what is made of it, in a few words.
    size: "image" for one of the size of the images, "any" for one that keeps its own.
    required: whether there is no image without it.
    """

    summary: str
    size: Literal["image", "any"] = "image"
    required: bool = True


def _texts(prompts: object) -> tuple[str, ...]:
    if isinstance(prompts, str):
        raise PartError(f"prompts is a list of texts; write [{prompts!r}] for a single one")
    given = tuple(prompts) if isinstance(prompts, Iterable) else (prompts,)
    for prompt in given:
        if not isinstance(prompt, str):
            raise PartError(f"a prompt is a text, not {prompt!r}")
    if not given:
        raise PartError("there are no prompts; an image needs at least one (it may be the empty text)")
    return given


def _whole(value: object, what: str) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise PartError(f"a {what} is a whole number, not {value!r}") from None


def _seed(value: object) -> int:
    return _whole(value, "seed")


def _samples(values: object) -> tuple[int, ...]:
    if not isinstance(values, Iterable):
        raise PartError(f"samples is a list of sample indices, one for each prompt, not {values!r}")
    return tuple(_whole(value, "sample index") for value in values)


def _labels(values: Iterable[object] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(_whole(value, "class label") for value in values)


def _size(size: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if size is None else checked_size(size)


def _inputs(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    checked = {
        name: _mask(picture) if name == "mask" else _picture(name, picture)
        for name, picture in inputs.items()
    }
    return MappingProxyType(checked)


def _is_text(value: object) -> bool:
    """Whether it is a text, or a list of some."""
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_text, value))
    )


def _picture(name: str, picture: object) -> Tensor:
    if not isinstance(picture, Tensor):
        raise PartError(
            f"{name} is no value of a request, no text and no picture, which is a tensor: {picture!r}"
        )
    if name == "low_res" and picture.is_floating_point():
        return picture
    if picture.ndim != 4 or picture.shape[1] != 3 or picture.dtype != torch.uint8:
        raise PartError(
            f"{name} is [B, 3, H, W] uint8 (8 bits a colour), not {list(picture.shape)} {picture.dtype}"
        )
    return picture


def _mask(mask: Tensor) -> Tensor:
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise PartError(
            f"mask is {list(mask.shape)}, and must be [1 or B, 1, H, W]: one value for each pixel of the "
            "image, 1 where it is known"
        )
    known = mask.to(torch.float32)
    if not bool(((known == 0) | (known == 1)).all()):
        raise PartError("mask holds values other than 0 (to be made) and 1 (known)")
    return known


@attrs.frozen(eq=False, kw_only=True)
class Request:
    """One call of a pipeline, for B images. It checks itself; a pipeline checks whether it can do it.

    prompts: B texts; for a denoiser without text they only say how many images there are.
    negative: what classifier-free guidance moves away from, where that is not the absence of a prompt: B
        texts, or one for all images.
    seed, samples: which image of a prompt is made. Image i is decided by (prompts[i], seed, samples[i]),
        whatever else is in the batch. `samples` defaults to counting each prompt's repetitions: 0 for its
        first occurrence, 1 for its second.
    labels: B class labels.
    size: (H, W) of the images in pixels; None: what the denoiser was made for.
    inputs: pictures by name, each [1 or B, 3, h, w] uint8. "image" is what is changed, of the size of the
        images. "mask" is [1 or B, 1, H, W], 1 where the image is known: what it covers is restored in each
        predicted x_0. "low_res" is what an upsampler starts from; it may be an x_0, [1 or B, C, *spatial]
        float32. Conditioners ask for others.
    texts: other texts by name, each B, or one for all images. A text encoder that joins several reads
        "prompt_2" in place of the prompt with its second one, and "negative_prompt_2" in place of `negative`.
    strength: how far the image is noised, above 0 to 1: the last `strength` of the steps are taken, from the
        image noised to their level (Meng et al. 2022, "SDEdit"). None: from noise alone.

    Raises:
        PartError: a value is none of these, or does not fit the others.
    """

    prompts: tuple[str, ...] = attrs.field(converter=_texts)
    negative: str | Sequence[str] | None = None
    seed: int = attrs.field(default=0, converter=_seed)
    samples: tuple[int, ...] = attrs.field(
        default=attrs.Factory(lambda self: occurrences(self.prompts), takes_self=True), converter=_samples
    )
    labels: tuple[int, ...] | None = attrs.field(default=None, converter=_labels)
    size: tuple[int, ...] | None = attrs.field(default=None, converter=_size)
    inputs: Mapping[str, Tensor] = attrs.field(factory=dict, converter=_inputs)
    texts: Mapping[str, str | Sequence[str]] = attrs.field(factory=dict)
    strength: float | None = None

    def __attrs_post_init__(self) -> None:
        batch = self.batch
        if len(self.samples) != batch:
            raise PartError(f"{len(self.samples)} sample indices were given for {batch} prompts")
        if self.labels is not None and len(self.labels) != batch:
            raise PartError(f"{len(self.labels)} labels were given for {batch} prompts")
        if self.negative is not None:
            object.__setattr__(self, "negative", _for_each(self.negative, batch, "negative prompts"))
        texts = {name: _for_each(given, batch, f"texts {name}") for name, given in self.texts.items()}
        object.__setattr__(self, "texts", MappingProxyType(texts))
        for name, picture in self.inputs.items():
            if len(picture) not in (1, batch):
                raise PartError(f"{len(picture)} rows of {name} were given for {batch} prompts")
        for name, is_given in {"mask": "mask" in self.inputs, "strength": self.strength is not None}.items():
            if is_given and "image" not in self.inputs:
                raise PartError(f"{name} says what is kept of an image, and there is no image")
        if self.strength is not None:
            checked_strength(self.strength)

    @staticmethod
    def of(prompts: Sequence[str] | Request, /, **values: Any) -> Request:
        """A request as people write it: `of(["a red star"], seed=3, image=picture, strength=0.6)`.

        values: the fields of a request; every other name is that of a picture of `inputs`, or, where texts
            stand, of one of `texts`. None is absent.
        """
        if isinstance(prompts, Request):
            if values:
                raise PartError(f"{', '.join(values)}: a request has all its values; give it alone")
            return prompts
        given = {name: value for name, value in values.items() if value is not None or name == "seed"}
        inputs, texts = dict(given.pop("inputs", {})), dict(given.pop("texts", {}))
        fields = {field.name for field in attrs.fields(Request)}
        for name in [name for name in given if name not in fields]:
            value = given.pop(name)
            (texts if _is_text(value) else inputs)[name] = value
        return Request(prompts=prompts, inputs=inputs, texts=texts, **given)

    @property
    def batch(self) -> int:
        """B: how many images are asked for."""
        return len(self.prompts)

    def noise(self, stream: int = 0) -> PerSampleNoise:
        """The noise that the images are made of.

        stream: which of the independent streams of a seed; each stage of a cascade has its own.
        """
        return PerSampleNoise([(self.seed, sample) for sample in self.samples], stream=stream)

    def rows(self, name: str) -> Tensor:
        """A picture of `inputs`, one row for each image: a single one stands for all."""
        picture = self.inputs[name]
        return picture.expand(self.batch, *picture.shape[1:])


def _for_each(given: str | Sequence[str], batch: int, what: str) -> tuple[str, ...]:
    texts = _texts([given] * batch if isinstance(given, str) else given)
    if len(texts) != batch:
        raise PartError(f"{len(texts)} {what} were given for {batch} prompts")
    return texts


def check_inputs(given: Mapping[str, Tensor], wanted: Mapping[str, Input], size: Sequence[int]) -> None:
    """Refuse pictures that nothing takes, or that have the wrong size; and those that are missing.

    size: (H, W) of the images in pixels.

    Raises:
        PartError: naming the picture.
    """
    for name, picture in given.items():
        if name not in wanted:
            raise PartError(
                f"{name} was given, and nothing in this pipeline reads it; "
                f"it takes {', '.join(wanted) or 'no pictures'}"
            )
        if wanted[name].size == "image" and tuple(picture.shape[2:]) != tuple(size):
            given_size = sides(picture.shape[2:])
            raise PartError(f"{name} is {given_size} pixels, and this pipeline makes images of {sides(size)}")
    for name, input in wanted.items():
        if input.required and name not in given:
            raise PartError(f"this pipeline needs {name}: {input.summary}")


def checked_strength(strength: float) -> float:
    """A strength, if it is one.

    Raises:
        PartError: it is not above 0, or is above 1.
    """
    if not 0 < strength <= 1:
        raise PartError(f"strength is above 0 and at most 1 (1 keeps nothing of the image), not {strength}")
    return strength


def check_texts(given: Iterable[str], read: Sequence[str]) -> None:
    """Refuse texts that nothing reads.

    Raises:
        PartError: naming the text.
    """
    for name in given:
        if name not in read:
            known = f"it reads {', '.join(read)}" if read else "it reads none beside the prompt"
            raise PartError(f"a text {name!r} was given, and nothing in this pipeline reads it; {known}")


def occurrences(prompts: Sequence[str]) -> list[int]:
    """For each prompt, how often it stands before in the list."""
    seen: Counter[str] = Counter()
    counts = []
    for prompt in prompts:
        counts.append(seen[prompt])
        seen[prompt] += 1
    return counts
