"""The half of ADM's UNet that goes down, which its classifier has too (Dhariwal & Nichol 2021, section 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from glidepath.plugins.convert.shapes import Shape, Shapes, Unlike, conv, count, linear, norm, outputs_of

Resampling = Literal["blocks", "convolutions", "none"]
"""What changes the size: residual blocks, a convolution each, or something without parameters."""

_IMAGE_CHANNELS = 3
_USUAL_RES_BLOCKS = 2  # of most published models; a guess, where a classifier could be read in several ways


@attrs.frozen(kw_only=True)
class Trunk:
    """What the keys and shapes of a network show of its hyperparameters.

    input_channels: of all that enters the first convolution.
    channel_mult: the width of each level, in channels.
    attention: the factors of downsampling at which attention follows each residual block.
    text_width: of the tokens that attention also reads, None for none.
    dims: spatial dimensions.
    """

    input_channels: int = _IMAGE_CHANNELS
    channels: int
    res_blocks: int
    channel_mult: tuple[float, ...]
    attention: tuple[int, ...]
    scale_shift_norm: bool = True
    resampling: Resampling = "blocks"
    text_width: int | None = None
    dims: int = 2

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each level, outermost first."""
        return tuple(int(multiple * self.channels) for multiple in self.channel_mult)

    def attends(self, level: int) -> bool:
        """Whether a level has attention."""
        return 2**level in self.attention

    def skips(self) -> list[int]:
        """The channels after each input block."""
        widths = self.widths
        found = [widths[0]]
        for level, width in enumerate(widths):
            found += [width] * (self.res_blocks + (level < len(widths) - 1))
        return found

    def down(self) -> Iterator[tuple[str, Shape]]:
        """The tensors of the timestep's embedding, the input blocks and the middle."""
        embedding = 4 * self.channels
        yield from linear("time_embed.0", self.channels, embedding)
        yield from linear("time_embed.2", embedding, embedding)
        width = self.widths[0]
        yield from conv("input_blocks.0.0", self.input_channels, width, 3, self.dims)
        index = 1
        for level, outputs in enumerate(self.widths):
            for _ in range(self.res_blocks):
                yield from self.res_block(f"input_blocks.{index}.0", width, outputs)
                width = outputs
                if self.attends(level):
                    yield from self.attention_block(f"input_blocks.{index}.1", width)
                index += 1
            if level < len(self.widths) - 1:
                yield from self.resample(f"input_blocks.{index}.0", width, "op")
                index += 1
        yield from self.res_block("middle_block.0", width, width)
        yield from self.attention_block("middle_block.1", width)
        yield from self.res_block("middle_block.2", width, width)

    def res_block(self, name: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
        """A residual block."""
        yield from norm(f"{name}.in_layers.0", inputs)
        yield from conv(f"{name}.in_layers.2", inputs, outputs, 3, self.dims)
        yield from linear(
            f"{name}.emb_layers.1", 4 * self.channels, outputs * (2 if self.scale_shift_norm else 1)
        )
        yield from norm(f"{name}.out_layers.0", outputs)
        yield from conv(f"{name}.out_layers.3", outputs, outputs, 3, self.dims)
        if inputs != outputs:
            yield from conv(f"{name}.skip_connection", inputs, outputs, 1, self.dims)

    def attention_block(self, name: str, width: int) -> Iterator[tuple[str, Shape]]:
        """An attention block."""
        yield from norm(f"{name}.norm", width)
        yield from conv(f"{name}.qkv", width, 3 * width, 1, 1)
        if self.text_width is not None:
            yield from conv(f"{name}.encoder_kv", self.text_width, 2 * width, 1, 1)
        yield from conv(f"{name}.proj_out", width, width, 1, 1)

    def resample(self, name: str, width: int, layer: str) -> Iterator[tuple[str, Shape]]:
        """What changes the size. layer: how its convolution is called."""
        if self.resampling == "blocks":
            yield from self.res_block(name, width, width)
        elif self.resampling == "convolutions":
            yield from conv(f"{name}.{layer}", width, width, 3, self.dims)


def read_trunk(shapes: Shapes) -> Trunk:
    """The hyperparameters of a network's way down, from its keys and shapes.

    Where a tensor is missing, another shows the same: so that of a damaged file can be said what is missing.

    Raises:
        Unlike: there is no such network in them.
    """
    channels = outputs_of(shapes, "time_embed.0") // 4
    kernels = [shapes.get(f"input_blocks.{name}.weight", ()) for name in ("0.0", "1.0.in_layers.2")]
    dims = next((len(kernel) - 2 for kernel in kernels if len(kernel) > 2), 0)
    blocks = [_Block(shapes, index) for index in range(1, count(shapes, r"input_blocks\.(\d+)\."))]
    resampling, res_blocks = _layout(shapes, blocks)
    starts = blocks[:: res_blocks + 1]
    if not starts or any(block.width == 0 for block in starts) or not channels or not dims:
        raise Unlike("input_blocks")
    embedded = outputs_of(shapes, "input_blocks.1.0.emb_layers.1")
    hearing = (it for name, it in shapes.items() if name.endswith(".encoder_kv.weight") and len(it) == 3)
    text = next(hearing, None)
    return Trunk(
        input_channels=kernels[0][1] if len(kernels[0]) > 2 else _IMAGE_CHANNELS,
        channels=channels,
        res_blocks=res_blocks,
        channel_mult=tuple(_ratio(block.width, channels) for block in starts),
        attention=tuple(2**level for level, block in enumerate(starts) if block.attends),
        scale_shift_norm=embedded == 2 * starts[0].width,
        resampling=resampling,
        text_width=text[1] if text else None,
        dims=dims,
    )


class _Block:
    """What the tensors of one input block show."""

    def __init__(self, shapes: Shapes, index: int) -> None:
        name = f"input_blocks.{index}."
        keys = [key for key in shapes if key.startswith(name)]
        self.convolution = any(key.startswith(f"{name}0.op.") for key in keys)
        self.empty = not keys
        self.width = 0
        if any(key.startswith(f"{name}0.in_layers.2.") for key in keys):
            self.width = outputs_of(shapes, f"{name}0.in_layers.2")
        self.attends = any(key.startswith(f"{name}1.") for key in keys)
        self.changes = f"{name}0.skip_connection.weight" in shapes


def _layout(shapes: Shapes, blocks: Sequence[_Block]) -> tuple[Resampling, int]:
    """How the size changes, and how many residual blocks a level has."""
    for index, block in enumerate(blocks):
        if block.convolution:
            return "convolutions", index
        if block.empty:
            return "none", index
    ups = [
        index
        for index in range(count(shapes, r"output_blocks\.(\d+)\."))
        for child in (1, 2)
        if any(
            f"output_blocks.{index}.{child}.{layer}.weight" in shapes
            for layer in ("in_layers.0", "in_layers.2")
        )
    ]
    if ups:
        return "blocks", ups[0]
    if any(name.startswith("output_blocks.") for name in shapes):
        return "blocks", len(blocks)
    # a classifier's blocks that halve the size look like the others
    fitting = [
        res_blocks
        for res_blocks in range(1, len(blocks) + 1)
        if (len(blocks) + 1) % (res_blocks + 1) == 0 and _consistent(blocks, res_blocks)
    ]
    if not fitting:
        raise Unlike("input_blocks")
    return "blocks", min(fitting, key=lambda it: (abs(it - _USUAL_RES_BLOCKS), it))


def _consistent(blocks: Sequence[_Block], res_blocks: int) -> bool:
    """Whether each level has one width, and attention everywhere or nowhere."""
    for start in range(0, len(blocks), res_blocks + 1):
        level = blocks[start : start + res_blocks]
        resampler = blocks[start + res_blocks : start + res_blocks + 1]
        if len({(block.width, block.attends) for block in level}) > 1:
            return False
        if any(block.changes for block in level[1:]):
            return False
        if any(it.attends or it.changes or it.width != level[0].width for it in resampler):
            return False
    return True


def _ratio(width: int, channels: int) -> float:
    """The multiple that gives `width`, which is cut to an integer."""
    if width % channels == 0:
        return width // channels
    ratio = width / channels
    return ratio if int(ratio * channels) == width else math.nextafter(ratio, math.inf)
