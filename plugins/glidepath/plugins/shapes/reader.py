"""Reads images of shapes from their pixels alone.

The reading is classical: the background is the border's color; connected regions of other colors are
objects; the shape is the one of the six whose rendering, at the area and centroid of the region, has its
outline nearest to the region's. What fits no background, color or shape well enough is read as `NOTHING`,
which no caption says.

Dimensions in the names of arrays: B images, C channels, K palette colors, N regions, H rows, W columns.
"""

import collections
import functools
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glidepath.plugins.shapes.scenes import BACKGROUNDS, COLORS, RADII, RGB, SHAPES, coverage

#: Read where nothing known fits.
NOTHING: Final = "none"

#: Largest mean distance between the outlines of a region and of the shape it is read as, as a share of the
#: radius; and the same as a share of the image width (0.45 pixels of 32), which holds for large objects.
#: The nearest strangers, such as a square on its corner to a disc, are at 0.07 of the radius or more.
MAX_DISPLACEMENT: Final = (0.065, 0.45 / 32)
#: Largest ratio of the area between those outlines to the one for the second best shape; a region that is
#: as much the one as the other is neither.
MAX_AMBIGUITY: Final = 0.8
#: Least area of an object, as a share of the image; smaller regions are specks (8 pixels of 32 x 32).
MIN_AREA: Final = 8 / 1024
# Largest distance in RGB at which a color still takes a name. Half the distance between white and pink, the
# closest backgrounds, is 0.18; half that between blue and purple, the closest object colors, is 0.29.
_MAX_BACKGROUND_DISTANCE: Final = 0.25
_MAX_COLOR_DISTANCE: Final = 0.29
# Distance in RGB from every mixture of the background with a palette color beyond which a pixel is something
# else, and so belongs to an object whatever its color.
_MAX_RESIDUAL: Final = 0.25
# Distance in RGB from the background beyond which a pixel is not background: half the least contrast that
# an object color has with a background (purple on grey, 0.55).
_MIN_CONTRAST: Final = 0.27
# Images read at a time, to bound the memory.
_CHUNK: Final = 256

_Array = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.bool_]


@attrs.frozen
class ReadObject:
    """An object as read. `shape` and `color` may be `NOTHING`; lengths are fractions of the image width.

    `confidence` is 1 where the outline is that of the shape, and falls to 0 at `MAX_DISPLACEMENT`.
    """

    shape: str
    color: str
    size: str
    center: tuple[float, float]
    radius: float
    confidence: float


@attrs.frozen
class Reading:
    """What an image shows: background (may be `NOTHING`) and objects, the largest first."""

    background: str
    objects: tuple[ReadObject, ...]


def read(images: Tensor | npt.NDArray[np.generic]) -> list[Reading]:
    """Read a batch of images.

    Args:
        images: [B, 3, S, S]; uint8 in [0, 255], or floating point in [-1, 1] (values beyond are clipped).

    Raises:
        ValueError: another shape, another number type, or a value that is not finite.
    """
    pixels = _unit_pixels(images)
    return [
        reading
        for start in range(0, len(pixels), _CHUNK)
        for reading in _read(pixels[start : start + _CHUNK])
    ]


def size_word(radius: float, objects: int) -> str:
    """What a caption calls an object of this radius ("small", "large") in an image of `objects` objects.

    The threshold is halfway between the nominal radii; those of two objects serve for any larger number.
    """
    count = min(max(objects, 1), 2)
    return "small" if radius < (RADII[count, "small"] + RADII[count, "large"]) / 2 else "large"


def _read(pixels: _Array) -> list[Reading]:
    backgrounds = _border_colors(pixels)
    regions = [
        region
        for index, mixture in enumerate(_mixtures(pixels, backgrounds))
        for region in _regions(index, pixels[index], backgrounds[index], mixture)
    ]
    counts = collections.Counter(region.image for region in regions)
    found: list[list[ReadObject]] = [[] for _ in pixels]
    for region, (shape, center, radius, confidence) in zip(regions, _fit(regions), strict=True):
        found[region.image].append(
            ReadObject(
                shape=shape,
                color=_nearest(region.color, COLORS, _MAX_COLOR_DISTANCE),
                size=size_word(radius, counts[region.image]),
                center=center,
                radius=radius,
                confidence=confidence,
            )
        )
    return [
        Reading(
            _nearest(background, BACKGROUNDS, _MAX_BACKGROUND_DISTANCE),
            tuple(sorted(items, key=lambda item: -item.radius)),
        )
        for background, items in zip(backgrounds, found, strict=True)
    ]


@attrs.frozen(eq=False)
class _Region:
    """A connected patch of one color. `alpha` [S, S] is its share of each pixel, not clipped to [0, 1]."""

    image: int
    color: _Array
    alpha: _Array


