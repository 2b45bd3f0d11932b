"""The parameters of the metrics. Imports no torch."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge, min_len

from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class AmongConfig:
    """Another metric, on some of the prompts."""

    metric: Any = attrs.field(metadata=part("metric", "judges image by image"))
    prompts: tuple[str, ...] = attrs.field(
        validator=min_len(1), metadata=doc("those whose images are judged; others have no answer")
    )
    called: str = attrs.field(validator=min_len(1), metadata=doc("what these prompts are, for the name"))


@attrs.frozen(kw_only=True)
class WaysConfig:
    """What a prompt leaves open."""

    metric: Any = attrs.field(
        metadata=part("metric", "gives 1 to an image that shows a prompt, and 0 to one that does not")
    )
    ways: tuple[str, ...] = attrs.field(
        validator=min_len(2),
        metadata=doc("each way to say more, no two of one image: `{}` is the prompt without its first word"),
    )

    @ways.validator
    def _say_more(self, _attribute: object, value: tuple[str, ...]) -> None:
        for way in value:
            if way.count("{}") != 1:
                raise ValueError(f"{way!r} has no place {{}} for the prompt, or several")


@attrs.frozen(kw_only=True)
class OperationsConfig:
    """A count of what drawing takes."""

    images: int = attrs.field(default=4, validator=ge(1), metadata=doc("that are drawn while it is counted"))
    prompt: str = attrs.field(default="a red star", metadata=doc("of these images"))
