"""Tokenizers: text to integers below the size of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from glidepath.core.errors import GlidepathError
from glidepath.core.text_encoder import Tokenizer
from glidepath.testing.check import CannotRun, Check, check, require
from glidepath.testing.part import Part
from glidepath.testing.trial import PROMPTS, Attempt, Trial, cannot_read

_WIDTH = 64


class TokenizerTrial(Trial):
    """Reads a prompt for each row."""

    on_host = True

    def use(self, built: Tokenizer, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The ids, filled up with -1."""
        ids = torch.full((len(rows), _WIDTH), -1)
        for index, row in enumerate(rows):
            read = encoded(built, PROMPTS[row % len(PROMPTS)])[:_WIDTH]
            ids[index, : len(read)] = torch.tensor(read, dtype=torch.int64)
        return [ids]

    def require_shapes(self, built: Tokenizer) -> None:
        """Whole numbers; none for an empty text."""
        for name in ("vocabulary_size", "padding_id"):
            value = getattr(built, name)
            require(isinstance(value, int), f"{name} is {value!r}, and must be a whole number")
        require(list(built.encode("")) == [], f"the empty text has ids, {built.encode('')!r}")
        encoded(built, PROMPTS[0])

    def require_dtypes(self, built: Tokenizer) -> None:
        """Python's integers and text."""
        ids = encoded(built, PROMPTS[0])
        require(
            isinstance(ids, list) and all(type(token) is int for token in ids),
            f"encode returns {ids!r}, and must return a list of int",
        )
        require(
            isinstance(built.decode(ids), str), f"decode returns {built.decode(ids)!r}, and must return text"
        )

    def bad_inputs(self, built: Tokenizer) -> Iterator[Attempt]:
        """Texts that nobody writes."""
        odd = "\x00\ud800\U0001f9ff \u0301"
        yield "a text of signs that it will not know", lambda: built.encode(odd), False


@check("builds", "shapes", "dtypes")
def ids(part: Part) -> None:
    """Every id, and the padding id, is at least 0 and below the size of the vocabulary."""
    built = part.build()
    size = built.vocabulary_size
    padding = built.padding_id
    require(0 <= padding < size, f"padding_id is {padding}, outside of 0 to {size - 1}")
    for prompt in PROMPTS:
        outside = [id for id in encoded(built, prompt) if not 0 <= id < size]
        require(not outside, f"{prompt!r} has ids outside of 0 to {size - 1}: {outside}")


@check("builds", "shapes", "dtypes")
def reads_what_it_writes(part: Part) -> None:
    """The text of some ids has these ids."""
    built = part.build()
    for prompt in PROMPTS:
        before = encoded(built, prompt)
        after = built.encode(built.decode(before))
        require(before == after, f"the ids of {prompt!r} are {before}, those of their text {after}")


CHECKS: tuple[Check, ...] = (ids, reads_what_it_writes)


def encoded(built: Tokenizer, prompt: str) -> list[int]:
    """The ids of a prompt.

    Raises:
        CannotRun: it knows none of the words.
    """
    try:
        return built.encode(prompt)
    except GlidepathError as error:
        raise CannotRun(cannot_read(prompt, error)) from error
