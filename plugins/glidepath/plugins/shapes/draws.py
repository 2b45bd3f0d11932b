"""Captioned draws of a split: training batches, and prompts for evaluation.

Splits: "train"; "unseen" (seen combinations, caption strings kept from training); "held-out" (a shape and
color pair, or a shape-relation-shape triple, that training never sees).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from torch import Tensor

from glidepath.plugins.shapes.captions import describe, is_held_out_caption
from glidepath.plugins.shapes.scenes import SIZES, Scene, is_held_out, render, sample_scene

SPLITS: Final = ("train", "unseen", "held-out")

#: The share of a batch's captions of two objects that begin with the upper or left one (see `describe`).
#: Prompts for evaluation begin with either equally often.
NEAR_FIRST: Final = 0.85

# Tells the random streams of `prompts` apart from those of `sample_batch` at the same seed.
_PROMPT_STREAM: Final = 1 << 40


def sample_batch(
    seed: int,
    step: int,
    batch_size: int,
    split: str = "train",
    *,
    image_size: int = 32,
    two_objects: float = 0.65,
    sizes: Sequence[str] = SIZES,
) -> tuple[Tensor, list[str]]:
    """The batch of training step `step`: a pure function of its arguments.

    Args:
        seed: of the run; not negative.
        step: of the run; not negative.
        batch_size: number of images.
        split: one of `SPLITS`.
        image_size: height and width in pixels.
        two_objects: expected share of scenes with two objects, in [0, 1].
        sizes: some of `SIZES`, that objects have.

    Returns:
        Images, float32 [batch_size, 3, image_size, image_size] in [-1, 1], and their captions.

    Raises:
        ValueError: unknown split.
    """
    rng = np.random.default_rng((seed, step, _split_index(split)))
    draws = [
        _draw(rng, split, 2 if rng.random() < two_objects else 1, NEAR_FIRST, sizes)
        for _ in range(batch_size)
    ]
    return render([scene for _, scene in draws], image_size), [caption for caption, _ in draws]


def prompts(n: int, split: str, objects: int = 1, seed: int = 0) -> list[tuple[str, Scene]]:
    """`n` distinct captions of a split about `objects` (1 or 2) objects, each with a scene that it describes.

    Raises:
        ValueError: unknown split, or a split that does not seem to have `n` distinct captions.
    """
    rng = np.random.default_rng((seed, _PROMPT_STREAM, _split_index(split), objects))
    found: dict[str, Scene] = {}
    misses = 0
    while len(found) < n:
        caption, scene = _draw(rng, split, objects)
        # Distinct captions are drawn with unequal chances; a long run without a new one means few are left.
        misses = misses + 1 if caption in found else 0
        if misses > 2000:
            raise ValueError(
                f"split {split!r} has too few captions of {objects} object(s): "
                f"asked for {n}, found {len(found)}"
            )
        found.setdefault(caption, scene)
    return list(found.items())


def _draw(
    rng: np.random.Generator,
    split: str,
    objects: int,
    near_first: float = 0.5,
    sizes: Sequence[str] = SIZES,
) -> tuple[str, Scene]:
    while True:
        scene = sample_scene(rng, objects)
        if is_held_out(scene) != (split == "held-out") or any(it.size not in sizes for it in scene.objects):
            continue
        caption = describe(scene, rng, near_first=near_first)
        if split == "held-out" or is_held_out_caption(caption) == (split == "unseen"):
            return caption, scene


def _split_index(split: str) -> int:
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    return SPLITS.index(split)
