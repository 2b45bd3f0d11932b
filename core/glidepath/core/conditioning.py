"""What steers a batch: text, class labels and images.

Shapes: B samples, L token positions, W token width, D pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs
import torch
from torch import Tensor

from glidepath.core.errors import PartError


@attrs.frozen(eq=False)
class TextEmbedding:
    """The embedding of B prompts.

    pooled: [B, D], one vector for each prompt; it joins the timestep embedding.
    tokens: [B, L, W], one vector for each position; they enter the attention layers.
    mask: [B, L] bool, True on real tokens. GLIDE's denoiser attends to every position and ignores it.
    """

    pooled: Tensor
    tokens: Tensor
    mask: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> TextEmbedding:
        """Apply `function` to each tensor."""
        return TextEmbedding(function(self.pooled), function(self.tokens), function(self.mask))

    def expand(self, batch: int) -> TextEmbedding:
        """Repeat a single prompt's embedding (B = 1) `batch` times, without copying."""
        return self.map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]))


@attrs.frozen(eq=False)
class Conditioning:
    """What steers a batch of `batch` samples. Every tensor has the batch as its first dimension.

    text: the prompts' embedding, or None for a model without text.
    null_text: what replaces `text` in `null()`; one row (B = 1) or a whole batch.
    labels: [B] int64 class labels.
    null_labels: [B] int64, what replaces `labels` in `null()`.
    low_res: [B, C, *spatial] in [-1, 1], the image that an upsampler starts from.
    image, mask: [B, C, *spatial] in [-1, 1] and [B, 1, *spatial]; mask 1 = known pixel (inpainting).
    prompts: the B texts themselves, for a guidance that embeds them in its own way (CLIP guidance).
    """

    batch: int
    text: TextEmbedding | None = None
    null_text: TextEmbedding | None = None
    labels: Tensor | None = None
    null_labels: Tensor | None = None
    low_res: Tensor | None = None
    image: Tensor | None = None
    mask: Tensor | None = None
    prompts: tuple[str, ...] | None = None

    def null(self) -> Conditioning:
        """The same batch without its prompt: its text and labels are replaced by their unconditional forms.

        Labels without an unconditional form stay beside a text: only the text is dropped then.
        Images and the texts themselves stay: classifier-free guidance does not drop them.

        Raises:
            PartError: the batch has a text or labels for which no unconditional form is known.
        """
        if self.text is not None and self.null_text is None:
            raise PartError(
                "this conditioning has a text but no unconditional text embedding (null_text); "
                "classifier-free guidance needs a text encoder with `unconditional`"
            )
        if self.labels is not None and self.null_labels is None and self.text is None:
            raise PartError(
                "this conditioning has class labels but no null label; "
                "classifier-free guidance needs a denoiser that was trained with one"
            )
        text = self.null_text
        if text is not None and text.pooled.shape[0] != self.batch:
            text = text.expand(self.batch)
        labels = self.labels if self.null_labels is None else self.null_labels
        return attrs.evolve(self, text=text, labels=labels)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Several batches as one, in order. What one part has, all must have.

        Raises:
            PartError: a field is present in some parts and absent in others, or `parts` is empty.
        """
        if not parts:
            raise PartError("Conditioning.cat needs at least one conditioning")
        return Conditioning(
            batch=sum(part.batch for part in parts),
            text=_cat_text("text", [part.text for part in parts]),
            null_text=_cat_null_text([part.null_text for part in parts]),
            labels=_cat("labels", [part.labels for part in parts]),
            null_labels=_cat("null_labels", [part.null_labels for part in parts]),
            low_res=_cat("low_res", [part.low_res for part in parts]),
            image=_cat("image", [part.image for part in parts]),
            mask=_cat("mask", [part.mask for part in parts]),
            prompts=_cat_prompts([part.prompts for part in parts]),
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Conditioning:
        """Move every tensor to `device`; floating-point ones also to `dtype` where it is given."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        def move_any(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else move(tensor)

        return attrs.evolve(
            self,
            text=None if self.text is None else self.text.map(move),
            null_text=None if self.null_text is None else self.null_text.map(move),
            labels=move_any(self.labels),
            null_labels=move_any(self.null_labels),
            low_res=move_any(self.low_res),
            image=move_any(self.image),
            mask=move_any(self.mask),
        )


def _cat_null_text(texts: Sequence[TextEmbedding | None]) -> TextEmbedding | None:
    """One row stands for every part's; whole batches are joined."""
    first = texts[0]
    if first is not None and first.pooled.shape[0] == 1:
        return first
    return _cat_text("null_text", texts)


def _cat_prompts(prompts: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    present = [some for some in prompts if some is not None]
    if present and len(present) != len(prompts):
        raise PartError("cannot join conditionings: some have 'prompts' and others do not")
    return tuple(prompt for some in present for prompt in some) if present else None


def _cat(name: str, tensors: Iterable[Tensor | None]) -> Tensor | None:
    tensors = list(tensors)
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    if len(present) != len(tensors):
        raise PartError(f"cannot join conditionings: some have {name!r} and others do not")
    return torch.cat(present)


def _cat_text(name: str, texts: Sequence[TextEmbedding | None]) -> TextEmbedding | None:
    present = [text for text in texts if text is not None]
    if not present:
        return None
    if len(present) != len(texts):
        raise PartError(f"cannot join conditionings: some have {name!r} and others do not")
    return TextEmbedding(
        torch.cat([text.pooled for text in present]),
        torch.cat([text.tokens for text in present]),
        torch.cat([text.mask for text in present]),
    )
