"""The architectures that are recognised: what keys and shapes show of each, and the keys that follow from it.

Every class has `shapes()`, the tensors of such a model, and `read`, the model that some tensors are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Literal, Self

import attrs

from glidepath.plugins.convert.shapes import (
    Shape,
    Shapes,
    Unlike,
    conv,
    count,
    linear,
    norm,
    outputs_of,
    shape,
)
from glidepath.plugins.convert.trunk import Trunk, read_trunk
from glidepath.plugins.convert.vocabulary import GPT2_TOKENS

Pool = Literal["adaptive", "attention", "spatial", "spatial_v2"]

_USUAL_CHANNELS = (3, 1, 4)  # of images, as their roles are guessed
_USUAL_POSITIONS = 8**2 + 1  # of a pool of attention, where its tensor is missing
_POOLED_WIDTH = 2048  # of the hidden layer after spatial pooling
_TIMESTEPS_KEY, _STATE_KEY = "blocks.input.w_t", "blocks.input.pred_state"


@attrs.frozen(kw_only=True)
class Text:
    """GLIDE's text transformer, whose tensors lie among those of its UNet."""

    vocabulary: int
    width: int
    layers: int
    context: int
    final_layer_norm: bool = True
    padding_embedding: bool = True

    def shapes(self, pooled_width: int) -> Iterator[tuple[str, Shape]]:
        """Its tensors. pooled_width: of the vector that is added to the timestep's embedding."""
        width = self.width
        yield "positional_embedding", (self.context, width)
        if self.padding_embedding:
            yield "padding_embedding", (self.context, width)
        yield "token_embedding.weight", (self.vocabulary, width)
        for index in range(self.layers):
            name = f"transformer.resblocks.{index}"
            yield from linear(f"{name}.attn.c_qkv", width, 3 * width)
            yield from linear(f"{name}.attn.c_proj", width, width)
            yield from norm(f"{name}.ln_1", width)
            yield from linear(f"{name}.mlp.c_fc", width, 4 * width)
            yield from linear(f"{name}.mlp.c_proj", 4 * width, width)
            yield from norm(f"{name}.ln_2", width)
        if self.final_layer_norm:
            yield from norm("final_ln", width)
        yield from linear("transformer_proj", width, pooled_width)

    @classmethod
    def read(cls, shapes: Shapes) -> Self:
        """The text transformer of a GLIDE model.

        Raises:
            Unlike: there is none.
        """
        positions = shapes.get("positional_embedding") or shape(shapes, "padding_embedding")
        return cls(
            vocabulary=(shapes.get("token_embedding.weight") or (GPT2_TOKENS,))[0],
            width=positions[-1],
            layers=count(shapes, r"transformer\.resblocks\.(\d+)\."),
            context=positions[0],
            final_layer_norm=any(name.startswith("final_ln.") for name in shapes),
            padding_embedding="padding_embedding" in shapes,
        )


