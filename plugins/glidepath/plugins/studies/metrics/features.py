"""Features of images for metrics that compare sets of them: a small probe network that comes with glidepath.

The probe was trained to tell, from an image, the words of its caption, which of two words comes first, and
how the image was spoiled, if it was. Nothing of it has a part in making images, so no arm of a study can win
by being steered by it. A feature is the output of its last layer but one, shifted and scaled to mean 0 and
variance 1 on real images, so that a distance of about sqrt(2 * 64) lies between two unrelated ones.

`features_training.py` trains it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from glidepath.registry import WeightsError, file_sha256, load_module, read_tensors

#: The weights that ship, in float16.
WEIGHTS: Final = Path(__file__).with_name("probe.safetensors")
#: Numbers that describe an image. Few, because a Frechet distance needs many more images than features.
WIDTH: Final = 64
#: Height and width at which the probe looks at an image, in pixels.
SIZE: Final = 32

_BATCH: Final = 256

Array = npt.NDArray[np.float64]


class Probe(nn.Module):
    """A convolutional network of 0.13 million parameters: images to `WIDTH` features.

    The image is read at 32 x 32; the map of 4 x 4 positions before the last layer is kept whole, so that
    features know where something is, not only that it is there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2, padding=1),
            nn.GELU(),
            nn.GroupNorm(8, 32),
            nn.Conv2d(32, 48, 3, stride=2, padding=1),
            nn.GELU(),
            nn.GroupNorm(8, 48),
            nn.Conv2d(48, 64, 3, padding=1),
            nn.GELU(),
            nn.GroupNorm(8, 64),
            nn.Conv2d(64, 56, 3, stride=2, padding=1),
            nn.GELU(),
        )
        self.last = nn.Linear(56 * (SIZE // 8) ** 2, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] to features [N, WIDTH]; other sizes than 32 x 32 are resampled."""
        if images.shape[-2:] != (SIZE, SIZE):
            images = functional.interpolate(
                images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False
            )
        features: Tensor = self.last(self.maps(images).flatten(1))
        return features


def load_probe(path: Path = WEIGHTS) -> Probe:
    """The trained probe, in float32 on the host, ready to be asked.

    Raises:
        WeightsError: the file is missing or damaged, or holds the weights of something else.
    """
    if not path.is_file():
        raise WeightsError(
            f"the weights of the probe are not at {path}; "
            "python -m glidepath.plugins.studies.metrics.train_probe trains them"
        )
    probe = Probe()
    load_module(probe, read_tensors(path), part="probe", file=path)
    return probe.eval().requires_grad_(False)


def probe_name() -> str:
    """What the features are called: values of metrics compare only where this is the same."""
    return f"probe-{file_sha256(WEIGHTS)[:12]}"


@torch.no_grad()
def features(images: Tensor, probe: Probe) -> Array:
    """Features of images, [N, WIDTH] float64.

    images: [N, 3, H, W], uint8 or floating point in [-1, 1]; on any device.

    Raises:
        ValueError: the images have another shape or type, or hold NaN.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be [N, 3, H, W], not {list(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8 or floating point in [-1, 1], not {images.dtype}")
    found = [np.empty((0, WIDTH))]
    for some in torch.split(images, _BATCH):
        pixels = some.cpu().float()
        if images.dtype == torch.uint8:
            pixels = pixels / 127.5 - 1.0
        if not bool(torch.isfinite(pixels).all()):
            raise ValueError("images hold values that are not finite")
        found.append(probe(pixels).double().numpy())
    return np.concatenate(found)
