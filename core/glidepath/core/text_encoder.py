"""The interface of the model that turns prompts into embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from glidepath.core.codec import Codec
from glidepath.core.conditioner import Conditioner
from glidepath.core.conditioning import Condition, TextEmbedding, map_tensors
from glidepath.core.errors import PartError, UnreadablePrompt
from glidepath.core.request import Request

NEGATIVE = "negative_"
"""What stands before the name of a text of a request for its negative: "negative_prompt_2"."""


class TextEncoder(Conditioner):
    """Turns prompts into one vector for each token, and mostly a pooled one: the condition "text".

    Subclasses set, in their constructor:
        pooled_width: D of the pooled vector; None where it makes none.
        token_width: W of the token vectors.
        context: L, the number of positions.
        texts: the names of the texts of a request that it reads beside the prompt, or in place of it:
            "prompt_2". Where some are given, each prompt of `forward` may be a tuple, with these after it.
    """

    makes = frozenset({"text"})
    pooled_width: int | None
    token_width: int
    context: int
    texts: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embed B prompts; each row depends on its own prompt alone."""

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        """What classifier-free guidance compares with: the embedding of no prompt, as one row (B = 1).

        It is that of the empty prompt, unless a subclass says otherwise.

        negative: prompts in its place, with a row for each. It may have another length than other texts.
        """
        embedded: TextEmbedding = self([""] if negative is None else negative)
        return embedded

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """The text of each image, and its negative prompt or the absence of one."""
        text = _each(self, _beside(request.prompts, self.texts, request))
        others = [f"{NEGATIVE}{name}" for name in self.texts]
        if request.negative is None and not any(name in request.texts for name in others):
            return {"text": Condition(text, self.unconditional())}
        negative = _beside(request.negative or ("",) * request.batch, others, request)
        return {"text": Condition(text, _each(self.unconditional, negative))}

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that is not read because it is too long; empty where all of it is."""
        return ""

    def spans(self, prompt: str) -> Sequence[tuple[int, int]]:
        """Which characters of a prompt each position stands for: (begin, end) from position 0 on.

        (0, 0) for a mark of the beginning or the end. A prompt that is too long has more of them than there
        are positions. Padding has none. What weights words, or cuts long prompts, asks for this.

        Raises:
            PartError: the encoder cannot say it.
        """
        raise PartError(f"{type(self).__name__} does not say which words its positions stand for (spans)")


def _beside(prompts: Sequence[str], names: Sequence[str], request: Request) -> Sequence[Any]:
    """The prompts; where texts of some names are given, tuples of each and its texts."""
    if not any(name in request.texts for name in names):
        return prompts
    return list(zip(prompts, *(request.texts.get(name, prompts) for name in names), strict=True))


def _each(embed: Callable[[Sequence[Any]], TextEmbedding], prompts: Sequence[Any]) -> TextEmbedding:
    """The embedding of prompts; each different one is embedded once."""
    distinct = list(dict.fromkeys(prompts))
    text = embed(distinct)
    if len(distinct) == len(prompts):
        return text
    order = torch.tensor([distinct.index(prompt) for prompt in prompts])
    rows = order.to(text.tokens.device, non_blocking=True)
    return map_tensors(lambda tensor: tensor[rows], text)


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
