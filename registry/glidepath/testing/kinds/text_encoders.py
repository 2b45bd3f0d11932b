"""Text encoders: each prompt by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.core.conditioning import TextEmbedding
from glidepath.core.errors import GlidepathError
from glidepath.core.text_encoder import TextEncoder
from glidepath.testing.check import CannotRun, Check, check, require
from glidepath.testing.part import Part
from glidepath.testing.trial import PROMPTS, Attempt, Trial, cannot_read, difference

_ROUNDING = 1e-4


class TextEncoderTrial(Trial):
    """Embeds a prompt for each row; all have three words."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "text.width": lambda built: built.token_width,
        "text.pooled": lambda built: built.pooled_width,
        "text.context": lambda built: built.context,
    }

    def use(self, built: TextEncoder, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The pooled vectors, those of the tokens, and the mask."""
        return tensors(embedded(built, [PROMPTS[row % len(PROMPTS)] for row in rows]))

    def require_shapes(self, built: TextEncoder) -> None:
        """[B, L, W], [B, D] and [B, L] where it makes them, and one row for no prompt."""
        wanted: dict[str, tuple[int, ...]] = {"tokens": (built.context, built.token_width)}
        if built.pooled_width is not None:
            wanted["pooled"] = (built.pooled_width,)
        prompts = [PROMPTS[0], PROMPTS[1]]
        for case, rows, embedding in (
            ("2 prompts", 2, embedded(built, prompts)),
            ("no prompt (unconditional)", 1, built.unconditional()),
            ("2 negative prompts (unconditional)", 2, negatives(built, prompts)),
        ):
            masks = {} if embedding.mask is None else {"mask": (built.context,)}
            for name, shape in {**wanted, **masks}.items():
                tensor = getattr(embedding, name)
                actual = None if tensor is None else list(tensor.shape)
                require(
                    actual == [rows, *shape], f"{name} of {case} is {actual}, and must be {[rows, *shape]}"
                )
            for name, tensor in embedding.extras.items():
                require(len(tensor) == rows, f"extras[{name!r}] of {case} has {len(tensor)} rows, not {rows}")

    def require_dtypes(self, built: TextEncoder) -> None:
        """Numbers in the precision of its weights, a mask of truth values."""
        for dtype in (torch.float32, torch.bfloat16):
            built = built.to(dtype)
            embedding = embedded(built, [PROMPTS[0]])
            mask = embedding.mask
            require(mask is None or mask.dtype == torch.bool, "mask must be bool, or None")
            for name in ("pooled", "tokens"):
                value = getattr(embedding, name)
                if value is None:
                    continue
                require(value.is_floating_point(), f"{name} is {value.dtype}, and must be floating point")
                require(bool(value.isfinite().all()), f"in {dtype}, {name} is not finite")

    def bad_inputs(self, built: TextEncoder) -> Iterator[Attempt]:
        """Not a list of prompts."""
        text: Any = PROMPTS[0]
        yield "one text in place of a list of prompts", lambda: built(text), True
        yield "an empty list of prompts", lambda: built([]), False


@check("builds", "shapes", "batch-independence")
def padding(part: Part) -> None:
    """What it says of a prompt does not depend on how long the others are, nor on how far they are padded."""
    built = part.build()
    short = PROMPTS[0]
    long = " ".join(PROMPTS[1:])
    with torch.no_grad():
        alone = embedded(built, [short])
        for others in ([long], ["", long], [" ".join([long] * 20)]):
            beside = embedded(built, [short, *others])
            worst = difference(tensors(alone), [tensor[:1] for tensor in tensors(beside)])
            require(
                worst < _ROUNDING,
                f"{short!r} has another embedding beside a prompt of another length (relative {worst:.1e})",
            )


CHECKS: tuple[Check, ...] = (padding,)


def tensors(embedding: TextEmbedding) -> list[Tensor]:
    """All that an embedding holds, as numbers."""
    found = [embedding.pooled, embedding.tokens, embedding.mask, *embedding.extras.values()]
    return [tensor.float() for tensor in found if tensor is not None]


def negatives(built: TextEncoder, prompts: Sequence[str]) -> TextEmbedding:
    """The embedding of negative prompts."""
    try:
        return built.unconditional(prompts)
    except GlidepathError as error:
        raise CannotRun(cannot_read(prompts[0], error)) from error


def embedded(built: TextEncoder, prompts: Sequence[str]) -> TextEmbedding:
    """The embedding of some prompts.

    Raises:
        CannotRun: it does not know their words.
    """
    try:
        embedding: TextEmbedding = built(prompts)
    except GlidepathError as error:
        raise CannotRun(cannot_read(prompts[0], error)) from error
    return embedding
