"""The judge: a small network that says what a picture shows, trained on all real pictures.

Held-out ones too: it measures, and nothing that makes images learns from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from glidepath.core import GlidepathError
from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.plugins.emoji.table import Listing
from glidepath.registry import utf_8_name

#: The weights that ship, in float16, with the listing of the pictures that they were trained on.
WEIGHTS: Final = Path(__file__).with_name("judge.safetensors")

FORMAT: Final = "glidepath-emoji-judge-1"

#: Height and width at which it looks at a picture, in pixels.
SIZE: Final = 32

_FEATURES: Final = 192
_BATCH: Final = 128


@attrs.frozen(eq=False)
class Logits:
    """What it says of N images. thing: [N, things]; style: [N, styles]; tone: [N, tones]."""

    thing: Tensor
    style: Tensor
    tone: Tensor


class Judge(nn.Module):
    """A convolutional network of 1.1 million parameters.

    Its last map is kept whole, so that it knows where something is, not only that it is there.
    """

    def __init__(self, things: int) -> None:
        super().__init__()
        widths = ((3, 48, 2), (48, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 2))
        self.maps = nn.Sequential(*(_layer(*width) for width in widths))
        self.last = nn.Linear(128 * (SIZE // 8) ** 2, _FEATURES)
        self.norm = nn.BatchNorm1d(_FEATURES)
        self.heads = nn.ModuleDict(
            {
                "thing": nn.Linear(_FEATURES, things),
                "style": nn.Linear(_FEATURES, len(STYLES)),
                "tone": nn.Linear(_FEATURES, len(TONES)),
            }
        )

    def features(self, images: Tensor) -> Tensor:
        """Images [N, 3, S, S] in [-1, 1] to features [N, 192]; sizes above 32 x 32 are averaged down."""
        if images.shape[-2:] != (SIZE, SIZE):
            images = functional.interpolate(images, (SIZE, SIZE), mode="area")
        features: Tensor = functional.relu(self.norm(self.last(self.maps(images).flatten(1))))
        return features

    def forward(self, images: Tensor) -> Logits:
        """What images [N, 3, S, S] in [-1, 1] show."""
        features = self.features(images)
        return Logits(**{name: head(features) for name, head in self.heads.items()})


@attrs.frozen(eq=False)
class TrainedJudge:
    """The network, and the pictures that it was trained on."""

    network: Judge
    listing: Listing

    @torch.no_grad()
    def look(self, images: Tensor) -> Logits:
        """What images [N, 3, S, S] show, uint8 or in [-1, 1]; on the host."""
        batches = [self.network(batch) for batch in _pixels(images)]
        names = ("thing", "style", "tone")
        return Logits(**{name: torch.cat([getattr(batch, name) for batch in batches]) for name in names})


@torch.no_grad()
def features(images: Tensor) -> Tensor:
    """Features [N, 192] of images [N, 3, S, S] uint8, as `features: FILE.py` of a metric asks for them."""
    network = load_judge().network
    return torch.cat([network.features(batch) for batch in _pixels(images)])


def load_judge(path: Path = WEIGHTS) -> TrainedJudge:
    """The trained judge, in float32 on the host.

    Raises:
        GlidepathError: the file is missing, or holds something else.
    """
    how = "`glidepath emoji-judge` trains it"
    try:
        with utf_8_name(path) as name, safe_open(name, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise GlidepathError(f"cannot read the judge of emoji {path}: {error}; {how}") from error
    if header.get("format") != FORMAT:
        raise GlidepathError(f"{path} is no judge of emoji that this version reads ({FORMAT}); {how}")
    listing = Listing.of(
        {name.removeprefix("of."): tensor for name, tensor in tensors.items()}, header["things"]
    )
    network = Judge(len(listing.things))
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("of.")}
    network.load_state_dict(weights)
    return TrainedJudge(network.eval().requires_grad_(False), listing)


def judge_tensors(network: Judge, listing: Listing) -> dict[str, Tensor]:
    """What its file holds: weights in float16, and the columns of the listing."""
    weights = network.state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    return {**halves, **{f"of.{name}": column for name, column in listing.columns().items()}}


def top(logits: Tensor, right: Sequence[int] | Tensor, k: int = 1) -> Tensor:
    """Whether the right answer of each row is among its k highest: [N] bool."""
    wanted = torch.as_tensor(right)[:, None]
    return (logits.topk(min(k, logits.shape[1]), dim=1).indices == wanted).any(1)


def _pixels(images: Tensor) -> tuple[Tensor, ...]:
    """Batches in [-1, 1]."""
    pixels = images.cpu().float()
    return torch.split(pixels / 127.5 - 1 if images.dtype == torch.uint8 else pixels, _BATCH)


def _layer(inputs: int, outputs: int, stride: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