@attrs.frozen(kw_only=True)
class Diffusion:
    """A diffusion model: ADM's UNet; with a text, GLIDE's.

    image_channels: of the images; more enter an upsampler or a model for inpainting.
    num_classes: of the labels that it hears, None for none.
    """

    trunk: Trunk
    text: Text | None = None
    image_channels: int = 3
    upsamples: bool = False
    inpaints: bool = False
    learned_variance: bool = True
    num_classes: int | None = None

    def shapes(self) -> dict[str, Shape]:
        """Its tensors."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, Shape]]:
        trunk = self.trunk
        if self.text is not None:
            yield from self.text.shapes(4 * trunk.channels)
        if self.num_classes is not None:
            yield "label_emb.weight", (self.num_classes, 4 * trunk.channels)
        yield from trunk.down()
        skips = trunk.skips()
        width, index = trunk.widths[-1], 0
        for level, outputs in reversed(list(enumerate(trunk.widths))):
            for block in range(trunk.res_blocks + 1):
                name = f"output_blocks.{index}"
                yield from trunk.res_block(f"{name}.0", width + skips.pop(), outputs)
                width = outputs
                if trunk.attends(level):
                    yield from trunk.attention_block(f"{name}.1", width)
                if level and block == trunk.res_blocks:
                    yield from trunk.resample(f"{name}.{1 + trunk.attends(level)}", width, "conv")
                index += 1
        yield from norm("out.0", width)
        outputs = self.image_channels * (2 if self.learned_variance else 1)
        yield from conv("out.2", width, outputs, 3, trunk.dims)

    @classmethod
    def read(cls, shapes: Shapes) -> Self:
        """The diffusion model of some tensors.

        Raises:
            Unlike: they are of none.
        """
        trunk = read_trunk(shapes)
        labels = shapes.get("label_emb.weight")
        if not any(name.startswith("output_blocks.") for name in shapes):
            raise Unlike("output_blocks")
        image_channels, upsamples, inpaints, learned = _roles(trunk.input_channels, _outputs(shapes))
        return cls(
            trunk=trunk,
            text=Text.read(shapes) if trunk.text_width is not None else None,
            image_channels=image_channels,
            upsamples=upsamples,
            inpaints=inpaints,
            learned_variance=learned,
            num_classes=labels[0] if labels else None,
        )


def _outputs(shapes: Shapes) -> int:
    """The channels that leave the network, 0 where both tensors that show it are missing."""
    try:
        return outputs_of(shapes, "out.2")
    except Unlike:
        return 0


def _roles(inputs: int, outputs: int) -> tuple[int, bool, bool, bool]:
    """(image channels, upsamples, inpaints, learned variance) of input and output channels.

    Images in colour come first, then grey ones, then latents of 4 channels: 6 in and 6 out is an upsampler
    of colour images. Where no channels of images lead from the ones to the others, it is as if a model of
    colour images had others in and out.
    """
    for channels in (*_USUAL_CHANNELS, outputs // 2, outputs):
        roles = _roles_of_inputs(channels)
        if channels and inputs in roles and outputs in (channels, 2 * channels):
            return channels, *roles[inputs], outputs == 2 * channels
    colours = _USUAL_CHANNELS[0]
    return colours, *_roles_of_inputs(colours).get(inputs, (False, False)), True


def _roles_of_inputs(channels: int) -> dict[int, tuple[bool, bool]]:
    """(upsamples, inpaints) by the channels that enter."""
    return {
        channels: (False, False),
        2 * channels: (True, False),
        2 * channels + 1: (False, True),
        3 * channels + 1: (True, True),
    }


@attrs.frozen(kw_only=True)
class ClassifierModel:
    """ADM's classifier of noisy images.

    positions: of the attention pool, its own token among them; 0 for other pools.
    """

    trunk: Trunk
    pool: Pool
    classes: int
    positions: int = 0

    @property
    def image_size(self) -> int | None:
        """Pixels along each side of its images, where the attention pool shows it."""
        side = isqrt(max(self.positions - 1, 0))
        return side * 2 ** (len(self.trunk.channel_mult) - 1) or None

    def shapes(self) -> dict[str, Shape]:
        """Its tensors."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, Shape]]:
        trunk = self.trunk
        yield from trunk.down()
        width = trunk.widths[-1]
        if self.pool in ("spatial", "spatial_v2"):
            yield from linear("out.0", sum(trunk.skips()) + width, _POOLED_WIDTH)
            if self.pool == "spatial_v2":
                yield from norm("out.1", _POOLED_WIDTH)
            last = "out.2" if self.pool == "spatial" else "out.3"
            yield from linear(last, _POOLED_WIDTH, self.classes)
            return
        yield from norm("out.0", width)
        if self.pool == "adaptive":
            yield from conv("out.3", width, self.classes, 1, trunk.dims)
        else:
            yield "out.2.positional_embedding", (width, self.positions)
            yield from conv("out.2.qkv_proj", width, 3 * width, 1, 1)
            yield from conv("out.2.c_proj", width, self.classes, 1, 1)

    @classmethod
    def read(cls, shapes: Shapes) -> Self:
        """The classifier of some tensors.

        Raises:
            Unlike: they are of none.
        """
        trunk = read_trunk(shapes)
        layers = {name.removeprefix("out.").rpartition(".")[0] for name in shapes if name.startswith("out.")}
        if layers & {"2.qkv_proj", "2.c_proj"}:
            positions = shapes.get("out.2.positional_embedding") or (_USUAL_POSITIONS,)
            classes = outputs_of(shapes, "out.2.c_proj")
            return cls(trunk=trunk, pool="attention", classes=classes, positions=positions[-1])
        pool: Pool = "spatial_v2" if "1" in layers else "adaptive" if "3" in layers else "spatial"
        last = "out.2" if pool == "spatial" else "out.3"
        return cls(trunk=trunk, pool=pool, classes=outputs_of(shapes, last))


