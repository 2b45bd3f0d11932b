"""Loops that train the same model: glidepath's, a plain one of PyTorch, and diffusers' usual one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from ours import PROMPT
from torch import Tensor, nn
from torch.utils.data import DataLoader

from glidepath.core import Conditioning, Denoiser, Event, Listener, NoiseSchedule, TextEncoder
from glidepath.plugins.train.configs import DiffusionTrainerConfig
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer
from glidepath.registry import build_pipeline, load_catalogue, make_plan, read_spec

RATE, CLIP, EMA, DROPOUT = 1e-4, 1.0, 0.9999, 0.1


@attrs.frozen(kw_only=True)
class Model:
    """What is trained, and networks of diffusers to compare with, as arguments of `theirs.Peer`."""

    spec: Any
    batch: int
    peers: Mapping[str, Mapping[str, Any]]


Loop = Callable[[Model, int, Callable[[], None]], float]
"""Trains a model for so many steps and calls the function after each; returns the mean loss."""


def loops_of(model: Model, log_every: int = 50) -> dict[str, Loop]:
    """Each loop by its name; without diffusers and accelerate, the first two."""
    loops: dict[str, Loop] = {"glidepath": partial(glidepath, log_every=log_every), "plain PyTorch": plain}
    if not (find_spec("accelerate") and find_spec("diffusers")):
        print("without diffusers; pip install 'glidepath-diffusion[bench]' has it", file=sys.stderr)
        return loops
    for peer in model.peers:
        loops[peer] = partial(accelerated, peer=peer, layout=torch.contiguous_format)
        loops[f"{peer}, channels_last"] = partial(accelerated, peer=peer, layout=torch.channels_last)
    return loops


def glidepath(model: Model, steps: int, stepped: Callable[[], None], log_every: int = 50) -> float:
    """glidepath's own loop. The loss is the mean since the last line of its log."""
    schedule, denoiser, text_encoder = parts_of(model)
    losses: list[float] = []

    class Told(Listener):
        wants_steps = True

        def tell(self, event: Event) -> None:
            if event.name == "step":
                stepped()
            elif event.name == "logged":
                losses.append(event.figures["loss"])

    config = DiffusionTrainerConfig(
        steps=steps,
        batch=model.batch,
        learning_rate=RATE,
        warmup_steps=0,
        rate="constant",
        gradient_clip=CLIP,
        ema=EMA,
        caption_dropout=DROPOUT,
        precision="float32",
        log_every=log_every,
        probe_every=steps + 1,
        checkpoint_every=steps + 1,
    )
    with TemporaryDirectory() as folder:
        run = Run(
            schedule=schedule,
            denoiser=denoiser,
            text_encoder=text_encoder,
            dataset=_Drawn(_images(denoiser.image_shape)),
            folder=Path(folder),
            spec={"train": {"use": "diffusion"}},
            device=torch.device("cpu"),
            listeners=[Told()],
        )
        DiffusionTrainer(config).train(run)
    return losses[-1]


