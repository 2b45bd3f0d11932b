"""GLIDE's text encoder (Nichol et al. 2021, "GLIDE", section 4.1), with its checkpoints' parameter names.

Shapes: B prompts, L positions, W width, H heads, c channels of a head (H c = W), D pooled width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import PartError, TextEmbedding, TextEncoder, Tokenizer, encode_all
from glidepath.plugins.text.configs import TransformerConfig
from glidepath.plugins.text.plugin import transformer_faults
from glidepath.plugins.text.spans import token_spans


class TransformerTextEncoder(TextEncoder):
    """A transformer over a fixed number of positions, without any attention mask.

    Positions beyond a prompt's end hold a learned padding vector each, and speak like any other; the pooled
    vector is read from the last position, whatever stands there.
    """

    def __init__(self, config: TransformerConfig, *, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        if tokenizer is None:
            raise PartError("text encoder transformer: tokenizer: it needs one, to read prompts with")
        for field, fault in transformer_faults(config):
            raise PartError(f"text encoder transformer: {field}: {fault}")
        self.config = config
        self.tokenizer = tokenizer
        self.pooled_width = config.pooled_width
        self.token_width = config.width
        self.context = config.context

        self.token_embedding = nn.Embedding(tokenizer.vocabulary_size, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context, config.width))
        if config.padding_embedding:
            self.padding_embedding = nn.Parameter(torch.empty(config.context, config.width))
        self.transformer = _Transformer(config.width, config.layers, config.heads)
        self.final_ln = Float32LayerNorm(config.width) if config.final_layer_norm else nn.Identity()
        self.transformer_proj = nn.Linear(config.width, config.pooled_width)
        self._initialise()

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embed B prompts, truncated to `context` tokens.

        Raises:
            UnreadablePrompt: the tokenizer cannot read some of them.
            PartError: there are no prompts.
        """
        ids, mask = self.tokenize(prompts)
        device = self.positional_embedding.device
        return self.embed(ids.to(device), mask.to(device))

    def embed(self, ids: Tensor, mask: Tensor) -> TextEmbedding:
        """Embed tokens, on the encoder's device: ids [B, L] int64, mask [B, L] bool, True on real tokens."""
        x = self.token_embedding(ids) + self.positional_embedding
        if self.config.padding_embedding:
            x = torch.where(mask[..., None], x, self.padding_embedding)
        tokens: Tensor = self.final_ln(self.transformer(x))
        return TextEmbedding(pooled=self.transformer_proj(tokens[:, -1]), tokens=tokens, mask=mask)

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """ids [B, L] int64 and mask [B, L] bool of prompts, on the host.

        What does not fit in L = context is dropped; `truncated` says what that is.

        Raises:
            UnreadablePrompt: the tokenizer cannot read some of them.
            PartError: there are no prompts.
        """
        if isinstance(prompts, str) or not prompts:
            raise PartError(f"a text encoder takes a list of prompts, at least one; got {prompts!r}")
        ids = torch.full((len(prompts), self.context), self.tokenizer.padding_id)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for row, encoded in enumerate(encode_all(self.tokenizer, prompts)):
            known = torch.tensor(encoded[: self.context], dtype=torch.int64)
            ids[row, : len(known)] = known
            mask[row, : len(known)] = True
        return ids, mask

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that `context` positions do not hold, as text; empty where all of it fits."""
        return self.tokenizer.decode(self.tokenizer.encode(prompt)[self.context :]).strip()

    def spans(self, prompt: str) -> Sequence[tuple[int, int]]:
        """The characters of each token of a prompt."""
        return token_spans(self.tokenizer, prompt)

    def _initialise(self) -> None:
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        if self.config.padding_embedding:
            nn.init.normal_(self.padding_embedding, std=0.01)


class Float32LayerNorm(nn.LayerNorm):
    """LayerNorm computed in float32, in and out in the dtype of the activations."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., W] -> the same."""
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


class _Transformer(nn.Module):
    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x)
        return x


class _Block(nn.Module):
    """A pre-norm block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = _Attention(width, heads)
        self.ln_1 = Float32LayerNorm(width)
        self.mlp = _Mlp(width)
        self.ln_2 = Float32LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        mlp: Tensor = self.mlp(self.ln_2(x))
        return x + mlp


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_qkv = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.c_proj(attend(self.c_qkv(x), self.heads))
        return result


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Softmax attention of all positions to all: [B, L, 3 W], channels [head][q k v][c] -> [B, L, W]."""
    batch, positions, _ = qkv.shape
    q, k, v = qkv.reshape(batch, positions, heads, 3, -1).permute(3, 0, 2, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
        return result
