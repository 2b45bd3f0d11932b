"""The parameters of the generators. Imports no torch: glidepath imports it when it checks a spec."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, instance_of, le, max_len, min_len, optional

from glidepath.registry import doc, part, parts

_SIDE: Any = deep_iterable(ge(1), [min_len(2), max_len(2)])


@attrs.frozen(kw_only=True)
class FamilyConfig:
    """What every network of a family has."""

    image_size: tuple[int, ...] = attrs.field(
        default=(32, 32), validator=_SIDE, metadata=doc("height and width of x")
    )
    channels: int = attrs.field(default=3, validator=ge(1), metadata=doc("of x"))
    text_width: int | None = attrs.field(
        default=None, validator=optional(ge(1)), metadata=doc("of the text's tokens; none: no text is read")
    )
    width: int = attrs.field(default=128, validator=ge(1), metadata=doc("of hidden layers"))


@attrs.frozen(kw_only=True)
class RowConfig(FamilyConfig):
    """What networks of rows have: a decoder-only transformer."""

    depth: int = attrs.field(default=4, validator=ge(1), metadata=doc("blocks of a transformer"))
    heads: int = attrs.field(default=4, validator=ge(1), metadata=doc("of attention; they divide the width"))


@attrs.frozen(kw_only=True)
class FlowConfig(RowConfig):
    """TarFlow."""

    patch: int = attrs.field(default=4, validator=ge(1), metadata=doc("side of a patch, in pixels"))
    layers: int = attrs.field(default=4, validator=ge(1), metadata=doc("maps, each with a transformer"))
    depth: int = attrs.field(default=2, validator=ge(1), metadata=doc("blocks of each transformer"))
    temperature: float = attrs.field(
        default=1.0,
        validator=[gt(0), le(2)],
        metadata=doc("what the first noise is multiplied by; less gives likelier images", free=True),
    )


@attrs.frozen(kw_only=True)
class AutoregressiveConfig(RowConfig):
    """A discrete autoencoder, and a transformer over its tokens."""

    factor: int = attrs.field(
        default=4, validator=ge(1), metadata=doc("pixels along each side of a token; a power of 2")
    )
    levels: tuple[int, ...] = attrs.field(
        default=(8, 5, 5, 5),
        validator=[min_len(1), deep_iterable(and_(instance_of(int), ge(2)))],
        metadata=doc("values of each number of a code; their product is the number of tokens"),
    )
    code_width: int = attrs.field(default=64, validator=ge(1), metadata=doc("of the autoencoder's layers"))
    temperature: float = attrs.field(
        default=1.0, validator=[gt(0), le(10)], metadata=doc("what logits are divided by", free=True)
    )
    top_k: int = attrs.field(
        default=0, validator=ge(0), metadata=doc("likeliest tokens that may be drawn; 0: all", free=True)
    )
    top_p: float = attrs.field(
        default=1.0,
        validator=[gt(0), le(1)],
        metadata=doc("probability of the fewest likeliest tokens that may be drawn", free=True),
    )
    guidance: float = attrs.field(
        default=1.0, validator=ge(0), metadata=doc("classifier-free guidance scale; 1: none", free=True)
    )


@attrs.frozen(kw_only=True)
class PyramidConfig(FamilyConfig):
    """What convolutional networks of several resolutions have."""

    width: int = attrs.field(default=64, validator=ge(1), metadata=doc("channels of hidden layers"))
    patch: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc("side of the squares of pixels whose values are channels of one position"),
    )
    halvings: int = attrs.field(
        default=3, validator=ge(0), metadata=doc("how often the sides, in positions, are halved")
    )

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The resolutions (H, W), the smallest first, each side half of the next."""
        height, width = (side // self.patch for side in self.image_size)
        return [(height >> index, width >> index) for index in range(self.halvings, -1, -1)]

    @property
    def values(self) -> int:
        """Of a position."""
        return self.channels * self.patch**2


@attrs.frozen(kw_only=True)
class VaeConfig(PyramidConfig):
    """A hierarchical variational autoencoder."""

    layers: int = attrs.field(default=2, validator=ge(1), metadata=doc("of latents, at each resolution"))
    latent: int = attrs.field(default=8, validator=ge(1), metadata=doc("channels of each layer's latents"))
    temperature: float = attrs.field(
        default=1.0, validator=[ge(0), le(2)], metadata=doc("factor of the priors' deviations", free=True)
    )
    importance_samples: int = attrs.field(
        default=16, validator=ge(1), metadata=doc("latents that a likelihood is estimated from", free=True)
    )


@attrs.frozen(kw_only=True)
class GanConfig(PyramidConfig):
    """A generator that an adversary trains."""

    layers: int = attrs.field(default=1, validator=ge(1), metadata=doc("residual blocks at each resolution"))
    latent: int = attrs.field(default=64, validator=ge(1), metadata=doc("numbers of a latent"))
    truncation: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc("latents lie within so many deviations: fewer sorts; 0: anywhere", free=True),
    )


@attrs.frozen(kw_only=True)
class DiffusionConfig:
    """A glidepath pipeline as a generator. What is inside it fits together as in any spec."""

    schedule: Any = attrs.field(metadata=part("schedule", "how signal and noise mix"))
    denoiser: Any = attrs.field(metadata=part("denoiser", "the network"))
    sampler: Any = attrs.field(metadata=part("sampler", "walks from noise to image, in many steps or few"))
    guidance: Any = attrs.field(default=(), metadata=parts("guidance", "pulls towards the prompt"))
    likelihood_steps: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc("of the chain, that a likelihood is estimated from", free=True),
    )
