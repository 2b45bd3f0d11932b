"""The UNet of ADM and GLIDE as a denoiser.

Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", section 3; Nichol et al. 2021,
"GLIDE", section 4.1. The names of the parameters are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import (
    Conditioning,
    Denoiser,
    NoiseLevels,
    PartError,
    Predict,
    Prediction,
    Step,
    TextEmbedding,
)
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.faults import unet_faults
from glidepath.plugins.adm.kernels import Kernels
from glidepath.plugins.adm.layers import (
    AttentionBlock,
    KeysValues,
    ResBlock,
    WideEmbedding,
    WideSequential,
    conv,
    timestep_embedding,
    zeroed,
)
from glidepath.plugins.adm.norm import GroupNorm
from glidepath.plugins.adm.pictures import check_pictures, picture_channels, picture_size
from glidepath.plugins.adm.stages import Stage, build

PREPARED_BYTES = 512 * 2**20
"""Where the residual blocks' embeddings of all steps would take more, each step computes its own."""

Layer = TypeVar("Layer", bound=nn.Module)


class AdmUNet(Denoiser):
    """A UNet with attention at some of its sizes, conditioned on the timestep, and on text or class labels.

    It may see pictures beside x_t: the image that it upsamples, or the pixels that are known (`pictures`).

    It runs in the dtype of its parameters, or under autocast. The embeddings of time and class and the head
    stay in float32 (`Wide`) where the rest does not.

    Raises:
        PartError: the configuration does not fit together (`faults` of the plugin says how).
    """

    def __init__(self, config: AdmUNetConfig) -> None:
        super().__init__()
        for field, fault in unet_faults(config):
            raise PartError(f"denoiser adm-unet: {field}: {fault}")
        self.config = config
        self.predicts = config.predicts
        self.learned_variance = config.learned_variance
        self.num_classes = config.num_classes
        self.reads = frozenset(
            name
            for name, is_read in {
                "text": config.text_width is not None,
                "labels": config.num_classes is not None,
                "low_res": config.upsamples,
                "image": config.inpaints,
                "mask": config.inpaints,
            }.items()
            if is_read
        )
        self.image_shape = (config.in_channels, *[config.image_size] * config.dims)

        width = 4 * config.channels
        self.embedding_width = width
        self.time_embed = WideSequential(
            nn.Linear(config.channels, width), nn.SiLU(), nn.Linear(width, width)
        )
        if config.num_classes is not None:
            self.null_label = config.num_classes if config.null_class else None
            self.label_emb = WideEmbedding(config.num_classes + config.null_class, width)
        stages = build(config)
        self.input_blocks = nn.ModuleList(stages.down)
        self.middle_block = stages.middle
        self.output_blocks = nn.ModuleList(stages.up)
        inner = config.widths[0]
        outputs = config.in_channels * (2 if config.learned_variance else 1) * config.patch_size**config.dims
        self.out = WideSequential(
            GroupNorm(inner), nn.SiLU(inplace=True), zeroed(conv(config.dims, inner, outputs, 3))
        )

    def takes(self, size: Sequence[int]) -> str:
        """Sides that can be halved as often as it does; attention stays at the levels that it has it at."""
        multiple = self.config.size_multiple
        wrong = any(side % multiple for side in size)
        return f"adm-unet takes an x whose sides are multiples of {multiple}" if wrong else ""

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict, with nothing prepared.

        x: [B, C, *spatial]; t: [B]; returns [B, C or 2C, *spatial] float32.

        Raises:
            PartError: x or the conditioning does not fit this network.
        """
        conditioning = conditioning.only(self.reads)
        self._check_conditioning(conditioning)
        self._check_input(x, conditioning)
        projected = self._project(self._embedding(t, conditioning))
        pictures = self._pictures(conditioning, x.shape[2:], x.device)
        return self.trunk(x, projected, self._text_keys_values(conditioning), pictures)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """Compute the embeddings of every step, the text's keys and values, the pictures in x's size.

        Raises:
            PartError: the conditioning does not fit this network. The predictor: nor does its x.
        """
        conditioning = conditioning.only(self.reads)
        self._check_conditioning(conditioning)
        device = next(self.time_embed.parameters()).device
        t = levels.asked.to(device, non_blocking=True)
        embeddings = self._embedding(t[:, None], conditioning)
        steps, rows, _ = embeddings.shape
        width = sum(block.projected_width for block in self._layers(ResBlock))
        fits = steps * rows * width * embeddings.element_size() <= PREPARED_BYTES
        # cut into steps here, once, so that no operator runs in a step to look up its own
        by_block = [of_block.unbind() for of_block in self._project(embeddings)] if fits else []
        prepared = [list(of_step) for of_step in zip(*by_block, strict=True)]
        text = self._text_keys_values(conditioning)
        pictures = self._pictures(conditioning, picture_size(self.config, conditioning), device)
        kernels = self._kernels(embeddings)

        def predict(x: Tensor, step: Step) -> Prediction:
            self._check_input(x, conditioning)
            projected = prepared[step.row] if prepared else self._project(embeddings[step.row])
            beside = pictures
            if beside is not None and beside.shape[2:] != x.shape[2:]:
                beside = self._pictures(conditioning, x.shape[2:], x.device)
            return self.interpret(self.trunk(x, projected, text, beside, kernels), x, step)

        return predict

    def trunk(
        self,
        x: Tensor,
        embeddings: Sequence[Tensor],
        text: Sequence[KeysValues] | None,
        pictures: Tensor | None = None,
        kernels: Kernels | None = None,
    ) -> Tensor:
        """The network proper, given all that does not depend on x.

        x: [B, C, *spatial]; embeddings: [1 or B, its projected width] for each residual block, in order;
        text: the keys and values for each attention block, in order; pictures: [B, its channels, *spatial],
        what stands after x's channels; kernels: what convolves in place of the weights, where it suits.
        Returns [B, C or 2C, *spatial] float32.
        """
        embedding = iter(embeddings)
        keys_values: Iterator[KeysValues | None] = repeat(None) if text is None else iter(text)
        h = x.to(next(self.input_blocks.parameters()).dtype)
        if pictures is not None:
            h = torch.cat([h, pictures.to(h.dtype)], dim=1)
        if self.config.patch_size > 1:
            h = F.pixel_unshuffle(h, self.config.patch_size)
        skips = []
        for stage in self.input_blocks:
            h = stage(h, embedding, keys_values, kernels)
            skips.append(h)
        h = self.middle_block(h, embedding, keys_values, kernels)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), embedding, keys_values, kernels)
        # the head costs little, and nothing after it makes good what it rounds off
        with torch.autocast(h.device.type, enabled=False):
            h = self.out(h.to(next(self.out.parameters()).dtype))
        if self.config.patch_size > 1:
            h = F.pixel_shuffle(h, self.config.patch_size)
        return h.float()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the trunk, which `forward` and prepared predictors share. Arguments: `torch.compile`'s."""
        compiled: Callable[..., Tensor] = torch.compile(type(self).trunk.__get__(self), *args, **kwargs)

        def trunk(
            x: Tensor,
            embeddings: Sequence[Tensor],
            text: Sequence[KeysValues] | None,
            pictures: Tensor | None = None,
            kernels: Kernels | None = None,
        ) -> Tensor:
            # without the kernels: the compiler has its own, and compiles once for all callers
            return compiled(x, embeddings, text, pictures)

        self.__dict__["trunk"] = trunk

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: not the compiled trunk, which is bound to this object."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        state.pop("trunk", None)
        return state

    def _embedding(self, t: Tensor, conditioning: Conditioning) -> Tensor:
        """What is said of time, class and text, summed, then SiLU.

        t [B] -> [B, width], or t [N, 1] -> [N, 1 or B, width]. Autocast stays out: all blocks use this.
        """
        with torch.autocast(t.device.type, enabled=False):
            sinusoids = timestep_embedding(t.flatten(), self.config.channels)
            embedding: Tensor = self.time_embed(sinusoids.to(next(self.time_embed.parameters()).dtype))
            embedding = embedding.reshape(*t.shape, -1)
            if (labels := conditioning.get("labels")) is not None:
                embedding = embedding + self.label_emb(labels)
            text = conditioning.get("text", TextEmbedding)
            if text is not None and text.pooled is not None:
                embedding = embedding + text.pooled.to(embedding.dtype)
            return F.silu(embedding)

    def _project(self, embedding: Tensor) -> list[Tensor]:
        """For each residual block, in order: [..., width] -> [..., its width], in the dtype of the trunk."""
        dtype = next(self.input_blocks.parameters()).dtype
        with torch.autocast(embedding.device.type, enabled=False):
            return [block.project(embedding).to(dtype) for block in self._layers(ResBlock)]

    def _text_keys_values(self, conditioning: Conditioning) -> list[KeysValues] | None:
        """For each attention block, in order."""
        text = conditioning.get("text", TextEmbedding)
        if text is None or not self.config.text_attention:
            return None
        return [block.text_keys_values(text.tokens) for block in self._layers(AttentionBlock)]

    def _pictures(
        self, conditioning: Conditioning, size: Sequence[int], device: torch.device
    ) -> Tensor | None:
        """The pictures beside x, in the dtype in which the trunk takes them in. They are made in float32."""
        made = picture_channels(self.config, conditioning, size, device)
        return None if made is None else made.to(next(self.input_blocks.parameters()).dtype)

    def _kernels(self, embeddings: Tensor) -> Kernels | None:
        """For the batch that the embeddings are of; None where its convolutions are done as they are written.

        In 16 bits the kernels would round.
        """
        from torch._subclasses.fake_tensor import FakeTensor

        first = next(self.input_blocks.parameters())
        plain = (
            first.dtype == torch.float32
            and first.device.type == "cpu"
            and type(embeddings) in (Tensor, FakeTensor)
        )
        autocast = torch.is_autocast_enabled("cpu")
        return Kernels() if plain and self.config.dims == 2 and not autocast else None

    def _layers(self, kind: type[Layer]) -> Iterator[Layer]:
        """The layers of a kind, in the order in which the trunk comes to them."""
        for stage in (*self.input_blocks, self.middle_block, *self.output_blocks):
            assert isinstance(stage, Stage)
            yield from (layer for layer in stage if isinstance(layer, kind))

    def _check_input(self, x: Tensor, conditioning: Conditioning) -> None:
        config, batch = self.config, conditioning.batch
        if x.ndim != 2 + config.dims or x.shape[1] != config.in_channels:
            raise PartError(
                f"adm-unet takes x of [B, {config.in_channels}{', size' * config.dims}], got {list(x.shape)}"
            )
        if x.shape[0] != batch:
            raise PartError(f"adm-unet was given {x.shape[0]} samples and a conditioning for {batch}")
        if any(size % config.size_multiple for size in x.shape[2:][-2:]):  # of three, the inner two change
            raise PartError(
                f"adm-unet takes sizes that are multiples of {config.size_multiple} (patch_size, and a "
                f"halving for each entry of channel_mult after the first), got {list(x.shape[2:])}"
            )
        for picture in (conditioning.get("image"), conditioning.get("mask")):
            if picture is not None and picture.shape[2:] != x.shape[2:]:
                raise PartError(
                    f"adm-unet was given x of size {list(x.shape[2:])}, and an image or mask to inpaint of "
                    f"size {list(picture.shape[2:])}"
                )

    def _check_conditioning(self, conditioning: Conditioning) -> None:
        config, batch = self.config, conditioning.batch
        if config.text_width is not None:
            text = conditioning.get("text", TextEmbedding)
            _check_text(text, batch, config.text_width, self.embedding_width)
        check_pictures(config, conditioning)
        labels = conditioning.get("labels")
        if config.num_classes is not None and (labels is None or labels.shape != (batch,)):
            given = "none" if labels is None else f"labels of {list(labels.shape)}"
            raise PartError(f"adm-unet with num_classes needs labels of [{batch}], was given {given}")


def _check_text(text: TextEmbedding | None, batch: int, width: int, pooled_width: int) -> None:
    if text is None:
        raise PartError(f"adm-unet with text_width {width} needs a text, and the conditioning has none")
    if text.pooled is None:
        raise PartError("adm-unet adds the text's pooled vector to its timestep embedding, and it has none")
    if text.pooled.shape[-1] != pooled_width:
        raise PartError(
            f"the text's pooled vector has width {text.pooled.shape[-1]}; adm-unet adds it to its timestep "
            f"embedding, of width {pooled_width} (4 x channels)"
        )
    if text.tokens.shape[-1] != width:
        raise PartError(
            f"the text's tokens have width {text.tokens.shape[-1]}, and adm-unet's text_width is {width}"
        )
    if not {text.pooled.shape[0], text.tokens.shape[0]} <= {1, batch}:
        raise PartError(f"adm-unet was given a text of {text.tokens.shape[0]} rows for {batch} samples")
