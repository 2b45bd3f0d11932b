"""The UNet of EDM2 with its preconditioning, as a denoiser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import Conditioning, Denoiser, NoiseLevels, PartError, Predict, Prediction, Step
from glidepath.plugins.edm2.configs import Edm2UNetConfig, edm2_faults
from glidepath.plugins.edm2.layers import Block, MPConv, MPFourier, mp_cat, mp_silu, mp_sum

PREPARED_BYTES = 512 * 2**20
"""Where the scales of all steps would take more, each step computes its own."""


class UNet(nn.Module):
    """The network F inside the preconditioning; its blocks have the names of the published one."""

    def __init__(self, config: Edm2UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, sizes = config.widths, config.sizes
        waves, embedding = config.noise_channels or widths[0], config.embedding_width or max(widths)
        self.out_gain = nn.Parameter(torch.zeros([]))
        self.emb_fourier = MPFourier(waves)
        self.emb_noise = MPConv(waves, embedding)
        self.emb_label = None if config.num_classes is None else MPConv(config.num_classes, embedding)

        enc: dict[str, nn.Module] = {
            f"{sizes[0]}x{sizes[0]}_conv": MPConv(config.in_channels + 1, widths[0], 3, 3)
        }
        skips, now = [widths[0]], widths[0]
        for level, (size, width) in enumerate(zip(sizes, widths, strict=True)):
            name, attends = f"{size}x{size}", size in config.attention_resolutions
            if level:
                enc[f"{name}_down"] = Block(config, now, now, embedding, down=True, resampling="down")
                skips.append(now)
            for index in range(config.res_blocks):
                enc[f"{name}_block{index}"] = Block(
                    config, now, width, embedding, down=True, attention=attends
                )
                now = width
                skips.append(now)
        dec: dict[str, nn.Module] = {}
        for size, width in zip(reversed(sizes), reversed(widths), strict=True):
            name, attends = f"{size}x{size}", size in config.attention_resolutions
            if not dec:
                dec[f"{name}_in0"] = Block(config, now, now, embedding, down=False, attention=True)
                dec[f"{name}_in1"] = Block(config, now, now, embedding, down=False)
            else:
                dec[f"{name}_up"] = Block(config, now, now, embedding, down=False, resampling="up")
            for index in range(config.res_blocks + 1):
                inputs = now + skips.pop()
                dec[f"{name}_block{index}"] = Block(
                    config, inputs, width, embedding, down=False, attention=attends
                )
                now = width
        self.enc, self.dec = nn.ModuleDict(enc), nn.ModuleDict(dec)
        self.out_conv = MPConv(now, config.in_channels, 3, 3)

    def forward(self, x: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """x: [B, C, H, W]; scales: [1 or B, its width] for each block, in order; returns [B, C, H, W]."""
        scale = iter(scales)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        skips = []
        for module in self.enc.values():
            x = module(x, next(scale)) if isinstance(module, Block) else module(x)
            skips.append(x)
        for name, module in self.dec.items():
            if "block" in name:
                x = mp_cat(x, skips.pop(), self.config.concat_balance)
            x = module(x, next(scale))
        y: Tensor = self.out_conv(x, self.out_gain)
        return y

    def embedding(self, c_noise: Tensor, labels: Tensor | None) -> Tensor:
        """[N] or [1], and [N] labels, the last of which is none -> [N, width] float32."""
        embedding: Tensor = self.emb_noise(self.emb_fourier(c_noise))
        if self.emb_label is not None and labels is not None:
            classes = self.emb_label.weight.shape[1]
            chosen = F.one_hot(labels, classes + 1)[:, :classes].to(embedding.dtype)
            of_label = self.emb_label(chosen * math.sqrt(classes))
            embedding = mp_sum(embedding, of_label, self.config.label_balance)
        return mp_silu(embedding)

    def scales(self, embedding: Tensor) -> list[Tensor]:
        """For each block, in order: [N, its width]."""
        return [block.scale(embedding) for block in self.blocks()]

    def blocks(self) -> Iterator[Block]:
        """The blocks, in the order in which `forward` comes to them."""
        for module in (*self.enc.values(), *self.dec.values()):
            if isinstance(module, Block):
                yield module


class Edm2UNet(Denoiser):
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), which predicts x_0.

    Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", equation 7 and
    table 1, around the UNet of Karras et al. 2024, "Analyzing and Improving the Training Dynamics of
    Diffusion Models", arXiv:2312.02696, configuration G. It is for the schedule `edm`, where alpha is 1 and t
    is c_noise = log(sigma) / 4.

    Raises:
        PartError: the configuration does not fit together (`edm2_faults` says how).
    """

    predicts = "sample"
    learned_variance = False

    def __init__(self, config: Edm2UNetConfig) -> None:
        super().__init__()
        for field, fault in edm2_faults(config):
            raise PartError(f"denoiser edm2-unet: {field}: {fault}")
        self.config = config
        self.image_shape = (config.in_channels, config.image_size, config.image_size)
        self.num_classes = config.num_classes
        if config.num_classes is not None:
            self.reads = frozenset({"labels"})
            self.null_label = config.num_classes if config.null_class else None
        self.unet = UNet(config)
        self.logvar_fourier = MPFourier(config.logvar_channels)
        self.logvar_linear = MPConv(config.logvar_channels, 1)

    def takes(self, size: Sequence[int]) -> str:
        """Two sides that can be halved as often as it does."""
        multiple = 2 ** (len(self.config.channel_mult) - 1)
        fits = len(size) == 2 and not any(side % multiple for side in size)
        return "" if fits else f"edm2-unet takes an x of two sides that are multiples of {multiple}"

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict x_0, with nothing prepared.

        x: [B, C, H, W]; t: [B], log(sigma) / 4; returns [B, C, H, W] float32.

        Raises:
            PartError: x or the conditioning does not fit this network.
        """
        for module in self.unet.modules() if self.training else ():  # here, as `unet` may be compiled
            if isinstance(module, MPConv):
                module.renew()
        labels = self._labels(conditioning)
        scales = self.unet.scales(self.unet.embedding(t, labels))
        sigma = (4 * t.float()).exp().reshape(-1, 1, 1, 1)
        return self._denoised(x, sigma, scales, conditioning.batch)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """Compute the embeddings of every step, and the scales of every block.

        Raises:
            PartError: the conditioning does not fit this network. The predictor: nor does its x.
        """
        labels = self._labels(conditioning)
        t = levels.asked.to(self.unet.out_gain.device, torch.float32, non_blocking=True)
        embeddings = [self.unet.embedding(t_i[None], labels) for t_i in t.unbind()]
        width = sum(block.outputs for block in self.unet.blocks())
        fits = len(t) * len(embeddings[0]) * width * 4 <= PREPARED_BYTES
        prepared = [self.unet.scales(embedding) for embedding in embeddings] if fits else []

        def predict(x: Tensor, step: Step) -> Prediction:
            scales = prepared[step.row] if fits else self.unet.scales(embeddings[step.row])
            return Prediction(self._denoised(x, step.sigma, scales, conditioning.batch), "sample", x, step)

        return predict

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the UNet, which `forward` and prepared predictors share. Arguments: `torch.compile`'s."""
        self.unet.compile(*args, **kwargs)

    def log_variance(self, t: Tensor) -> Tensor:
        """[B] -> [B], the log-variance of the error that training learns beside (2024, equation 21)."""
        self.logvar_linear.renew()
        learned: Tensor = self.logvar_linear(self.logvar_fourier(t))
        return learned[:, 0]

    def _denoised(self, x: Tensor, sigma: Tensor, scales: Sequence[Tensor], batch: int) -> Tensor:
        """D, [B, C, H, W] float32. sigma: [] or [B, 1, 1, 1]."""
        self._check(x, batch)
        x, data = x.float(), self.config.sigma_data
        total = sigma**2 + data**2
        c_skip, c_out, c_in = data**2 / total, sigma * data * total.rsqrt(), total.rsqrt()
        output = self.unet((c_in * x).to(self.unet.out_conv.weight.dtype), scales)
        return torch.addcmul(c_skip * x, c_out, output.float())

    def _check(self, x: Tensor, batch: int) -> None:
        channels = self.config.in_channels
        if x.shape[:2] != (batch, channels):
            raise PartError(f"edm2-unet takes x of [{batch}, {channels}, H, W], got {list(x.shape)}")
        if fault := self.takes(x.shape[2:]):
            raise PartError(f"{fault}, got {list(x.shape[2:])}")

    def _labels(self, conditioning: Conditioning) -> Tensor | None:
        if self.num_classes is None:
            return None
        labels = conditioning.get("labels")
        if labels is None or labels.shape != (conditioning.batch,):
            given = "none" if labels is None else f"labels of {list(labels.shape)}"
            raise PartError(
                f"edm2-unet with num_classes needs labels of [{conditioning.batch}], was given {given}"
            )
        return labels
