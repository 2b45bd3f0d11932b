"""The parameters of `dit`. Imports no torch; imported where the part is used, not where it is listed."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, gt, optional

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class DitConfig:
    """A diffusion transformer. The defaults are the sizes of DiT-XL/2 at 256 pixels, 32 latent values."""

    image_size: int = attrs.field(
        default=32,
        validator=ge(1),
        metadata=doc("values along each side of the latent, or pixels, that it is made for"),
    )
    in_channels: int = attrs.field(
        default=4, validator=ge(1), metadata=doc("channels of the latent, which it takes and predicts")
    )
    patch_size: int = attrs.field(
        default=2, validator=ge(1), metadata=doc("values along each side of a patch, which is one token")
    )
    width: int = attrs.field(
        default=1152, validator=ge(4), metadata=doc("of a token: S has 384, B 768, L 1024, XL 1152")
    )
    depth: int = attrs.field(
        default=28, validator=ge(1), metadata=doc("how many blocks: S and B have 12, L 24, XL 28")
    )
    heads: int = attrs.field(
        default=16, validator=ge(1), metadata=doc("attention heads: S has 6, B 12, L and XL 16")
    )
    mlp_ratio: float = attrs.field(
        default=4.0,
        validator=gt(0),
        metadata=doc("width inside the feed-forward layers, in token widths"),
    )
    num_classes: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("how many class labels there are; none: it takes no label"),
    )
    null_class: bool = attrs.field(
        default=True,
        metadata=doc("one more label stands for no class; classifier-free guidance needs it"),
    )
    text_width: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc(
            "width of the text encoder's token vectors, which each block attends to after the image's own; "
            "none: it takes no text"
        ),
    )
    learned_variance: bool = attrs.field(
        default=True, metadata=doc("predict the variance of each step too, in as many channels again")
    )
    predicts: Literal["epsilon", "sample", "velocity", "flow"] = attrs.field(
        default="epsilon",
        metadata=doc(
            "what it learned to predict: the noise, the clean image, velocity, or flow (noise less image)"
        ),
    )


def dit_faults(config: DitConfig) -> list[tuple[str, str]]:
    """What of the parameters does not fit together: (parameter, message)."""
    faults = []
    if config.image_size % config.patch_size:
        faults.append(("patch_size", f"{config.patch_size} does not divide image_size, {config.image_size}"))
    if config.width % 4:
        faults.append(("width", "a position has four parts of equal width: width is a multiple of 4"))
    if config.width % config.heads:
        faults.append(("heads", f"{config.heads} does not divide width, {config.width}"))
    return faults
