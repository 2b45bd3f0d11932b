"""The parameters of `adm-unet`. Imports no torch; imported where the part is used, not where it is listed."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, optional

from glidepath.plugins.adm import shared_fields as shared
from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class AdmUNetConfig:
    """The UNet of ADM and GLIDE. The defaults are GLIDE's base model at 64 pixels, without its text."""

    image_size: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc(
            "pixels along each side of the images that it is made for; it runs on other sizes too, and only "
            "attention_resolutions is read against this one"
        ),
    )
    in_channels: int = attrs.field(
        default=3, validator=ge(1), metadata=doc("channels of the images, which it takes and predicts")
    )
    upsamples: bool = attrs.field(
        default=False,
        metadata=doc(
            "an upsampler: it also sees a smaller image, enlarged to the size of its own, and makes it sharp"
        ),
    )
    inpaints: bool = attrs.field(
        default=False,
        metadata=doc(
            "it also sees the known pixels of an image, and which those are; without them it makes all of it"
        ),
    )
    channels: int = shared.channels(192)
    res_blocks: int = attrs.field(
        default=3,
        validator=ge(1),
        metadata=doc("residual blocks of each level going down; going up, one more"),
    )
    channel_mult: tuple[float, ...] = shared.channel_mult((1, 2, 3, 4))
    attention_resolutions: tuple[int, ...] = shared.attention_resolutions()
    heads: int = shared.heads()
    head_channels: int | None = shared.head_channels()
    heads_upsample: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("attention heads on the way up, where head_channels is none; none: as many as heads"),
    )
    attention_order: Literal["legacy", "new"] = attrs.field(
        default="legacy",
        metadata=doc(
            "how trained weights lay out queries, keys and values: legacy (GLIDE, ADM) head by head, "
            "new all queries first, then all keys, then all values"
        ),
    )
    scale_shift_norm: bool = shared.scale_shift_norm()
    resblock_updown: bool = shared.resblock_updown()
    conv_resample: bool = shared.conv_resample()
    dropout: float = shared.dropout()
    num_classes: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("how many class labels there are; none: it takes no label"),
    )
    null_class: bool = attrs.field(
        default=False,
        metadata=doc(
            "one more label stands for no class, as a denoiser has it that was trained to do without some of "
            "its labels; classifier-free guidance needs it"
        ),
    )
    text_width: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("width of the text encoder's token vectors; none: it takes no text"),
    )
    text_attention: bool = attrs.field(
        default=True,
        metadata=doc(
            "the tokens of a text enter every attention layer; false: only its pooled vector is used, in "
            "the timestep embedding, as a class would be"
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
    dims: int = shared.dims()
    patch_size: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc(
            "run on patches of so many pixels a side, folded into channels: faster and coarser; "
            "published weights have 1"
        ),
    )

    @property
    def sizes(self) -> list[int]:
        """The size of each level inside the network, outermost first."""
        return [self.image_size // self.patch_size >> level for level in range(len(self.channel_mult))]

    @property
    def widths(self) -> list[int]:
        """The channels of each level, outermost first."""
        return [int(multiple * self.channels) for multiple in self.channel_mult]

    @property
    def input_channels(self) -> int:
        """The channels that enter: of x, of the known pixels and their mask, of the enlarged image."""
        inpainting = self.in_channels + 1 if self.inpaints else 0
        return self.in_channels + inpainting + (self.in_channels if self.upsamples else 0)

    @property
    def size_multiple(self) -> int:
        """Every size that the network takes is a multiple of this one."""
        return int(self.patch_size * 2 ** (len(self.channel_mult) - 1))