@attrs.frozen(eq=False)
class _Mixture:
    """The best account of every pixel of one image as background mixed with one palette color; all [S, S].

    `alpha` is the color's share (not clipped), `color` its index in `COLORS`, `residual` the distance that
    is left, and `labels` numbers the connected parts of the foreground from 1, with 0 elsewhere.
    """

    alpha: _Array
    color: npt.NDArray[np.int64]
    residual: _Array
    labels: npt.NDArray[np.int64]


def _unit_pixels(images: Tensor | npt.NDArray[np.generic]) -> _Array:
    """[B, 3, S, S] in [0, 1]."""
    tensor = torch.as_tensor(images).detach().cpu()
    if tensor.ndim != 4 or tensor.shape[1] != 3 or tensor.shape[2] != tensor.shape[3]:
        raise ValueError(f"images must be [B, 3, S, S], not {list(tensor.shape)}")
    if tensor.dtype == torch.uint8:
        tensor = tensor.float() / 255.0
    elif tensor.is_floating_point():
        if not torch.isfinite(tensor).all():
            raise ValueError("images hold values that are not finite")
        tensor = (tensor.float() * 0.5 + 0.5).clamp(0.0, 1.0)
    else:
        raise ValueError(f"images must be uint8 or floating point, not {tensor.dtype}")
    pixels: _Array = tensor.numpy()
    return pixels


def _border_colors(pixels: _Array) -> _Array:
    """[B, 3]: the median over the outermost ring of pixels, which the margin keeps clear of objects."""
    border = np.ones(pixels.shape[2:], dtype=np.bool_)
    border[1:-1, 1:-1] = False
    colors: _Array = np.median(pixels[:, :, border], axis=2)
    return colors


def _mixtures(pixels: _Array, backgrounds: _Array) -> list[_Mixture]:
    offset_BCHW = pixels - backgrounds[:, :, None, None]
    direction_BKC = _colors_array() - backgrounds[:, None, :]
    length_BK = np.maximum((direction_BKC**2).sum(2), 1e-6)
    alpha_BKHW = np.einsum("bchw,bkc->bkhw", offset_BCHW, direction_BKC) / length_BK[:, :, None, None]
    shares_BKHW = alpha_BKHW.clip(0.0, 1.0)
    # |offset - share * direction|^2, multiplied out so that no [B, K, C, H, W] array is made.
    explained_BKHW = (2.0 * alpha_BKHW - shares_BKHW) * shares_BKHW * length_BK[:, :, None, None]
    squares_BKHW = (offset_BCHW**2).sum(1)[:, None] - explained_BKHW
    color_BHW = squares_BKHW.argmin(1)
    alpha_BHW = np.take_along_axis(alpha_BKHW, color_BHW[:, None], 1)[:, 0]
    residual_BHW = np.sqrt(np.maximum(squares_BKHW.min(1), 0.0))
    clear_BHW: _Mask = (alpha_BHW > 0.5) | (residual_BHW > _MAX_RESIDUAL)
    # A pale patch counts as well, unless it is the soft edge of something clear.
    pale_BHW = (np.linalg.norm(offset_BCHW, axis=1) > _MIN_CONTRAST) & ~_dilate(clear_BHW, 2)
    labels_BHW = _label(clear_BHW | pale_BHW)
    return [_Mixture(*parts) for parts in zip(alpha_BHW, color_BHW, residual_BHW, labels_BHW, strict=True)]


def _label(mask_BHW: _Mask) -> npt.NDArray[np.int64]:
    """Number the 8-connected parts of every mask, by spreading the largest pixel number through each."""
    height, width = mask_BHW.shape[1:]
    numbers = np.arange(1, height * width + 1, dtype=np.int64).reshape(1, height, width)
    labels = np.where(mask_BHW, numbers, 0)
    while True:
        padded = np.pad(labels, ((0, 0), (1, 1), (1, 1)))
        rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
        spread = np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
        spread = np.where(mask_BHW, spread, 0)
        if np.array_equal(spread, labels):
            return labels
        labels = spread


def _regions(index: int, pixels: _Array, background: _Array, mixture: _Mixture) -> list[_Region]:
    """The objects of one image: connected parts of the foreground, split where two colors touch."""
    least = MIN_AREA * mixture.labels.size
    masks: list[_Mask] = []
    for label in np.unique(mixture.labels[mixture.labels > 0]):
        part: _Mask = mixture.labels == label
        masks += [mask for mask in _split_by_color(part, mixture, least) if mask.sum() >= least]
    offset = pixels - background[:, None, None]
    regions = []
    for mask in masks:
        others = functools.reduce(
            np.logical_or, (other for other in masks if other is not mask), ~mask & mask
        )
        # Edge pixels less than half covered are outside the mask; the specks around are not this object's.
        reach = (_dilate(mask, 2) & ~_dilate(others, 1)) | mask
        # Measured by the object's own strongest pixels: thin strokes are nowhere covered whole in an image
        # that is a little soft.
        strong = np.quantile(mixture.alpha[mask], 0.8)
        core = mask & (mixture.alpha >= strong - 0.15 * abs(strong))
        color: _Array = np.median(pixels[:, core], axis=1)
        direction = color - background
        alpha = np.tensordot(direction, offset, 1) / max(float((direction**2).sum()), 1e-6)
        regions.append(_Region(index, color, np.where(reach, alpha, 0.0).astype(np.float32)))
    return regions


