"""The parameters of `edm2-unet`. Imports no torch; imported where it is used, not where it is listed."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import deep_iterable, ge, gt, le, min_len, optional

from glidepath.registry import doc


def _balance(default: float, text: str) -> Any:
    return attrs.field(default=default, validator=[ge(0), le(1)], metadata=doc(f"{text}, from 0 to 1"))


@attrs.frozen(kw_only=True)
class Edm2UNetConfig:
    """The UNet of EDM2. The defaults are those of EDM2-S for 512 pixels, 64 latent values."""

    image_size: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc("values along each side of the latent, or pixels, that it is made for"),
    )
    in_channels: int = attrs.field(
        default=4, validator=ge(1), metadata=doc("channels of the latent, which it takes and predicts")
    )
    channels: int = attrs.field(
        default=192,
        validator=ge(1),
        metadata=doc("the unit of width: XS has 128, S 192, M 256, L 320, XL 384, XXL 448"),
    )
    channel_mult: tuple[int, ...] = attrs.field(
        default=(1, 2, 3, 4),
        validator=deep_iterable(ge(1), min_len(1)),
        metadata=doc("width of each level, in channels; each level after the first halves the size"),
    )
    res_blocks: int = attrs.field(
        default=3, validator=ge(1), metadata=doc("blocks of each level going down; going up, one more")
    )
    attention_resolutions: tuple[int, ...] = attrs.field(
        default=(16, 8), metadata=doc("sizes inside the network whose blocks have attention")
    )
    head_channels: int = attrs.field(
        default=64, validator=ge(1), metadata=doc("channels of each attention head")
    )
    num_classes: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("how many class labels there are; none: it takes no label"),
    )
    null_class: bool = attrs.field(
        default=False,
        metadata=doc(
            "one more label stands for no class, as it was trained to do without some of its labels; "
            "classifier-free guidance needs it; published weights have no such label"
        ),
    )
    sigma_data: float = attrs.field(
        default=0.5, validator=gt(0), metadata=doc("the standard deviation of the data that it expects")
    )
    label_balance: float = _balance(0.5, "the share of the class beside the noise level")
    concat_balance: float = _balance(0.5, "the share of the way down where it joins the way up")
    res_balance: float = _balance(0.3, "the share of the residual branch")
    attn_balance: float = _balance(0.3, "the share of the attention")
    clip_act: float | None = attrs.field(
        default=256.0,
        validator=optional(gt(0)),  # type: ignore[arg-type]  # attrs infers float from the default
        metadata=doc("activations stay within this on both sides of 0; none: they are not clipped"),
    )
    resample_filter: tuple[float, ...] = attrs.field(
        default=(1.0, 1.0),
        validator=min_len(2),
        metadata=doc("the filter by which sizes are halved and doubled, of even length"),
    )
    noise_channels: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("waves of the noise level; none: the width of the first level"),
    )
    embedding_width: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("of noise level and class together; none: the width of the widest level"),
    )
    logvar_channels: int = attrs.field(
        default=128,
        validator=ge(1),
        metadata=doc("waves of the noise level from which training learns how uncertain it is there"),
    )
    dropout: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc("share of the activations that training drops, in each block", free=True),
    )

    @property
    def widths(self) -> list[int]:
        """The channels of each level, outermost first."""
        return [multiple * self.channels for multiple in self.channel_mult]

    @property
    def sizes(self) -> list[int]:
        """The size of each level inside the network, outermost first."""
        return [self.image_size >> level for level in range(len(self.channel_mult))]


def edm2_faults(config: Edm2UNetConfig) -> list[tuple[str, str]]:
    """What of the parameters does not fit together: (parameter, message)."""
    faults = []
    multiple = 2 ** (len(config.channel_mult) - 1)
    if config.image_size % multiple:
        faults.append(("image_size", f"it is halved for each level but the first: a multiple of {multiple}"))
    if unknown := sorted(set(config.attention_resolutions) - set(config.sizes)):
        known = ", ".join(map(str, config.sizes))
        faults.append(
            ("attention_resolutions", f"{unknown[0]} is no size inside this network; those are {known}")
        )
    attending = [
        width
        for size, width in zip(config.sizes, config.widths, strict=True)
        if size in config.attention_resolutions or size == config.sizes[-1]
    ]
    for width in attending:
        if width % config.head_channels:
            message = f"{config.head_channels} does not divide the {width} channels of a level with attention"
            faults.append(("head_channels", message))
    if len(config.resample_filter) % 2 or sum(config.resample_filter) == 0:
        faults.append(("resample_filter", "it has an even number of weights, whose sum is not 0"))
    return faults
