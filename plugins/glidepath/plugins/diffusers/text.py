"""Text encoders of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glidepath.core import PartError, TextEmbedding, TextEncoder
from glidepath.plugins.diffusers.configs import ClipTextConfig, T5TextConfig, ZeroTextConfig
from glidepath.plugins.diffusers.contracts import without_words
from glidepath.plugins.diffusers.original import clip_tensors, t5_tensors
from glidepath.plugins.diffusers.saved import has_projection, read_config
from glidepath.plugins.diffusers.wrapped import Wrapped


class _Transformer(Wrapped, TextEncoder):
    """An encoder with a tokenizer, whose prompts are padded to `context` tokens.

    tokenizer: None for none yet, when it reads no other prompt than the empty one. empty: the tokens of that,
    the last of which fills it up.
    """

    tokenizer: Any
    empty: Sequence[int]

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that is not read."""
        if self.tokenizer is None:
            return ""
        ids = self.tokenizer(self._read(prompt)).input_ids
        return str(self.tokenizer.decode(ids[self.context - 1 : -1])) if len(ids) > self.context else ""

    def spans(self, prompt: str) -> Sequence[tuple[int, int]]:
        """The characters of each token, (0, 0) of the marks of the beginning and the end."""
        given = self.tokenizer(self._read(prompt), return_offsets_mapping=True, verbose=False)
        return [(begin, end) for begin, end in given.offset_mapping]

    def _read(self, prompt: str) -> str:
        return prompt

    def _tokens(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """[B, L] int64 ids, and [B, L] their mask."""
        require_list(prompts)
        if self.tokenizer is None:
            if any(prompts):
                raise PartError("a text encoder without a tokenizer reads no prompt; give it one: tokenizer")
            return self._nothing(len(prompts))
        given = self.tokenizer(
            [self._read(prompt) for prompt in prompts],
            padding="max_length",
            max_length=self.context,
            truncation=True,
            return_tensors="pt",
        )
        return given.input_ids.to(self.device), given.attention_mask.to(self.device)

    def _nothing(self, rows: int) -> tuple[Tensor, Tensor]:
        """The tokens of empty prompts, and their mask."""
        *read, filling = self.empty
        ids = torch.tensor([*read, *[filling] * (self.context - len(read))], device=self.device)
        mask = torch.arange(self.context, device=self.device) < len(read)
        return ids.expand(rows, -1), mask.to(torch.int64).expand(rows, -1)


class ClipTextEncoder(_Transformer):
    """The text encoder of a CLIP (Radford et al. 2021), as Stable Diffusion, SDXL, SD 3 and Flux use it.

    The pooled vector is that of the end of the text; projected where the network has a projection.
    """

    def __init__(self, config: ClipTextConfig) -> None:
        import transformers

        super().__init__()
        saved = read_config(config.config)
        settings = transformers.CLIPTextConfig.from_dict(dict(saved))
        self.projects = has_projection(saved)
        build = transformers.CLIPTextModelWithProjection if self.projects else transformers.CLIPTextModel
        self.network = build(settings)
        filled = {"pad_token": config.padding} if config.padding else {}
        self.tokenizer = config.tokenizer and transformers.CLIPTokenizer.from_pretrained(
            _folder(config.tokenizer, "clip-text"), local_files_only=True, **filled
        )
        begin, end = settings.vocab_size - 2, settings.vocab_size - 1
        self.empty = (begin, end, 0 if config.padding == "!" else end)
        self.token_width = settings.hidden_size
        self.pooled_width = settings.projection_dim if self.projects else settings.hidden_size
        self.context = settings.max_position_embeddings
        self.skip, self.final_norm = config.skip, config.final_norm
        if self.skip > settings.num_hidden_layers:
            raise PartError(
                f"skip is {self.skip}, and {config.config} has {settings.num_hidden_layers} layers"
            )

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """tokens [B, L, W], of the layer that `skip` leaves last; pooled [B, D]; mask [B, L]."""
        ids, mask = self._tokens(prompts)
        output = self.network(ids, output_hidden_states=True)
        pooled = output.text_embeds if self.projects else output.pooler_output
        tokens = output.hidden_states[-1 - self.skip]
        if self.final_norm:
            tokens = self._inner.final_layer_norm(tokens)
        return TextEmbedding(pooled.to(torch.float32), tokens.to(torch.float32), mask.bool())

    @property
    def _inner(self) -> Any:
        return getattr(self.network, "text_model", self.network)

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a published file: of transformers, also of older versions, or of a whole model."""
        prefix = "text_model."
        own = any(name.startswith(prefix) for name in self.network.state_dict())
        settings = self.network.config
        found = clip_tensors(tensors, settings.hidden_size, settings.num_hidden_layers, self.projects)
        return super().read_weights(
            {
                f"{prefix}{name}" if own and not name.startswith("text_projection.") else name: tensor
                for name, tensor in found.items()
            }
        )


class T5TextEncoder(_Transformer):
    """The encoder of a T5 (Raffel et al. 2020), as SD 3, Flux and PixArt use it, without a pooled vector."""

    def __init__(self, config: T5TextConfig) -> None:
        import transformers

        super().__init__()
        settings = transformers.T5Config.from_dict(dict(read_config(config.config)))
        self.network = transformers.T5EncoderModel(settings)
        self.tokenizer = config.tokenizer and transformers.T5Tokenizer.from_pretrained(
            _folder(config.tokenizer, "t5-text"), local_files_only=True
        )
        self.empty = (1, 0)
        self.token_width = settings.d_model
        self.pooled_width = None
        self.context = config.context
        self.masked, self.lowercase = config.masked, config.lowercase

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """tokens [B, L, W]; mask [B, L] where padding is masked."""
        ids, mask = self._tokens(prompts)
        tokens = self.network(ids, attention_mask=mask if self.masked else None)[0]
        return TextEmbedding(None, tokens.to(torch.float32), mask.bool() if self.masked else None)

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a published file. The embedding stands there once, and twice in the network."""
        tensors = t5_tensors(tensors)
        shared = tensors.get("shared.weight", tensors.get("encoder.embed_tokens.weight"))
        tied = {} if shared is None else {"shared.weight": shared, "encoder.embed_tokens.weight": shared}
        kept = {name: tensor for name, tensor in tensors.items() if name.startswith(("encoder.", "shared."))}
        return super().read_weights({**kept, **tied})

    def spans(self, prompt: str) -> Sequence[tuple[int, int]]:
        """The characters of each token, (0, 0) of the mark of the end."""
        if not self.lowercase:
            return super().spans(prompt)
        # where each letter that is read comes from: some are two in lower case
        origins = [index for index, letter in enumerate(prompt) for _ in letter.lower()]
        lowered = prompt.lower()
        origins = origins[len(lowered) - len(lowered.lstrip()) :]
        spans = super().spans(prompt)
        return [(origins[begin], origins[end - 1] + 1) if begin < end else (0, 0) for begin, end in spans]

    def _read(self, prompt: str) -> str:
        return prompt.lower().strip() if self.lowercase else prompt


def _folder(tokenizer: Path, encoder: str) -> Path:
    """The folder, where there is one with words: of another name transformers asks a hub."""
    if not tokenizer.is_dir():
        raise PartError(f"there is no folder {tokenizer}, where the tokenizer should be")
    if fault := without_words(tokenizer, encoder):
        raise PartError(fault)
    return tokenizer


def require_list(prompts: Sequence[object]) -> None:
    """Refuse a single text, and no text at all.

    Raises:
        PartError: it is one.
    """
    if isinstance(prompts, str) or not prompts:
        raise PartError(f"a text encoder takes a list of prompts, at least one; got {prompts!r}")


class ZeroTextEncoder(TextEncoder):
    """Token vectors that are all zero."""

    def __init__(self, config: ZeroTextConfig) -> None:
        super().__init__()
        self.token_width, self.context, self.pooled_width = config.width, config.context, None
        self.register_buffer("zero", torch.zeros(1), persistent=False)  # which knows the device

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        """tokens [B, L, W] of zeros."""
        require_list(prompts)
        zero: Tensor = self.get_buffer("zero")
        return TextEmbedding(None, zero.expand(len(prompts), self.context, self.token_width))
