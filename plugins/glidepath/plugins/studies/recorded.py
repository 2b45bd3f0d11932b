"""Text embeddings kept in a file, so that arms with one text encoder embed the prompts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from glidepath.core.cascade import Cascade, stages_of
from glidepath.core.conditioning import TextEmbedding
from glidepath.core.errors import GlidepathError
from glidepath.core.pipeline import Pipeline
from glidepath.core.text_encoder import TextEncoder
from glidepath.plugins.studies.files import write_whole

_BATCH = 64
_FIELDS = ("pooled", "tokens", "mask")


class RecordedEncoder(TextEncoder):
    """Answers with what another text encoder said of known prompts."""

    def __init__(
        self, encoder: TextEncoder, prompts: Sequence[str], said: TextEmbedding, null: TextEmbedding
    ) -> None:
        super().__init__()
        self.pooled_width, self.token_width = encoder.pooled_width, encoder.token_width
        self.context = encoder.context
        self._rows = {prompt: row for row, prompt in enumerate(prompts)}
        self._said, self._null = said, null

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """The embeddings of prompts that are among the recorded ones."""
        rows = torch.tensor([self._rows[prompt] for prompt in prompts]).to(self._said.pooled.device)
        return self._said.map(lambda tensor: tensor[rows])

    def unconditional(self) -> TextEmbedding:
        """That of no prompt."""
        return self._null


def record(pipeline: Pipeline | Cascade, prompts: Sequence[str], path: Path) -> None:
    """Embed prompts with every text encoder of a pipeline, and keep what they say."""
    tensors: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, stage in stages_of(pipeline).items():
            if stage.text_encoder is None:
                continue
            said = [stage.text_encoder(prompts[at : at + _BATCH]) for at in range(0, len(prompts), _BATCH)]
            null = stage.text_encoder.unconditional()
            for field in _FIELDS:
                whole = torch.cat([getattr(some, field) for some in said])
                tensors[f"{name}/said.{field}"] = whole.cpu().contiguous()
                tensors[f"{name}/null.{field}"] = getattr(null, field).cpu().contiguous().clone()
    write_whole(path, lambda file: file.write(save(tensors)))


def replay(pipeline: Pipeline | Cascade, prompts: Sequence[str], path: Path) -> None:
    """Let a pipeline take the embeddings of known prompts from a file."""
    tensors = load_file(path)
    for name, stage in stages_of(pipeline).items():
        if stage.text_encoder is None:
            continue
        said, null = (_embedding(tensors, f"{name}/{which}", stage.device) for which in ("said", "null"))
        if len(said.pooled) != len(prompts):
            raise GlidepathError(
                f"{path} holds {len(said.pooled)} embeddings, and there are {len(prompts)} prompts"
            )
        stage.text_encoder = RecordedEncoder(stage.text_encoder, prompts, said, null)


def _embedding(tensors: Mapping[str, Tensor], prefix: str, device: torch.device) -> TextEmbedding:
    return TextEmbedding(*(tensors[f"{prefix}.{field}"].to(device) for field in _FIELDS))
