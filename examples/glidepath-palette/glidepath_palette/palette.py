"""The value of the condition, and how it is taken from a picture.

Shapes: B images, N pixels, K colours.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

MOST = 5
"""How many colours a palette has at most."""


@attrs.frozen(eq=False)
class Palette:
    """The main colours of B images.

    colours: [B, MOST, 3] in [-1, 1], the share of the image that they cover from large to small.
    mask: [B, MOST] bool, True where there is a colour.
    """

    colours: Tensor
    mask: Tensor


def palettes(pictures: Tensor, count: int = MOST) -> Palette:
    """The palettes of pictures [B, 3, H, W] uint8: their pixels, or where those are many, `count` colours."""
    pixels = (pictures.float() / 127.5 - 1).flatten(2).transpose(1, 2)
    if pixels.shape[1] > MOST:
        pixels = torch.stack([median_cut(row, count) for row in pixels])
    known = pixels.shape[1]
    colours = torch.zeros(len(pixels), MOST, 3)
    colours[:, :known] = pixels
    return Palette(colours, (torch.arange(MOST) < known).expand(len(pixels), -1))


def median_cut(pixels: Tensor, count: int) -> Tensor:
    """The means of `count` boxes of pixels [N, 3]: [count, 3] (Heckbert 1982, "Color Image Quantization").

    The box whose channel spreads furthest is cut at the middle of that channel's range, which tells colours
    apart that cover little. What cannot be cut any more is repeated.
    """
    boxes = [pixels]
    while len(boxes) < count:
        spreads = [box.amax(0) - box.amin(0) for box in boxes]
        index = max(range(len(boxes)), key=lambda place: float(spreads[place].max()))
        channel = int(spreads[index].argmax())
        if not float(spreads[index][channel]):
            boxes.append(boxes[0])
            continue
        box = boxes.pop(index)
        values = box[:, channel]
        upper = values > (values.amax() + values.amin()) / 2
        boxes += [box[~upper], box[upper]]
    boxes.sort(key=len, reverse=True)
    return torch.stack([box.mean(0) for box in boxes])
