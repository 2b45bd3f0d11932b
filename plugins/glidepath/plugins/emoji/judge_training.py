"""The judge's training: all real pictures, shifted, turned, recoloured, blurred and noisy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs
import torch
from torch import Tensor
from torch.nn import functional

from glidepath.plugins.emoji.judge import Judge, TrainedJudge, top
from glidepath.plugins.emoji.table import Table

_RATE: Final = 2e-3
_WARMUP: Final = 100
_WEIGHTS: Final = {"thing": 1.0, "style": 0.3, "tone": 0.3}


@attrs.frozen
class Accuracy:
    """Shares of pictures of which a judge is right."""

    pictures: int
    top_1: float
    top_5: float
    style: float
    tone: float


def train_judge(
    table: Table,
    *,
    steps: int,
    batch: int = 128,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Judge:
    """A judge of the table's pictures. The seed decides every draw.

    report: called with each step and its loss.
    """
    generator = torch.Generator().manual_seed(seed)
    listing = table.listing
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Judge(len(listing.things)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.02)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < batch:
            order = torch.cat((order, torch.randperm(len(listing), generator=generator)))
        rows, order = order[:batch], order[batch:]
        logits = network(augmented(table.images(rows), generator))
        loss = torch.zeros(())
        for name, weight in _WEIGHTS.items():
            right = getattr(listing, name)[rows]
            loss = loss + weight * functional.cross_entropy(getattr(logits, name), right)
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        report(step + 1, float(loss.detach()))
    return network.eval().requires_grad_(False)


def augmented(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Images [N, 3, S, S] in [-1, 1] as a model of middling quality might have drawn them.

    strength: of the changes, relative to training's.
    """
    count, size = len(images), images.shape[-1]

    def uniform(most: float, *shape: int) -> Tensor:
        return (2 * torch.rand(count, *shape, generator=generator) - 1) * most * strength

    angle, stretch = uniform(0.12), 1 + uniform(0.1)
    shift = uniform(3.0, 2) / size
    rows = torch.stack(
        (
            torch.stack((stretch * angle.cos(), -stretch * angle.sin(), shift[:, 0]), dim=1),
            torch.stack((stretch * angle.sin(), stretch * angle.cos(), shift[:, 1]), dim=1),
        ),
        dim=1,
    )
    grid = functional.affine_grid(rows, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    coloured = moved * (1 + uniform(0.12, 1, 1, 1)) + uniform(0.08, 3, 1, 1)
    soft = functional.avg_pool2d(functional.pad(coloured, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blend = torch.rand(count, 1, 1, 1, generator=generator) * 0.8 * min(strength, 1.0)
    noise = torch.randn(images.shape, generator=generator) * uniform(0.12, 1, 1, 1).abs()
    return (torch.lerp(coloured, soft, blend) + noise).clamp(-1, 1)


def accuracy(judge: TrainedJudge, table: Table, rows: Tensor, *, strength: float = 0.0) -> Accuracy:
    """How often a judge is right about some pictures; strength: of changes to them, as in `augmented`."""
    images = table.images(rows)
    if strength:
        images = augmented(images, torch.Generator().manual_seed(1), strength)
    logits, listing = judge.look(images), table.listing
    return Accuracy(
        pictures=len(rows),
        top_1=_share(top(logits.thing, listing.thing[rows])),
        top_5=_share(top(logits.thing, listing.thing[rows], 5)),
        style=_share(top(logits.style, listing.style[rows])),
        tone=_share(top(logits.tone, listing.tone[rows])),
    )


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def _rate(step: int, steps: int) -> float:
    rise = min(1.0, (step + 1) / _WARMUP)
    return _RATE * rise * 0.5 * (1 + math.cos(math.pi * step / steps))
