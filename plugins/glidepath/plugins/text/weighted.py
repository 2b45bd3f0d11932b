"""Words of a prompt with a weight each, and prompts that are longer than an encoder reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from glidepath.core import PartError, TextEmbedding, TextEncoder
from glidepath.plugins.text.configs import WeightedConfig
from glidepath.plugins.text.marks import read_marks


class WeightedTextEncoder(TextEncoder):
    """Another encoder, whose prompts may have marks (`read_marks`) and be as long as several of its own.

    The prompt is embedded without its marks. Then the token vectors z of words with a weight w change:
        empty: z_0 + w (z - z_0), z_0 the vector of that position for an empty prompt (ComfyUI,
            `encode_token_weights`);
        mean: w z, after which all vectors of the chunk are multiplied by what restores their mean
            (AUTOMATIC1111's stable-diffusion-webui, emphasis "Original");
        scale: w z (the same, emphasis "No norm").
    A token that stands for several words has the weight of its last character. Pooled vectors stay.

    A prompt is cut between words into chunks of the encoder's context, each embedded by itself with its own
    marks of beginning and end. Their token vectors are joined along the positions: always those of `chunks`
    chunks, the last ones of empty prompts, so that an image does not depend on the others of its batch. The
    pooled vector is that of the first.
    """

    encoder: TextEncoder

    def __init__(self, config: WeightedConfig, encoder: TextEncoder) -> None:
        super().__init__()
        if type(encoder).spans is TextEncoder.spans:
            raise PartError(
                f"text encoder weighted: encoder: {type(encoder).__name__} does not say which words its "
                "positions stand for (spans); of one that is made of several, weight each of these"
            )
        self.config = config
        self.encoder = encoder
        self.pooled_width = encoder.pooled_width
        self.token_width = encoder.token_width
        self.context = config.chunks * encoder.context

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embed B prompts: tokens [B, chunks L, W], of an encoder with L positions.

        Raises:
            UnreadablePrompt: the encoder cannot read some of them.
            PartError: there are no prompts.
        """
        return self._embed(self.encoder, prompts)

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        """What the encoder has for no prompt, in each chunk; or negative prompts, weighted too."""
        if negative is None:
            return _joined([self.encoder.unconditional()] * self.config.chunks)
        return self._embed(self.encoder.unconditional, negative)

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that no chunk holds."""
        text, _ = read_marks(prompt)
        ends = [self.encoder.truncated(text[begin:end]) for begin, end in self._chunks(text)]
        return " ".join(filter(None, ends))

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a file of the encoder, under the names that they have here."""
        read = getattr(self.encoder, "read_weights", None)
        if read is not None and tensors.keys() != self.encoder.state_dict().keys():
            tensors = read(tensors)
        return {f"encoder.{name}": tensor for name, tensor in tensors.items()}

    def _embed(
        self, embed: Callable[[Sequence[str]], TextEmbedding], prompts: Sequence[str]
    ) -> TextEmbedding:
        if isinstance(prompts, str) or not prompts:
            raise PartError(f"a text encoder takes a list of prompts, at least one; got {prompts!r}")
        texts: list[list[str]] = [[] for _ in range(self.config.chunks)]
        weights: list[list[list[float]]] = [[] for _ in range(self.config.chunks)]
        for prompt in prompts:
            text, each = read_marks(prompt)
            for index, (begin, end) in enumerate(self._chunks(text)):
                texts[index].append(text[begin:end])
                weights[index].append(self._weights(text[begin:end], each[begin:end]))
        return _joined([self._weighted(embed(some), of) for some, of in zip(texts, weights, strict=True)])

    def _chunks(self, text: str) -> list[tuple[int, int]]:
        """Where each chunk begins and ends in a text; what is too long for all of them is in the last."""
        edges = [0]
        for _ in range(self.config.chunks - 1):
            edges.append(edges[-1] + self._room(text[edges[-1] :]))
        return list(zip(edges, [*edges[1:], len(text)], strict=True))

    def _room(self, text: str) -> int:
        """How many characters of a text are read, cut between words if possible."""
        _, unread = self._spans(text)
        if not unread:
            return len(text)
        begin, end = unread[0]
        if text[begin].isspace():
            return begin or end
        begun = re.search(r"\s*\S*$", text[:begin])  # the word that it is in, with the space before
        return (begun.start() if begun is not None else 0) or begin or end

    def _spans(self, text: str) -> tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]:
        """The spans of the tokens that are read, up to the marks of the end; of those that are not."""
        spans = self.encoder.spans(text)
        content = len(spans)
        while content and spans[content - 1][0] == spans[content - 1][1]:
            content -= 1
        room = self.encoder.context - (len(spans) - content)
        return spans[: min(room, content)], spans[room:content]

    def _weights(self, text: str, each: Sequence[float]) -> list[float]:
        """The weight of each position, as far as there are words; none where all are 1."""
        if all(weight == 1 for weight in each):
            return []
        return [each[end - 1] if begin < end else 1.0 for begin, end in self._spans(text)[0]]

    def _weighted(self, embedding: TextEmbedding, weights: Sequence[Sequence[float]]) -> TextEmbedding:
        if not any(weights):
            return embedding
        z = embedding.tokens
        filled = [[*row, *[1.0] * (z.shape[1] - len(row))] for row in weights]
        w = torch.tensor(filled, dtype=z.dtype, device=z.device)[..., None]
        if self.config.how == "empty":
            z_0 = self.encoder([""]).tokens
            changed = z_0 + w * (z - z_0)
        else:
            changed = w * z
        # where nothing is weighted, not even rounding changes a vector
        changed = torch.where(w == 1, z, changed)
        if self.config.how == "mean":
            changed = changed * _ratio(z, changed)
        return attrs.evolve(embedding, tokens=changed)


def _ratio(z: Tensor, changed: Tensor) -> Tensor:
    """[B, 1, 1]: what gives `changed` [B, L, W] the means that z has; 1 where they are the same, or none."""
    wanted, there = (x.float().mean(dim=(1, 2), keepdim=True) for x in (z, changed))
    return torch.where((wanted == there) | (there == 0), 1.0, wanted / there).to(z.dtype)


def _joined(chunks: Sequence[TextEmbedding]) -> TextEmbedding:
    """Chunks along the positions, with the pooled vector and the extras of the first."""
    first = chunks[0]
    if len(chunks) == 1:
        return first
    masks = [chunk.mask for chunk in chunks if chunk.mask is not None]
    return attrs.evolve(
        first,
        tokens=torch.cat([chunk.tokens for chunk in chunks], dim=1),
        mask=torch.cat(masks, dim=1) if masks else None,
    )