def _split_by_color(part: _Mask, mixture: _Mixture, least: float) -> list[_Mask]:
    """The part itself, or one mask for each color that fills a fair share of it."""
    solid = part & (mixture.alpha > 0.75) & (mixture.residual < _MAX_RESIDUAL)
    counts = np.bincount(mixture.color[solid], minlength=len(COLORS))
    # A thin rim of a wrong color around an object is a flaw of that object, not another one.
    present = np.flatnonzero((counts >= least) & (counts >= 0.2 * counts.sum()))
    if len(present) < 2:
        return [part]
    return [part & (mixture.color == color) for color in present]


def _dilate(mask: _Mask, steps: int) -> _Mask:
    """Grow masks, [..., H, W], by `steps` pixels in all eight directions."""
    for _ in range(steps):
        padded = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(1, 1), (1, 1)])
        rows = padded[..., :-2, :] | padded[..., 1:-1, :] | padded[..., 2:, :]
        mask = rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:]
    return mask


def _fit(regions: list[_Region]) -> list[tuple[str, tuple[float, float], float, float]]:
    """Shape (or `NOTHING`), centre, radius and confidence of every region.

    Each shape is rendered where it has the region's area and centroid, which needs no search. The best one
    leaves the least area between the two outlines; over the length of the outline, that area is the mean
    distance between them.
    """
    if not regions:
        return []
    alpha_NHW = torch.from_numpy(np.stack([region.alpha for region in regions]))
    size = alpha_NHW.shape[-1]
    axis = (torch.arange(size) + 0.5) / size
    # Moments of the unclipped shares: clipping first would turn noise around the object into area.
    mass_N = alpha_NHW.sum((1, 2)).clamp(min=1e-3)
    y_N, x_N = ((alpha_NHW.sum(along) * axis).sum(1) / mass_N for along in (2, 1))
    soft_NHW = _soften(alpha_NHW)
    fits = []
    for shape in SHAPES:
        outline = _outline(shape)
        radius_N = (mass_N / outline.area).sqrt() / size
        center_y_N = y_N - outline.drop * radius_N
        drawn_NHW = coverage(shape, torch.stack([center_y_N, x_N], 1), radius_N, size)
        between_N = (_soften(drawn_NHW) - soft_NHW).abs().sum((1, 2)) / size**2
        limit_N = (MAX_DISPLACEMENT[0] * radius_N).clamp(max=MAX_DISPLACEMENT[1])
        confidence_N = 1.0 - between_N / (outline.length * radius_N) / limit_N
        fits.append(torch.stack([between_N, confidence_N, radius_N, center_y_N, x_N]))
    results = []
    for rows in torch.stack(fits).permute(2, 0, 1).tolist():
        # Tuples sort by the area between first.
        best, second = sorted(zip(rows, SHAPES, strict=True))[:2]
        (between, confidence, radius, y, x), shape = best
        clear = confidence >= 0.0 and between <= MAX_AMBIGUITY * second[0][0]
        results.append((shape if clear else NOTHING, (y, x), radius, max(confidence, 0.0)))
    return results


def _soften(mask_NHW: Tensor) -> Tensor:
    """Level what is nearly 0 or 1, then blur by [1, 2, 1] / 4 both ways.

    Neither moves an outline; the first takes away noise and blotches, the second differences in sharpness.
    """
    levelled = ((mask_NHW - 0.1) / 0.8).clamp(0.0, 1.0)
    padded = torch.nn.functional.pad(levelled, (1, 1, 1, 1))
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


@attrs.frozen
class _Outline:
    """A shape at nominal radius 1; `drop` is how far its centroid lies below the centre of its box."""

    area: float
    length: float
    drop: float


@functools.cache
def _outline(shape: str) -> _Outline:
    """Measured on a large rendering, so that the renderer alone defines the shapes."""
    size, radius = 512, 0.3
    mask = coverage(shape, torch.tensor([[0.5, 0.5]]), torch.tensor([radius]), size)[0].double()
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    slope_y, slope_x = torch.gradient(mask)
    return _Outline(
        area=float(mask.sum()) / (size * radius) ** 2,
        # The total variation of a mask is the length of its outline.
        length=float(torch.hypot(slope_y, slope_x).sum()) / (size * radius),
        drop=(float((mask.sum(1) * axis).sum() / mask.sum()) - 0.5) / radius,
    )


def _nearest(color: _Array, names: Sequence[str], limit: float) -> str:
    distances = [float(np.linalg.norm(color - np.array(RGB[name]))) for name in names]
    best = int(np.argmin(distances))
    return names[best] if distances[best] <= limit else NOTHING


@functools.cache
def _colors_array() -> _Array:
    """[6, 3] in [0, 1], in the order of `COLORS`."""
    return np.array([RGB[name] for name in COLORS], dtype=np.float32)
