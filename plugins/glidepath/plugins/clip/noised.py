"""A CLIP that reads noisy images (Nichol et al. 2021, "GLIDE", section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from glidepath.core import PartError, Tokenizer, encode_all
from glidepath.plugins.clip.configs import NoisedClipConfig
from glidepath.plugins.clip.encoders import ImageTransformer, TextTransformer
from glidepath.plugins.clip.interface import Clip, normalised
from glidepath.plugins.clip.plugin import noised_clip_faults


@runtime_checkable
class MarkingTokenizer(Tokenizer, Protocol):
    """A tokenizer that has tokens for the beginning and the end of a text; `encode` gives neither."""

    @property
    def start_id(self) -> int:
        """The id before the first token of a text."""

    @property
    def end_id(self) -> int:
        """The id after its last token."""


class NoisedClip(Clip):
    """GLIDE's noised CLIP. Its tensors are those of GLIDE's two files, after `text.` and after `image.`.

    A tokenizer without tokens for the beginning and the end of a text is lent the two ids after its own.
    """

    def __init__(self, config: NoisedClipConfig, *, tokenizer: Tokenizer) -> None:
        super().__init__()
        for field, fault in noised_clip_faults(config):
            raise PartError(f"clip noised-clip: {field}: {fault}")
        self.config = config
        self.tokenizer = tokenizer
        self.noised = config.timesteps > 0
        self.image_size = config.image_size
        self.start_id, self.end_id = _marks(tokenizer)
        self.text = TextTransformer(
            rows=self._rows(),
            context=config.context,
            width=config.text_width,
            layers=config.text_layers,
            heads=config.text_heads,
            outputs=config.width,
        )
        self.image = ImageTransformer(
            size=config.image_size,
            patch=config.patch_size,
            width=config.image_width,
            layers=config.image_layers,
            heads=config.image_heads,
            outputs=config.width,
            timesteps=config.timesteps,
        )

    @property
    def logit_scale(self) -> float:
        """Fixed: no weights hold it."""
        return self.config.logit_scale

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        """[B, D] of B prompts, truncated to the context.

        Raises:
            PartError: the tokenizer cannot read some (UnreadablePrompt), or there are no prompts.
        """
        ids, lengths = self.tokenize(prompts)
        device = next(self.parameters()).device
        last = (lengths - 1).to(device, non_blocking=True)
        return normalised(self.text(ids.to(device, non_blocking=True), last))

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that the context does not hold beside the two marks."""
        return self.tokenizer.decode(self.tokenizer.encode(prompt)[self.config.context - 2 :]).strip()

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """[B, D] of x_t [B, 3, S, S] at timesteps t [B]; of x_0 without t where it knows no timesteps."""
        wanted = (3, self.image_size, self.image_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != wanted:
            raise PartError(f"this CLIP reads images [B, {', '.join(map(str, wanted))}], not {list(x.shape)}")
        if (t is not None) != self.noised:
            raise PartError(
                "a noised CLIP reads x_t together with its timestep, and none was given"
                if self.noised
                else "this CLIP reads images without noise, and a timestep was given (its `timesteps` is 0)"
            )
        return normalised(self.image(x, t))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the tower of images, whose inputs have one shape. Arguments: `torch.compile`'s."""
        self.image.compile(*args, **kwargs)

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """ids [B, L] int64 and lengths [B] int64 of prompts, on the host.

        Each text stands between its beginning and its end; what does not fit in the context is dropped. L is
        the greatest length: what follows a text's end is never seen by it, so more need not be computed.

        Raises:
            PartError: the tokenizer cannot read some (UnreadablePrompt), or there are no prompts.
        """
        if isinstance(prompts, str) or not prompts:
            raise PartError(f"a CLIP takes a list of prompts, at least one; got {prompts!r}")
        room = self.config.context - 2
        texts = [[self.start_id, *ids[:room], self.end_id] for ids in encode_all(self.tokenizer, prompts)]
        lengths = [len(text) for text in texts]
        padding = self.tokenizer.padding_id
        padded = [text + [padding] * (max(lengths) - len(text)) for text in texts]
        return torch.tensor(padded), torch.tensor(lengths)

    def _rows(self) -> int:
        needed = max(self.tokenizer.vocabulary_size, self.start_id + 1, self.end_id + 1)
        rows = needed if self.config.vocabulary_rows is None else self.config.vocabulary_rows
        if rows < needed:
            raise PartError(
                f"clip noised-clip: vocabulary_rows: {rows} are too few for a tokenizer of {needed} tokens, "
                "the beginning and the end of a text included"
            )
        return rows


def _marks(tokenizer: Tokenizer) -> tuple[int, int]:
    if isinstance(tokenizer, MarkingTokenizer):
        return tokenizer.start_id, tokenizer.end_id
    return tokenizer.vocabulary_size, tokenizer.vocabulary_size + 1
