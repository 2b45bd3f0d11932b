"""Train the probe of features.py again: `python -m glidepath.plugins.studies.metrics.train_probe`.

From an image the probe tells which words its caption has, and which of two words comes first: for 30 words
these are up to 900 yes-or-no questions. Order is asked for because "a red star above a blue ring" and "a blue
ring above a red star" have the same words. A caption does not say everything, so some answers are chance;
that costs likelihood and not features. Any captioned dataset will do.

Words alone would make features blind to flaws that leave an image legible, so half of the images are spoiled
(noise, blur, another image shining through, bent outlines), and the probe also tells which way, and how much.

It takes a few minutes on one core. The seed decides every draw.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from glidepath.plugins.studies.metrics.features import WEIGHTS, WIDTH, Probe
from glidepath.registry import (
    CommandParser,
    build_parts,
    load_catalogue,
    make_plan,
    natural_int,
    positive_int,
    read_spec,
    require_writable,
    write_tensors,
)

#: The ways in which images are spoiled.
FLAWS: Final = ("noise", "blur", "blend", "bend")

# Captions that are read to choose the questions, and the share of them that must answer one with yes, and
# with no: what is always or hardly ever so teaches nothing.
_CAPTIONS: Final = 2048
_LEAST_SHARE: Final = 0.01
_FLAWS_WEIGHT: Final = 2.0
# Images over which features are brought to mean 0 and variance 1.
_IMAGES: Final = 4096


@attrs.frozen
class Questions:
    """What is asked of an image: words that its caption has, and pairs of words in their order."""

    words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """Questions in all."""
        return len(self.words) + len(self.pairs)

    @staticmethod
    def of(captions: Sequence[str]) -> Questions:
        """The questions that some captions answer with yes and others with no."""
        counts: dict[str | tuple[str, str], int] = {}
        for caption in captions:
            for found in _said(caption):
                counts[found] = counts.get(found, 0) + 1
        least = _LEAST_SHARE * len(captions)
        kept = sorted((it for it, n in counts.items() if least <= n <= len(captions) - least), key=str)
        return Questions(
            tuple(it for it in kept if isinstance(it, str)),
            tuple(it for it in kept if not isinstance(it, str)),
        )

    def answers(self, captions: Sequence[str]) -> Tensor:
        """[N, count] of 0 and 1."""
        asked = {it: index for index, it in enumerate([*self.words, *self.pairs])}
        told = torch.zeros(len(captions), self.count)
        for row, caption in enumerate(captions):
            told[row, [asked[it] for it in _said(caption) if it in asked]] = 1.0
        return told


def train(dataset: Any, *, steps: int, batch: int = 128, seed: int = 0) -> Probe:
    """A probe trained on a captioned dataset (`batch(seed, step, size)`), its features standardised.

    dataset: draws of image [B, 3, H, W] in [-1, 1] with captions, as datasets for `glidepath train` make.
    """
    captions = [
        caption for step in range(_CAPTIONS // batch) for caption in dataset.batch(seed + 1, step, batch)[1]
    ]
    questions = Questions.of(captions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        probe = Probe()
        head = nn.Linear(WIDTH, questions.count + len(FLAWS))
    parameters = [*probe.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    with tqdm(range(steps), unit="step", file=sys.stderr) as bar:
        for step in bar:
            images, captions = dataset.batch(seed, step, batch)
            images, amounts = spoil(images, torch.Generator().manual_seed(seed * steps + step))
            words, flaws = head(functional.gelu(probe(images))).split([questions.count, len(FLAWS)], 1)
            loss = functional.binary_cross_entropy_with_logits(words, questions.answers(captions))
            loss = loss + _FLAWS_WEIGHT * functional.mse_loss(flaws, amounts)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            decay.step()
            bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
    _standardise(probe, dataset, seed + 2)
    return probe.eval().requires_grad_(False)


def spoil(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images of which each second one, about, has one of `FLAWS`; and the amounts, [N, flaws] in [0, 1]."""
    count, _, height, width = images.shape
    kind = torch.randint(2 * len(FLAWS), (count,), generator=generator)
    amount = torch.rand(count, generator=generator)
    amounts = functional.one_hot(kind, 2 * len(FLAWS))[:, : len(FLAWS)] * amount[:, None]
    noise, blur, blend, bend = amounts[:, :, None, None, None].unbind(1)
    # a coarse field of displacements, at most of some 0.04 of the width, made smooth
    field = torch.randn(count, 2, 4, 4, generator=generator) * 0.075 * bend
    field = functional.interpolate(field, (height, width), mode="bicubic").permute(0, 2, 3, 1)
    still = functional.affine_grid(torch.eye(2, 3).expand(count, 2, 3), [count, 1, height, width], False)
    images = functional.grid_sample(images, still + field, padding_mode="border", align_corners=False)
    images = torch.lerp(images, images.flip(0), blend / 2)
    images = torch.lerp(images, functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False), blur)
    images = images + 0.3 * noise * torch.randn(images.shape, generator=generator)
    return images.clamp(-1, 1), amounts


def main(arguments: Sequence[str]) -> int:
    """Train and write."""
    parser = CommandParser(
        prog="python -m glidepath.plugins.studies.metrics.train_probe", description=__doc__
    )
    parser.add_argument("--spec", default="shapes", help="whose `data` is trained on (default: %(default)s)")
    parser.add_argument("--steps", type=positive_int, default=2500, help="default: %(default)s")
    parser.add_argument("--seed", type=natural_int, default=0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=WEIGHTS, metavar="FILE", help="default: %(default)s")
    chosen = parser.parse_args(list(arguments))
    require_writable(chosen.out)
    catalogue = load_catalogue()
    plan = make_plan(read_spec(chosen.spec, [], catalogue=catalogue), catalogue)
    dataset = build_parts(plan, ("data",), catalogue)["data"]
    probe = train(dataset, steps=chosen.steps, seed=chosen.seed)
    write_tensors(
        chosen.out, {name: value.to(torch.float16) for name, value in probe.state_dict().items()}, {}
    )
    print(f"wrote {chosen.out}")
    return 0


def _said(caption: str) -> set[str | tuple[str, str]]:
    words = caption.lower().replace(",", " ").replace(".", " ").split()
    return {*words, *combinations(words, 2)}


@torch.no_grad()
def _standardise(probe: Probe, dataset: Any, seed: int) -> None:
    """Fold into the last layer the shift and scale that bring its outputs to mean 0 and variance 1."""
    found = torch.cat([probe(dataset.batch(seed, step, 256)[0]) for step in range(_IMAGES // 256)])
    scale = found.std(0).clamp(min=1e-6)
    probe.last.weight /= scale[:, None]
    probe.last.bias.copy_((probe.last.bias - found.mean(0)) / scale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
