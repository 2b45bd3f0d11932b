"""What the denoiser is trained to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core import (
    Codec,
    Condition,
    ConditionalModel,
    Conditioning,
    Denoiser,
    IdentityCodec,
    NoiseSchedule,
    PartError,
    Prediction,
    PredictionKind,
    Request,
    Step,
    TextEmbedding,
    TextEncoder,
)
from glidepath.plugins.train.cache.cached import CachedLatents, CachedTexts
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.data.draws import drawn


def upload(value: Tensor, device: torch.device) -> Tensor:
    """A host tensor on the device, without waiting for what the device still has to do."""
    pinned = value.pin_memory() if device.type == "cuda" else value
    return pinned.to(device, non_blocking=True)


def encoded(
    codec: Codec,
    images: Tensor,
    device: torch.device,
    generator: torch.Generator | None = None,
    cache: CachedLatents | None = None,
) -> Tensor:
    """Images [B, 3, H, W] in [-1, 1], on the host, as x_0 on the device, without gradients.

    generator: decides what is drawn of a codec's distributions; None: their mode. Pixels are x_0 themselves.
    cache: has latents that need not be computed.
    """
    if type(codec) is IdentityCodec:
        return upload(images, device)
    levels = ((images + 1) * 127.5).round().to(torch.uint8)
    noise = None
    if generator is not None:
        shape = (len(images), codec.channels, *codec.latent_size(images.shape[2:]))
        noise = drawn(torch.randn, shape, generator)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        if cache is not None:
            return cache.encode(levels, noise, device)
        return codec.encode(upload(levels, device), None if noise is None else upload(noise, device))


def add_noise(schedule: NoiseSchedule, x_0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Step]:
    """x_t = alpha x_0 + sigma noise (Ho et al. 2020, equation 4), and where each sample stands.

    x_0, noise: [B, C, *spatial]; t: [B], on the host, int64, or float64 in continuous time. The step's t is
    what the denoiser receives, [B];
    its alpha and sigma are [B, 1, ...], to broadcast against x_0. Its index says nothing.
    """
    alpha, sigma = (
        upload(value.to(x_0.dtype).reshape(-1, *[1] * (x_0.ndim - 1)), x_0.device)
        for value in schedule.alpha_sigma(t)
    )
    received = schedule.model_time(t)
    received = received.float() if received.is_floating_point() else received
    return alpha * x_0 + sigma * noise, Step(0, upload(received, x_0.device), alpha, sigma)


def reduced(images: Tensor, size: int) -> Tensor:
    """What an upsampler starts from: [B, C, *spatial] in [-1, 1], each side `size`, by area, in 8 bits."""
    smaller = F.interpolate(images, size=[size] * (images.ndim - 2), mode="area")
    return ((smaller + 1) * 127.5).round() / 127.5 - 1


def predict(denoiser: Denoiser, x_t: Tensor, step: Step, **conditions: Any) -> Prediction:
    """What the denoiser says of x_t under conditions, as `Conditioning.of` takes them."""
    output = denoiser(x_t, step.t, Conditioning.of(x_t.shape[0], **conditions))
    return denoiser.interpret(output, x_t, step)


def squared_error(prediction: Prediction, x_0: Tensor, noise: Tensor) -> Tensor:
    """The mean squared error of each sample, in what was predicted: [B] float32.

    Ho et al. 2020, equation 14, for whichever of epsilon, x_0, velocity and flow the denoiser predicts.
    """
    wanted = _target(prediction.kind, prediction.step, x_0, noise)
    return (prediction.value.float() - wanted).square().flatten(1).mean(1)


def _target(kind: PredictionKind, step: Step, x_0: Tensor, noise: Tensor) -> Tensor:
    if kind == "epsilon":
        return noise
    if kind == "flow":
        return noise - x_0
    return x_0 if kind == "sample" else step.alpha * noise - step.sigma * x_0


def drop_captions(
    text_encoder: TextEncoder | CachedTexts, captions: Sequence[str], dropped: Tensor
) -> TextEmbedding:
    """The embedding of captions, with that of no prompt in place of those `dropped`: [B] bool, on the host.

    So the denoiser learns the null condition of classifier-free guidance (Ho & Salimans 2021,
    "Classifier-Free Diffusion Guidance", algorithm 1; GLIDE, Nichol et al. 2021, section 2.3, drops 20 %).
    Where that of no prompt is that of an empty one, all are embedded together.
    """
    if getattr(type(text_encoder), "unconditional", None) is TextEncoder.unconditional:
        said = ["" if drops else caption for caption, drops in zip(captions, dropped.tolist(), strict=True)]
        return text_encoder(said)
    text = Condition(text_encoder(captions), text_encoder.unconditional())
    dropped_text: TextEmbedding = text.drop(upload(dropped, text.value.tokens.device)).value
    return dropped_text


def request_of(batch: Batch) -> Request:
    """What conditioners are asked for a batch."""
    images, labels = batch.images, None if batch.labels is None else batch.labels.tolist()
    size = tuple(images.shape[2:]) if images.ndim == 4 else None
    return Request(prompts=batch.captions, size=size, inputs=batch.inputs, labels=labels)


def dropped_conditions(
    made: Mapping[str, Condition], device: torch.device, dropped: Tensor | None = None
) -> dict[str, Condition]:
    """Conditions of B samples on the device, by name.

    dropped: [B] bool, on the host: where the caption is dropped, so is what has a form for its absence.
    """
    placed = Conditioning(0, made).to(device).conditions
    if dropped is None:
        return dict(placed)
    rows = upload(dropped, device)
    return {name: it if it.null is None else it.drop(rows) for name, it in placed.items()}


def label_condition(model: ConditionalModel, labels: Tensor | None) -> Condition:
    """The class labels [B] of a batch, on the host, with the one that stands for none if there is one.

    Raises:
        PartError: there are none, or one is of no class that the model knows.
    """
    if labels is None:
        raise PartError("the denoiser reads class labels, and the dataset has none of its images (`labels`)")
    check_labels(labels, model.num_classes, "denoiser")
    null = model.null_label
    return Condition(labels, None if null is None else torch.full_like(labels, null))


def check_labels(labels: Tensor, known: int | None, network: str) -> None:
    """Refuse labels [B] of classes that a network does not know. known: how many it does; None: any.

    Raises:
        PartError: there is one.
    """
    wrong = [] if known is None else [it for it in labels.tolist() if not 0 <= it < known]
    if wrong and known is not None:
        raise PartError(f"the dataset gives label {wrong[0]}, and the {network} has classes 0 to {known - 1}")
