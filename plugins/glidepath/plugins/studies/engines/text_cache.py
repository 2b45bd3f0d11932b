"""Text embeddings kept in a file, so that arms with one text encoder embed the prompts once.

They are kept by the batches that images are drawn in: a network rounds otherwise in a batch of another size,
and what is drawn from a file is to be, bit for bit, what the arm's own spec draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from glidepath.core import (
    Cascade,
    GlidepathError,
    ImagePipeline,
    TextEmbedding,
    TextEncoder,
    map_tensors,
    stages_of,
)
from glidepath.registry import read_tensors, write_tensors

Group = tuple[str, ...]


class CachedTextEncoder(TextEncoder):
    """Gives the embeddings that another text encoder made of known prompts."""

    def __init__(
        self,
        encoder: TextEncoder,
        groups: Sequence[Group],
        negative: str | None,
        text: TextEmbedding,
        null: TextEmbedding,
    ) -> None:
        super().__init__()
        self.pooled_width, self.token_width = encoder.pooled_width, encoder.token_width
        self.context = encoder.context
        ends = list(itertools.accumulate(map(len, groups)))
        self._rows = {group: slice(end - len(group), end) for group, end in zip(groups, ends, strict=True)}
        self._text, self._null, self._negative = text, null, negative

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """The embeddings of the different prompts of a batch, which is one of the recorded ones."""
        rows = self._rows[tuple(prompts)]
        return map_tensors(lambda tensor: tensor[rows], self._text)

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        """That of no prompt, or of the negative one that was recorded."""
        if negative != (None if self._negative is None else [self._negative]):
            raise GlidepathError("other negative prompts are asked for than the one that was kept")
        return self._null


def record(
    pipeline: ImagePipeline | Cascade, batches: Sequence[Sequence[str]], negative: str | None, path: Path
) -> None:
    """Embed the prompts of batches with every text encoder of a pipeline, and keep what they say.

    negative: the negative prompt of all; None for none.
    """
    groups = _groups(batches)
    tensors: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, stage in stages_of(pipeline).items():
            if stage.text_encoder is None:
                continue
            stage.bring("text_encoder")
            said = TextEmbedding.cat([stage.text_encoder(group) for group in groups])
            null = stage.text_encoder.unconditional(None if negative is None else [negative])
            for which, text in (("said", said), ("null", null)):
                tensors |= {f"{name}/{which}.{key}": tensor for key, tensor in _tensors(text).items()}
    write_tensors(path, tensors, {})


def replay(
    pipeline: ImagePipeline | Cascade, batches: Sequence[Sequence[str]], negative: str | None, path: Path
) -> None:
    """Let a pipeline take the embeddings of known batches, and of a negative prompt, from a file."""
    tensors, groups = read_tensors(path), _groups(batches)
    count = sum(map(len, groups))
    for name, stage in stages_of(pipeline).items():
        if stage.text_encoder is None:
            continue
        said, null = (_embedding(tensors, f"{name}/{which}", stage.device) for which in ("said", "null"))
        if len(said.tokens) != count:
            raise GlidepathError(f"{path} holds {len(said.tokens)} embeddings, and there are {count} prompts")
        stage.text_encoder = CachedTextEncoder(stage.text_encoder, groups, negative, said, null)


def _groups(batches: Sequence[Sequence[str]]) -> list[Group]:
    """The different prompts of each batch, which is what a pipeline asks for; those of equal ones once."""
    return list(dict.fromkeys(tuple(dict.fromkeys(batch)) for batch in batches))


def _tensors(text: TextEmbedding) -> dict[str, Tensor]:
    own = {"pooled": text.pooled, "tokens": text.tokens, "mask": text.mask}
    extras = {f"extras.{name}": tensor for name, tensor in text.extras.items()}
    return {name: tensor for name, tensor in {**own, **extras}.items() if tensor is not None}


def _embedding(tensors: Mapping[str, Tensor], prefix: str, device: torch.device) -> TextEmbedding:
    found = {
        name.removeprefix(f"{prefix}."): tensor.to(device)
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
    extras = {name.removeprefix("extras."): found[name] for name in list(found) if name.startswith("extras.")}
    return TextEmbedding(found.get("pooled"), found["tokens"], found.get("mask"), extras)
