"""Captions in other words, buckets, and that a sample is the same in whichever batch it comes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glidepath.core import PartError
from glidepath.plugins.train.data.buckets import BucketOrder, bucket_sizes, nearest_size
from glidepath.plugins.train.data.captions import drawn
from glidepath.plugins.train.data.configs import (
    CaptionedFolderConfig,
    ColourJitterConfig,
    CropConfig,
    FlipConfig,
    PicturesConfig,
)
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.data.transform import ColourJitter, Crop, Flip

DRAWING = (Crop(CropConfig(least=0.5)), Flip(FlipConfig(words="swap")), ColourJitter(ColourJitterConfig()))


def said(captions: list[str], count: int = 3000, **changes: Any) -> Counter[str]:
    config = PicturesConfig(**changes)
    return Counter(drawn(captions, config, np.random.default_rng(seed)) for seed in range(count))


def test_every_caption_in_every_template_comes_alike() -> None:
    found = said(
        ["a cat", "the cat"], templates=("{caption}", "a photo of {caption}", "{caption}, {caption}")
    )
    assert found.keys() == {
        *("a cat", "a photo of a cat", "a cat, a cat"),
        *("the cat", "a photo of the cat", "the cat, the cat"),
    }
    assert all(count == pytest.approx(500, abs=100) for count in found.values())


def test_parts_of_a_caption_are_left_out_each_by_itself_and_never_the_first() -> None:
    found = said(["a cat, red, small"], part_dropout=0.25)
    shares = {caption: count / 3000 for caption, count in found.items()}
    wanted = {"a cat, red, small": 9, "a cat, red": 3, "a cat, small": 3, "a cat": 1}
    assert shares == {caption: pytest.approx(share / 16, abs=0.03) for caption, share in wanted.items()}


def test_a_template_without_a_place_for_the_caption_is_refused() -> None:
    with pytest.raises(ValueError, match="templates"):
        PicturesConfig(templates=("a photo",))
    assert said(["{0.__class__} {x}"], count=9, templates=("{caption}!",)).keys() == {"{0.__class__} {x}!"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 pictures of different proportions, whose captions name them."""
    lines = []
    for index in range(40):
        width, height = 24 + index, 64 - index
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        lines.append(
            {"file_name": f"{index}.png", "text": [f"{index}", f"{index}, left"], "class": index % 3}
        )
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def dataset(folder: Path, *transforms: Any, **changes: Any) -> CaptionedFolder:
    return CaptionedFolder(CaptionedFolderConfig(folder=folder, size=16, **changes), transforms)


def test_a_batch_is_the_same_in_pieces(photos: Path) -> None:
    """So that processes which share a batch see what one alone would."""
    whole = dataset(photos, *DRAWING, part_dropout=0.5, label="class")
    images, captions = whole.batch(3, 5, 12)
    parts = [dataset(photos, *DRAWING, part_dropout=0.5, label="class") for _ in range(3)]
    pieces = [part.batch(3, 3 * 5 + rank, 4) for rank, part in enumerate(parts)]
    assert torch.equal(images, torch.cat([piece for piece, _ in pieces]))
    assert captions == [caption for _, texts in pieces for caption in texts]
    labels = torch.cat([part.labels(3, 15 + rank, 4) for rank, part in enumerate(parts)])
    assert whole.labels(3, 5, 12).tolist() == labels.tolist()
    assert labels.tolist() == [int(caption.split(",")[0]) % 3 for caption in captions]


def test_a_picture_is_drawn_anew_in_each_epoch(photos: Path) -> None:
    many = dataset(photos, *DRAWING)
    seen: dict[str, list[torch.Tensor]] = {}
    for step in range(2):
        for image, caption in zip(*many.batch(0, step, 40), strict=True):
            seen.setdefault(caption.split(",")[0], []).append(image)
    assert all(len(images) == 2 and not torch.equal(*images) for images in seen.values())


@given(st.integers(1, 64), st.integers(1, 16), st.floats(1, 4))
def test_sizes_of_buckets_are_as_large_as_their_number_of_pixels_allows(
    size: int, step: int, ratio: float
) -> None:
    sizes = bucket_sizes(size, step, ratio)
    assert bool(sizes) == (step <= size)
    for height, width in sizes:
        assert height % step == width % step == 0
        assert height * width <= size * size
        assert max(height, width) <= ratio * min(height, width) + 1e-9
        assert (width, height) in sizes
    if size % step == 0:
        assert (size, size) in sizes


def test_a_picture_is_put_where_its_proportions_are_nearest() -> None:
    sizes = bucket_sizes(512, 64, 2.0)
    assert {(512, 512), (448, 576), (384, 640), (640, 384)} <= {*sizes}
    assert sizes[nearest_size(1000, 1000, sizes)] == (512, 512)
    assert sizes[nearest_size(1300, 1000, sizes)] == (448, 576)
    assert sizes[nearest_size(800, 1330, sizes)] == (640, 384)
    assert nearest_size(10_000, 10, sizes) == 0
    assert nearest_size(10, 10_000, sizes) == len(sizes) - 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 12), st.integers(0, 99))
def test_every_batch_of_every_bucket_comes_once_whatever_their_sizes(
    counts: list[int], size: int, seed: int
) -> None:
    order = BucketOrder(counts)
    given = [4 * count // size for count in counts]  # batches of each bucket in four epochs
    batches = [order.at(seed, step, size) for step in range(sum(given))]
    assert sorted(batches) == [(bucket, it) for bucket, some in enumerate(given) for it in range(some)]


def test_a_batch_of_buckets_has_one_size_and_no_picture_is_left_out(photos: Path) -> None:
    bucketed = dataset(photos, bucket_step=4, label="class")
    assert len(bucketed.sizes) > 2
    seen: Counter[str] = Counter()
    shapes = set()
    for step in range(60):
        images, captions = bucketed.batch(1, step, 4)
        height, width = images.shape[2:]
        shapes.add((height, width))
        for caption, label in zip(captions, bucketed.labels(1, step, 4).tolist(), strict=True):
            index = int(caption.split(",")[0])
            seen[str(index)] += 1
            assert label == index % 3
            wanted = (24 + index) / (64 - index)
            others = [abs(np.log(w / h) - np.log(wanted)) for h, w in bucketed.sizes]
            assert abs(np.log(width / height) - np.log(wanted)) == pytest.approx(min(others))
    assert shapes == {*bucketed.sizes}
    assert len(seen) == 40
    assert 4 <= min(seen.values()) <= max(seen.values()) <= 8


def test_a_bucket_step_that_allows_no_size_is_refused(photos: Path) -> None:
    with pytest.raises(PartError, match="no size of sides that are multiples of bucket_step, 20"):
        dataset(photos, bucket_step=20)
