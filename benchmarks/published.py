"""The loop as it was published with GLIDE, plainly rendered: what glidepath is measured against.

Every step runs the text transformer, projects the text to keys and values in each attention layer, attends by
einsum with softmax in float32, copies each coefficient from the host and spreads it to the size of the image,
and works out the learned variance that DDIM does not use. The weights are those of a glidepath pipeline.

Dimensions: B samples, C channels, H heads, c channels of a head, T positions, L text positions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timing import Clock
from torch import Tensor

from glidepath.core import Pipeline


class Published:
    """GLIDE's denoiser, text transformer and DDIM loop, on the weights of a pipeline of `adm-unet`.

    The network is one with scale-shift norms, residual blocks that resample, and a text.
    """

    def __init__(self, pipeline: Pipeline, steps: int, scale: float) -> None:
        denoiser: Any = pipeline.denoiser
        encoder: Any = pipeline.text_encoder
        self.unet = {name: value.contiguous() for name, value in denoiser.state_dict().items()}
        self.text = {name: value.contiguous() for name, value in encoder.state_dict().items()}
        self.config, self.text_config, self.encoder = denoiser.config, encoder.config, encoder
        self.shape = denoiser.image_shape
        self.scale = scale
        levels = pipeline.schedule.levels(steps)
        self.timestep_map = levels.t.numpy()[::-1]
        alpha_bar = (levels.alpha**2).numpy()[::-1]
        self.alpha_bar, self.alpha_bar_prev = alpha_bar[1:], alpha_bar[:-1]
        self.betas = 1 - self.alpha_bar / self.alpha_bar_prev
        variance = self.betas * (1 - self.alpha_bar_prev) / (1 - self.alpha_bar)
        self.posterior_log_variance = np.log(np.append(variance[1], variance[1:]))

    @torch.no_grad()
    def walk(self, prompt: str, x: Tensor, clock: Clock, steps: int | None = None) -> tuple[Tensor, float]:
        """DDIM from x [1, 3, S, S], by all steps or the first few: x_0, and the seconds of a step."""
        ids, mask = self.encoder.tokenize([prompt, ""])
        x = torch.cat([x, x])
        indices = list(range(len(self.betas)))[::-1][:steps]
        began = clock()
        for index in indices:
            t = torch.tensor([index] * 2)
            half = x[:1]
            both = torch.cat([half, half])
            output = self._network(both, torch.tensor(self.timestep_map.copy())[t], ids, mask)
            eps, rest = output[:, :3], output[:, 3:]
            with_prompt, without = torch.split(eps, 1)
            guided = without + self.scale * (with_prompt - without)
            x = self._ddim_step(torch.cat([torch.cat([guided, guided]), rest], dim=1), x, t)
        return x[:1], (clock() - began) / len(indices)

    def _ddim_step(self, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        eps, values = torch.split(output, x.shape[1], dim=1)
        smaller = _extract(self.posterior_log_variance, t, x.shape)
        larger = _extract(np.log(self.betas), t, x.shape)
        fraction = (values + 1) / 2
        log_variance = fraction * larger + (1 - fraction) * smaller
        torch.exp(log_variance)
        sample = _extract(np.sqrt(1 / self.alpha_bar), t, x.shape) * x
        sample = (sample - _extract(np.sqrt(1 / self.alpha_bar - 1), t, x.shape) * eps).clamp(-1, 1)
        eps = _extract(np.sqrt(1 / self.alpha_bar), t, x.shape) * x - sample
        eps = eps / _extract(np.sqrt(1 / self.alpha_bar - 1), t, x.shape)
        before = _extract(self.alpha_bar_prev, t, x.shape)
        noise = torch.randn_like(x)
        mean = sample * torch.sqrt(before) + torch.sqrt(1 - before) * eps
        return mean + 0 * (t != 0).float().view(-1, 1, 1, 1) * noise

    def _network(self, x: Tensor, t: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        w, config = self.unet, self.config
        tokens = self._text(ids, mask)
        pooled = _linear(tokens[:, -1], self.text, "transformer_proj")
        tokens = tokens.permute(0, 2, 1)
        emb = _linear(_sinusoids(t, config.channels), w, "time_embed.0")
        emb = _linear(F.silu(emb), w, "time_embed.2") + pooled
        h, skips = x, []
        for index in range(_count(w, "input_blocks")):
            h = self._stage(f"input_blocks.{index}", h, emb, tokens, down=True)
            skips.append(h)
        h = self._stage("middle_block", h, emb, tokens)
        for index in range(_count(w, "output_blocks")):
            h = torch.cat([h, skips.pop()], dim=1)
            h = self._stage(f"output_blocks.{index}", h, emb, tokens)
        return _conv(F.silu(_norm(h, w, "out.0")), w, "out.2")

    def _stage(self, name: str, h: Tensor, emb: Tensor, tokens: Tensor, *, down: bool = False) -> Tensor:
        w, last = self.unet, None
        for index in range(_count(w, name)):
            layer = f"{name}.{index}"
            if f"{layer}.qkv.weight" in w:
                h, last = self._attention(layer, h, tokens), "attention"
            elif f"{layer}.in_layers.0.weight" in w:
                # an upsampling block follows another in its stage; a downsampling one stands by itself
                resample = self._resample(name, index, down)
                h, last = self._res_block(layer, h, emb, resample), "residual"
            else:
                h, last = _conv(h, w, layer), "convolution"
        assert last is not None
        return h

    def _resample(self, name: str, index: int, down: bool) -> str:
        if name.startswith("output_blocks"):
            return "up" if index else ""
        number = int(name.rpartition(".")[2]) if down else 0
        return "down" if down and number % (self.config.res_blocks + 1) == 0 and number else ""

    def _res_block(self, name: str, x: Tensor, emb: Tensor, resample: str) -> Tensor:
        w = self.unet
        h = F.silu(_norm(x, w, f"{name}.in_layers.0"))
        if resample == "up":
            h, x = (F.interpolate(value, scale_factor=2, mode="nearest") for value in (h, x))
        elif resample == "down":
            h, x = (F.avg_pool2d(value, kernel_size=2, stride=2) for value in (h, x))
        h = _conv(h, w, f"{name}.in_layers.2")
        out = _linear(F.silu(emb), w, f"{name}.emb_layers.1")[..., None, None]
        scale, shift = torch.chunk(out, 2, dim=1)
        h = _norm(h, w, f"{name}.out_layers.0") * (1 + scale) + shift
        h = _conv(F.silu(h), w, f"{name}.out_layers.3")
        if f"{name}.skip_connection.weight" in w:
            x = _conv(x, w, f"{name}.skip_connection")
        return x + h

    def _attention(self, name: str, x: Tensor, tokens: Tensor) -> Tensor:
        w = self.unet
        flat = x.reshape(x.shape[0], x.shape[1], -1)
        qkv = F.conv1d(_norm(flat, w, f"{name}.norm"), w[f"{name}.qkv.weight"], w[f"{name}.qkv.bias"])
        text = F.conv1d(tokens, w[f"{name}.encoder_kv.weight"], w[f"{name}.encoder_kv.bias"])
        heads = x.shape[1] // self.config.head_channels
        batch, width, length = qkv.shape
        c = width // (3 * heads)
        q, k, v = qkv.reshape(batch * heads, 3 * c, length).split(c, dim=1)
        text_k, text_v = text.reshape(batch * heads, 2 * c, -1).split(c, dim=1)
        h = _attend(q, torch.cat([text_k, k], dim=-1), torch.cat([text_v, v], dim=-1))
        h = F.conv1d(h.reshape(batch, -1, length), w[f"{name}.proj_out.weight"], w[f"{name}.proj_out.bias"])
        return (flat + h).reshape(x.shape)

    def _text(self, ids: Tensor, mask: Tensor) -> Tensor:
        w, config = self.text, self.text_config
        x = F.embedding(ids, w["token_embedding.weight"]) + w["positional_embedding"][None]
        x = torch.where(mask[..., None], x, w["padding_embedding"][None])
        for index in range(config.layers):
            block = f"transformer.resblocks.{index}"
            qkv = _linear(_layer_norm(x, w, f"{block}.ln_1"), w, f"{block}.attn.c_qkv")
            batch, length, width = qkv.shape
            q, k, v = qkv.view(batch, length, config.heads, -1).split(width // config.heads // 3, dim=-1)
            scale = 1 / math.sqrt(math.sqrt(q.shape[-1]))
            weight = torch.einsum("bthc,bshc->bhts", q * scale, k * scale)
            weight = torch.softmax(weight.float(), dim=-1).type(weight.dtype)
            h = torch.einsum("bhts,bshc->bthc", weight, v).reshape(batch, length, -1)
            x = x + _linear(h, w, f"{block}.attn.c_proj")
            h = F.gelu(_linear(_layer_norm(x, w, f"{block}.ln_2"), w, f"{block}.mlp.c_fc"))
            x = x + _linear(h, w, f"{block}.mlp.c_proj")
        return _layer_norm(x, w, "final_ln")


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scale = 1 / math.sqrt(math.sqrt(q.shape[1]))
    weight = torch.einsum("bct,bcs->bts", q * scale, k * scale)
    weight = torch.softmax(weight.float(), dim=-1).type(weight.dtype)
    return torch.einsum("bts,bcs->bct", weight, v)


def _extract(table: np.ndarray[Any, Any], t: Tensor, shape: torch.Size) -> Tensor:
    values = torch.from_numpy(np.ascontiguousarray(table)).to(t.device)[t].float()
    return values.view(-1, 1, 1, 1) + torch.zeros(shape)


def _sinusoids(t: Tensor, width: int) -> Tensor:
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    phase = t[:, None].float() * frequencies[None]
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


def _count(weights: dict[str, Tensor], name: str) -> int:
    start = f"{name}."
    return len({key[len(start) :].split(".")[0] for key in weights if key.startswith(start)})


def _linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _conv(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    weight = weights[f"{name}.weight"]
    return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)


def _norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return F.group_norm(x.float(), 32, weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5).type(x.dtype)


def _layer_norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    weight = weights[f"{name}.weight"]
    return F.layer_norm(x.float(), weight.shape, weight, weights[f"{name}.bias"], 1e-5).type(x.dtype)
