"""Reading a cache in place of the networks, with the numbers that they would give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from glidepath.core import Codec, PartError, TextEmbedding, TextEncoder
from glidepath.plugins.train.cache.identity import NO_TEXT, pixels_key, text_key
from glidepath.plugins.train.cache.store import CacheError, Row, Store, stacked

_EXTRA = "extras."
_CLOSE = 1e-3


def store_of(folder: Path, what: str, identity: str) -> Store:
    """The cache of a part.

    Raises:
        CacheError: the folder has none of it: it is of another part, or of one that has changed.
    """
    own = folder / f"{what}-{identity}"
    if not own.is_dir():
        others = len([*folder.glob(f"{what}-*")])
        why = f"; of {what} it has {others} of other parts or weights" if others else ""
        raise CacheError(
            f"{folder} holds no cache of the {what} of this spec{why}: make it with `glidepath cache`"
        )
    return Store(own)


class CachedLatents:
    """x_0 of images: mean and deviation from the cache; of what is not in it, from the codec."""

    def __init__(self, store: Store, codec: Codec) -> None:
        self.store, self.codec = store, codec

    def add(self, images: Tensor, device: torch.device) -> None:
        """Keep mean and deviation of images [B, 3, H, W] uint8, on the host.

        Raises:
            PartError: what the codec draws is not a mean and a deviation times noise.
        """
        keys = [pixels_key(image) for image in images]
        new = [index for index, key in enumerate(keys) if key not in self.store]
        if not new:
            return
        shown = images[new].to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            mean = self.codec.encode(shown)
            deviation = self.codec.encode(shown, torch.ones_like(mean)) - mean
            if not len(self.store):
                self._check(shown, mean, deviation)
        for index, *row in zip(new, mean, deviation, strict=True):
            self.store.add(keys[index], dict(zip(("mean", "deviation"), row, strict=True)))

    def encode(self, images: Tensor, noise: Tensor | None, device: torch.device) -> Tensor:
        """As `Codec.encode`: images and noise on the host, x_0 on the device."""
        rows = [self.store.row(pixels_key(image)) for image in images]
        absent = [index for index, row in enumerate(rows) if row is None]
        if absent:
            made = self.codec.encode(
                images[absent].to(device), None if noise is None else noise[absent].to(device)
            )
            if len(absent) == len(images):
                return made
        there = [index for index, row in enumerate(rows) if row is not None]
        both = stacked([row for row in rows if row is not None])
        x_0 = both["mean"].to(device)
        if noise is not None:
            x_0 = x_0 + both["deviation"].to(device) * noise[there].to(device)
        if not absent:
            return x_0
        whole = torch.empty(len(images), *x_0.shape[1:], device=device, dtype=x_0.dtype)
        whole[there], whole[absent] = x_0, made.to(x_0.dtype)
        return whole

    def _check(self, images: Tensor, mean: Tensor, deviation: Tensor) -> None:
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)).to(mean.device)
        drawn = self.codec.encode(images, noise)
        if (drawn - mean - deviation * noise).abs().max() > _CLOSE * drawn.abs().max().clamp(min=1):
            raise PartError(
                "the codec does not draw a mean and a deviation times noise: its latents cannot be cached"
            )


class CachedTexts:
    """The embeddings of captions: from the cache; of those that are not in it, from the text encoder."""

    def __init__(self, store: Store, text_encoder: TextEncoder, device: torch.device) -> None:
        self.store, self.text_encoder, self.device = store, text_encoder, device

    def add(self, captions: Iterable[str]) -> None:
        """Keep the embeddings of captions, each embedded by itself, and that of no text."""
        with torch.no_grad():
            if NO_TEXT not in self.store:
                self.store.add(NO_TEXT, _row_of(self.text_encoder.unconditional()))
            for caption in captions:
                key = text_key(caption)
                if key not in self.store:
                    self.store.add(key, _row_of(self.text_encoder([caption])))

    def __call__(self, captions: Sequence[str]) -> TextEmbedding:
        """As the text encoder, without gradients."""
        return TextEmbedding.cat([self._one(text_key(caption), caption) for caption in captions])

    def unconditional(self) -> TextEmbedding:
        """As the text encoder."""
        return self._one(NO_TEXT, None)

    def _one(self, key: bytes, caption: str | None) -> TextEmbedding:
        row = self.store.row(key)
        if row is not None:
            return _embedding_of(row, self.device)
        with torch.no_grad():
            made: TextEmbedding = (
                self.text_encoder.unconditional() if caption is None else self.text_encoder([caption])
            )
        return made


@attrs.frozen(eq=False)
class Caches:
    """What training reads in place of networks; None where the networks are asked."""

    latents: CachedLatents | None = None
    texts: CachedTexts | None = None


def _row_of(text: TextEmbedding) -> dict[str, Tensor]:
    row: dict[str, Any] = {"pooled": text.pooled, "tokens": text.tokens, "mask": text.mask}
    row |= {f"{_EXTRA}{name}": value for name, value in text.extras.items()}
    return {name: value[0] for name, value in row.items() if value is not None}


def _embedding_of(row: Row, device: torch.device) -> TextEmbedding:
    there = {name: value[None].to(device) for name, value in row.items()}
    extras = {name.removeprefix(_EXTRA): it for name, it in there.items() if name.startswith(_EXTRA)}
    return TextEmbedding(there.get("pooled"), there["tokens"], there.get("mask"), extras)
