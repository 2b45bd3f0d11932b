"""The metric `shapes-accuracy`, on real renderings."""

from __future__ import annotations

import math

import pytest
import torch

from glidepath.core.errors import GlidepathError
from glidepath.plugins.shapes.accuracy import ShapesAccuracy
from glidepath.plugins.shapes.configs import AccuracyConfig
from glidepath.plugins.shapes.draws import prompts
from glidepath.plugins.shapes.scenes import render

DRAWN = prompts(12, "unseen", 2, seed=3)
CAPTIONS = [caption for caption, _ in DRAWN]
IMAGES = ((render([scene for _, scene in DRAWN]) + 1) * 127.5).round().to(torch.uint8)


def test_real_renderings_are_right_and_those_of_other_captions_are_not() -> None:
    metric = ShapesAccuracy(AccuracyConfig())
    assert metric.per_prompt(IMAGES, CAPTIONS) == [1.0] * 12
    assert sum(metric.per_prompt(IMAGES.roll(1, 0), CAPTIONS)) == 0


def test_images_whose_prompt_does_not_say_it_do_not_count() -> None:
    scores = ShapesAccuracy(AccuracyConfig(of="background")).per_prompt(IMAGES, CAPTIONS)
    said = [" on " in caption or "background" in caption for caption in CAPTIONS]
    assert [not math.isnan(score) for score in scores] == said
    assert True in said
    assert False in said


def test_a_prompt_that_the_reader_does_not_know_is_named() -> None:
    with pytest.raises(GlidepathError, match="shapes-accuracy cannot judge 'a cat'"):
        ShapesAccuracy(AccuracyConfig()).per_prompt(IMAGES[:1], ["a cat"])
