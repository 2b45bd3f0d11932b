"""Draws of captioned scenes: pure functions of their arguments, and splits that never mix."""

import numpy as np
import pytest
import torch

from glidepath.plugins.shapes.captions import is_held_out_caption, parse
from glidepath.plugins.shapes.draws import SPLITS, prompts, sample_batch
from glidepath.plugins.shapes.reader import read
from glidepath.plugins.shapes.scenes import HELD_OUT_PAIRS, HELD_OUT_TRIPLES, is_held_out

pytestmark = pytest.mark.thorough


def breaks_the_hold_out(caption: str) -> bool:
    """Whether a caption, by its own words, is about a held-out pair or triple."""
    claim = parse(caption)
    if any((item.shape, item.color) in HELD_OUT_PAIRS for item in claim.objects):
        return True
    return claim.relation is not None and (
        (claim.objects[0].shape, claim.relation, claim.objects[1].shape) in HELD_OUT_TRIPLES
    )


def test_seed_step_and_split_each_change_the_batch() -> None:
    batches = [
        sample_batch(seed, step, 32, split)[1]
        for seed, step, split in [
            (0, 0, "train"),
            (1, 0, "train"),
            (0, 1, "train"),
            (0, 0, "unseen"),
            (0, 0, "held-out"),
        ]
    ]
    assert len({tuple(batch) for batch in batches}) == len(batches)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_batch_has_images_in_range_and_as_many_captions(size: int) -> None:
    images, captions = sample_batch(0, 0, 8, image_size=size)
    assert images.shape == (8, 3, size, size)
    assert images.dtype == torch.float32
    assert images.min() >= -1
    assert images.max() <= 1
    assert len(captions) == 8


def test_training_never_draws_what_is_held_out_in_20000_draws() -> None:
    captions = [caption for step in range(20) for caption in sample_batch(0, step, 1000, image_size=4)[1]]
    assert not any(is_held_out_caption(caption) for caption in captions)
    assert not any(breaks_the_hold_out(caption) for caption in captions)
    assert np.mean([len(parse(caption).objects) == 2 for caption in captions]) == pytest.approx(
        0.65, abs=0.017
    )


def test_objects_have_the_sizes_that_are_asked_for_and_captions_say_no_other() -> None:
    _, captions = sample_batch(0, 0, 300, image_size=16, sizes=("large",))
    said = {item.size for caption in captions for item in parse(caption).objects}
    assert said == {"large", None}
    small = sample_batch(0, 0, 20, two_objects=0, sizes=("small",))[0]
    assert {item.size for reading in read(small) for item in reading.objects} == {"small"}


@pytest.mark.parametrize("objects", [1, 2])
def test_unseen_prompts_are_held_out_captions_of_seen_combinations(objects: int) -> None:
    for caption, scene in prompts(200, "unseen", objects):
        assert is_held_out_caption(caption)
        assert not breaks_the_hold_out(caption)
        assert not is_held_out(scene)


@pytest.mark.parametrize("objects", [1, 2])
def test_held_out_prompts_are_about_held_out_combinations(objects: int) -> None:
    for caption, scene in prompts(200, "held-out", objects):
        assert breaks_the_hold_out(caption)
        assert is_held_out(scene)


@pytest.mark.parametrize("two_objects", [0.0, 0.3, 1.0])
def test_the_share_of_two_object_scenes_is_as_asked(two_objects: float) -> None:
    _, captions = sample_batch(0, 0, 2000, image_size=4, two_objects=two_objects)
    share = np.mean([len(parse(caption).objects) == 2 for caption in captions])
    assert share == pytest.approx(two_objects, abs=0.05 if 0 < two_objects < 1 else 0)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("objects", [1, 2])
def test_prompts_are_distinct_repeatable_and_about_their_scenes(split: str, objects: int) -> None:
    found = prompts(100, split, objects, seed=4)
    assert len({caption for caption, _ in found}) == 100
    assert found == prompts(100, split, objects, seed=4)
    assert found[:50] == prompts(50, split, objects, seed=4)
    for caption, scene in found:
        claim = parse(caption)
        assert len(claim.objects) == len(scene.objects) == objects
        assert {(item.shape, item.color) for item in claim.objects} == {
            (item.shape, item.color) for item in scene.objects
        }


def test_asking_for_more_prompts_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"too few captions of 1 object\(s\): asked for 100000"):
        prompts(100_000, "held-out", 1)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'test' is not one of train, unseen, held-out"):
        sample_batch(0, 0, 1, "test")
    with pytest.raises(ValueError, match="'test' is not one of"):
        prompts(1, "test")
