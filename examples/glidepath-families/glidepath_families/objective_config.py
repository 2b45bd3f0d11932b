"""The parameters of the objectives. Imports no torch."""

from __future__ import annotations

import attrs
from attrs.validators import ge, gt

from glidepath.registry import doc

LEVEL = 2 / 255
"""How far the levels of 8 bits are apart in [-1, 1]."""


@attrs.frozen(kw_only=True)
class LikelihoodConfig:
    """Maximum likelihood."""

    level: float = attrs.field(
        default=LEVEL, validator=gt(0), metadata=doc("how far levels of a value are apart")
    )
    noise: float = attrs.field(
        default=0.0, validator=ge(0), metadata=doc("deviation of normal noise that images get besides")
    )


@attrs.frozen(kw_only=True)
class StageConfig:
    """A stage that is not the last."""

    steps: int = attrs.field(default=2000, validator=ge(1), metadata=doc("optimizer steps of this stage"))


@attrs.frozen(kw_only=True)
class BoundConfig:
    """The evidence lower bound."""

    level: float = attrs.field(
        default=LEVEL, validator=gt(0), metadata=doc("how far levels of a value are apart")
    )
    free_bits: float = attrs.field(
        default=0.5, validator=ge(0), metadata=doc("bits that each layer of latents may hold for nothing")
    )


@attrs.frozen(kw_only=True)
class AdversarialConfig:
    """A discriminator."""

    gamma: float = attrs.field(
        default=1.0, validator=ge(0), metadata=doc("weight of the penalties of its gradient, R1 and R2")
    )
    mismatch: float = attrs.field(
        default=1.0, validator=ge(0), metadata=doc("weight of real images under the text of another; 0: none")
    )
