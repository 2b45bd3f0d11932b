"""What a browser asks to be made: read from JSON, each value checked and bounded."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from glidepath.core import GlidepathError

MOST_PROMPTS = 16
MOST_COUNT = 16
MOST_IMAGES = 64
MOST_LETTERS = 4_000
MOST_PICTURES = 8
LARGEST_SIDE = 8_192
LARGEST_SEED = 2**53 - 1
"""The largest whole number that a browser tells from the next one."""

_INPUT = re.compile(r"[a-z][a-z0-9_]{0,39}")


@attrs.frozen(kw_only=True)
class Asked:
    """Images that are asked for.

    text: of the spec. count: images of each prompt. first: the sample index of the first of them.
    pictures: the bytes of files by their names in a request.
    """

    text: str
    prompts: Sequence[str] = ("",)
    negative: str | None = None
    texts: Mapping[str, str] = attrs.field(factory=dict)
    seed: int = 0
    count: int = 1
    first: int = 0
    labels: Sequence[int] = ()
    size: tuple[int, int] | None = None
    strength: float | None = None
    pictures: Mapping[str, bytes] = attrs.field(factory=dict, repr=False)

    @property
    def read(self) -> list[str]:
        """Every text that a model is to read."""
        return [*self.prompts, *filter(None, [self.negative]), *self.texts.values()]

    @property
    def title(self) -> str:
        """What is asked for, in a few words."""
        named = [prompt for prompt in self.prompts if prompt.strip()]
        return "; ".join(named)[:200] or ", ".join(f"class {label}" for label in self.labels) or "no prompt"


def read_asked(data: Mapping[str, Any]) -> Asked:
    """What a JSON object of a browser asks for.

    Raises:
        GlidepathError: a value is of another type, or out of range.
    """
    prompts = _texts(data.get("prompts") or [""], "prompts", MOST_PROMPTS)
    labels = data.get("labels") or []
    if not isinstance(labels, list) or len(labels) > MOST_PROMPTS:
        raise GlidepathError(f"labels is a list of at most {MOST_PROMPTS} whole numbers")
    asked = Asked(
        text=_text(data.get("text"), "the spec", 100_000),
        prompts=prompts,
        negative=_text(data["negative"], "the negative prompt") if data.get("negative") else None,
        texts={
            _name(name): _text(text, name)
            for name, text in _mapping(data.get("texts"), "texts").items()
            if text
        },
        seed=_whole(data.get("seed", 0), "the seed", 0, LARGEST_SEED),
        count=_whole(data.get("count", 1), "the number of images", 1, MOST_COUNT),
        first=_whole(data.get("first", 0), "the first sample", 0, LARGEST_SEED),
        labels=[_whole(label, "a class", 0, 2**31 - 1) for label in labels],
        size=_size(data.get("size")),
        strength=_fraction(data.get("strength")),
        pictures=_pictures(data.get("pictures")),
    )
    count = max(len(asked.prompts), len(asked.labels)) * asked.count
    if count > MOST_IMAGES:
        raise GlidepathError(f"{count} images are asked for, and at most {MOST_IMAGES} are made at once")
    return asked


def _texts(value: Any, what: str, most: int) -> list[str]:
    if not isinstance(value, list) or not 0 < len(value) <= most:
        raise GlidepathError(f"{what} is a list of 1 to {most} texts")
    return [_text(text, what) for text in value]


def _text(value: Any, what: str, most: int = MOST_LETTERS) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise GlidepathError(f"{what} is a text of at most {most:,} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GlidepathError(f"{what} holds half a character (a lone surrogate)") from error
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _INPUT.fullmatch(value):
        raise GlidepathError(f"{str(value)[:60]!r} is no name of a picture or a text")
    return value


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_PICTURES:
        raise GlidepathError(f"{what} is a mapping of at most {MOST_PICTURES} names")
    return value


def _whole(value: Any, what: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise GlidepathError(
            f"{what} is a whole number from {least} to {most}, and this is {str(value)[:40]}"
        )
    return value


def _fraction(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= 1:
        raise GlidepathError(f"strength is above 0 and at most 1, and this is {str(value)[:40]}")
    return float(value)


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise GlidepathError("a size is [height, width] in pixels")
    height, width = (_whole(side, "a side", 1, LARGEST_SIDE) for side in value)
    return height, width


def _pictures(value: Any) -> dict[str, bytes]:
    return {_name(name): decoded(text, name) for name, text in _mapping(value, "pictures").items() if text}


def decoded(text: Any, name: str) -> bytes:
    """The bytes of a picture in base64, or in a data URL.

    Raises:
        GlidepathError: it is none.
    """
    if not isinstance(text, str):
        raise GlidepathError(f"the picture {name} is no text of base64")
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise GlidepathError(f"the picture {name} is damaged: {error}") from error
