"""The interface of the model that turns prompts into embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from glidepath.core.conditioning import TextEmbedding
from glidepath.core.errors import UnreadablePrompt


class TextEncoder(nn.Module, ABC):
    """Turns prompts into one vector for each token, and mostly a pooled one.

    Subclasses set, in their constructor:
        pooled_width: D of the pooled vector; None where it makes none.
        token_width: W of the token vectors.
        context: L, the number of positions.
    """

    pooled_width: int | None
    token_width: int
    context: int

    @abstractmethod
    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embed B prompts; each row depends on its own prompt alone."""

    @abstractmethod
    def unconditional(self) -> TextEmbedding:
        """The embedding of no prompt, as one row (B = 1): what classifier-free guidance compares with."""

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that is not read because it is too long; empty where all of it is."""
        return ""


@runtime_checkable
class Tokenizer(Protocol):
    """Turns text into integers below `vocabulary_size`."""

    @property
    def vocabulary_size(self) -> int:
        """How many different ids there are, the padding id included."""

    @property
    def padding_id(self) -> int:
        """The id that fills unused positions."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without padding or truncation. An empty text gives no ids.

        Raises:
            UnreadablePrompt: it has no ids for some of it.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids."""


def encode_all(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    """The ids of several prompts, as `tokenizer` gives them.

    Raises:
        UnreadablePrompt: it cannot read some; every one of them is named.
    """
    ids, unreadable = [], []
    for prompt in prompts:
        try:
            ids.append(tokenizer.encode(prompt))
        except UnreadablePrompt as error:
            unreadable.append(error)
    if unreadable:
        raise UnreadablePrompt.joined(unreadable)
    return ids