def plain(model: Model, steps: int, stepped: Callable[[], None]) -> float:
    """The loop that a page of PyTorch has."""
    schedule, denoiser, text_encoder = parts_of(model)
    networks = nn.ModuleDict({"denoiser": denoiser, "text_encoder": text_encoder}).train()
    optimizer = torch.optim.AdamW(
        networks.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0, fused=True
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        networks, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA)
    )
    alphas, sigmas = (
        value.float()[:, None, None, None] for value in schedule.alpha_sigma(torch.arange(schedule.num_steps))
    )
    total = 0.0
    for x_0, captions in _batches(denoiser.image_shape, model.batch, steps):
        t = torch.randint(schedule.num_steps, (len(x_0),))
        noise = torch.randn_like(x_0)
        x_t = alphas[t] * x_0 + sigmas[t] * noise
        output = denoiser(x_t, t, Conditioning.of(len(x_0), text=text_encoder(_dropped(captions))))
        velocity = alphas[t] * noise - sigmas[t] * x_0
        loss = F.mse_loss(output, velocity if denoiser.predicts == "velocity" else noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(networks.parameters(), CLIP)
        optimizer.step()
        averaged.update_parameters(networks)
        total += loss.item()
        stepped()
    return total / steps


def accelerated(
    model: Model, steps: int, stepped: Callable[[], None], *, peer: str, layout: torch.memory_format
) -> float:
    """diffusers' network in the loop of its examples of training."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel
    from theirs import Peer

    theirs = Peer(**model.peers[peer])
    torch.manual_seed(0)
    unet: Any = theirs.network().to(memory_format=layout)
    text_encoder = parts_of(model)[2]
    both = nn.ModuleList([unet, text_encoder])
    ema = EMAModel(both.parameters(), decay=EMA)
    optimizer = torch.optim.AdamW(both.parameters(), lr=RATE, weight_decay=0)
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=theirs.predicts)
    shape = (theirs.channels, theirs.size, theirs.size)
    accelerator = Accelerator(cpu=True)
    unet, text_encoder, optimizer, loader, rates = accelerator.prepare(
        unet, text_encoder, optimizer, _loader(shape, model.batch), get_scheduler("constant", optimizer)
    )
    both.train()
    total = 0.0
    for x_0, captions in _endless(loader, steps):
        with accelerator.accumulate(unet):
            noise = torch.randn_like(x_0)
            t = torch.randint(scheduler.config.num_train_timesteps, (len(x_0),), device=x_0.device).long()
            x_t = scheduler.add_noise(x_0, noise, t)
            text = text_encoder(_dropped(captions)).tokens
            is_velocity = theirs.predicts == "v_prediction"
            wanted = scheduler.get_velocity(x_0, noise, t) if is_velocity else noise
            loss = F.mse_loss(unet(x_t, t, text, return_dict=False)[0].float(), wanted.float())
            total += accelerator.gather(loss.repeat(len(x_0))).mean().item()
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(both.parameters(), CLIP)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            ema.step(both.parameters())
        stepped()
    return total / steps


def parts_of(model: Model) -> tuple[NoiseSchedule, Denoiser, TextEncoder]:
    """Of its spec, with random weights, laid out as glidepath trains them."""
    catalogue = load_catalogue()
    overrides = ["denoiser.learned_variance=false", "runtime.device=cpu", "runtime.dtype=float32"]
    torch.manual_seed(0)
    pipeline: Any = build_pipeline(
        make_plan(read_spec(model.spec, overrides, catalogue=catalogue), catalogue), catalogue, load=False
    )
    denoiser, text_encoder = pipeline.denoiser, pipeline.text_encoder
    denoiser.to(memory_format=torch.contiguous_format).requires_grad_(True)
    return pipeline.schedule, denoiser, text_encoder.requires_grad_(True)


def _images(shape: Sequence[int]) -> Tensor:
    """[64, C, H, W], each value -1 or 1."""
    return torch.randint(2, (64, *shape), generator=torch.Generator().manual_seed(0)).float() * 2 - 1


class _Drawn:
    """Those images as a dataset of glidepath."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """Some of them."""
        generator = torch.Generator().manual_seed(seed + step)
        return self.images[torch.randint(len(self.images), (size,), generator=generator)], [PROMPT] * size


def _loader(shape: Sequence[int], batch: int) -> DataLoader[Any]:
    pairs: Any = [(image, PROMPT) for image in _images(shape)]
    return DataLoader(pairs, batch_size=batch, shuffle=True, drop_last=True)


def _batches(shape: Sequence[int], batch: int, steps: int) -> Iterator[tuple[Tensor, Sequence[str]]]:
    return _endless(_loader(shape, batch), steps)


def _endless(loader: Any, steps: int) -> Iterator[tuple[Tensor, Sequence[str]]]:
    """So many batches, by as many epochs as that takes."""
    done = 0
    while True:
        for batch in loader:
            if done == steps:
                return
            yield batch
            done += 1


def _dropped(captions: Sequence[str]) -> list[str]:
    drops = torch.rand(len(captions)) < DROPOUT
    return ["" if drop else caption for caption, drop in zip(captions, drops, strict=True)]