@attrs.frozen(kw_only=True)
class ClipText:
    """The text half of GLIDE's noised CLIP."""

    vocabulary: int
    context: int
    width: int
    layers: int
    embedding: int

    def shapes(self) -> dict[str, Shape]:
        """Its tensors."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, Shape]]:
        yield "blocks.input.w_voc", (self.vocabulary, self.width)
        yield "blocks.input.w_pos", (self.context, self.width)
        yield from _clip_blocks(self.width, self.layers, self.embedding)

    @classmethod
    def read(cls, shapes: Shapes) -> Self:
        """The text half of some tensors.

        Raises:
            Unlike: they are of none.
        """
        vocabulary, width = shape(shapes, "blocks.input.w_voc", 2)
        return cls(
            vocabulary=vocabulary,
            context=shape(shapes, "blocks.input.w_pos", 2)[0],
            width=width,
            layers=count(shapes, r"blocks\.block_(\d+)\."),
            embedding=shape(shapes, "blocks.output.f.w", 2)[0],
        )


@attrs.frozen(kw_only=True)
class ClipImage:
    """The image half of GLIDE's noised CLIP.

    timesteps: that it knows; 0 for one of clean images.
    """

    image_size: int
    patch_size: int
    width: int
    layers: int
    embedding: int
    timesteps: int
    channels: int = 3

    def shapes(self) -> dict[str, Shape]:
        """Its tensors."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, Shape]]:
        width, patch = self.width, self.patch_size
        if self.timesteps:
            yield _TIMESTEPS_KEY, (self.timesteps, width)
        else:
            yield _STATE_KEY, (width,)
        yield "blocks.input.patch_proj", (width, self.channels, patch, patch)
        yield "blocks.input.w_pos", ((self.image_size // patch) ** 2 + 1, width)
        yield from _gain_and_bias("blocks.input.ln", width)
        yield from _clip_blocks(width, self.layers, self.embedding)

    @classmethod
    def read(cls, shapes: Shapes) -> Self:
        """The image half of some tensors.

        Raises:
            Unlike: they are of none.
        """
        width, channels, patch, _ = shape(shapes, "blocks.input.patch_proj", 4)
        positions = shape(shapes, "blocks.input.w_pos", 2)[0]
        return cls(
            image_size=isqrt(max(positions - 1, 0)) * patch,
            patch_size=patch,
            width=width,
            layers=count(shapes, r"blocks\.block_(\d+)\."),
            embedding=shape(shapes, "blocks.output.f.w", 2)[0],
            timesteps=shapes.get(_TIMESTEPS_KEY, (0,))[0],
            channels=channels,
        )


def _clip_blocks(width: int, layers: int, embedding: int) -> Iterator[tuple[str, Shape]]:
    for index in range(layers):
        attention, mlp = f"blocks.block_{index}.f_attn", f"blocks.block_{index}.f_mlp"
        yield from _gain_and_bias(f"{attention}.ln", width)
        for layer in ("f_q", "f_k", "f_v", "f_c"):
            yield f"{attention}.{layer}.w", (width, width)
            if layer != "f_k":
                yield f"{attention}.{layer}.b", (width,)
        yield from _gain_and_bias(f"{mlp}.ln", width)
        for layer, inputs, outputs in (("f_1", width, 4 * width), ("f_2", 4 * width, width)):
            yield f"{mlp}.{layer}.w", (outputs, inputs)
            yield f"{mlp}.{layer}.b", (outputs,)
    yield from _gain_and_bias("blocks.output.ln", width)
    yield "blocks.output.f.w", (embedding, width)


def _gain_and_bias(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.g", (width,)
    yield f"{name}.b", (width,)


Model = Diffusion | ClassifierModel | ClipText | ClipImage
