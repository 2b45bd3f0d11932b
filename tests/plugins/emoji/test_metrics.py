"""The metrics of emoji, on real pictures."""

from __future__ import annotations

import math

import pytest
import torch

from glidepath.core import GlidepathError
from glidepath.plugins.emoji import metrics
from glidepath.plugins.emoji.configs import ObjectConfig
from glidepath.plugins.emoji.metrics import ObjectRight, StyleRight, ToneRight

from .judges import judge, table

LISTING = table().listing
CAPTIONS = [LISTING.caption(row) for row in range(len(LISTING))]
IMAGES = table().pictures


@pytest.fixture(autouse=True)
def _judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "load_judge", judge)


def share(scores: list[float]) -> float:
    return float(torch.tensor(scores).nanmean())


def test_real_pictures_are_right() -> None:
    assert share(ObjectRight(ObjectConfig()).per_prompt(IMAGES, CAPTIONS)) > 0.8
    assert share(StyleRight().per_prompt(IMAGES, CAPTIONS)) > 0.8
    assert share(ToneRight().per_prompt(IMAGES, CAPTIONS)) > 0.6


def test_pictures_of_other_captions_are_not() -> None:
    half = len(CAPTIONS) // 2
    assert share(ObjectRight(ObjectConfig()).per_prompt(IMAGES.roll(half, 0), CAPTIONS)) < 0.3


def test_more_are_right_within_more() -> None:
    one, five = (share(ObjectRight(ObjectConfig(within=k)).per_prompt(IMAGES, CAPTIONS)) for k in (1, 5))
    assert one <= five


def test_what_a_prompt_does_not_say_has_no_score() -> None:
    said = ["a cat", "a cat, 3d", "a waving hand, dark skin tone"]
    style = StyleRight().per_prompt(IMAGES[:3], said)
    tone = ToneRight().per_prompt(IMAGES[:3], said)
    assert [math.isnan(score) for score in style] == [True, False, True]
    assert [math.isnan(score) for score in tone] == [True, True, False]


def test_an_object_that_the_judge_does_not_know_is_named() -> None:
    with pytest.raises(GlidepathError, match="emoji-object cannot judge 'a spaceship, 3d'"):
        ObjectRight(ObjectConfig()).per_prompt(IMAGES[:1], ["a spaceship, 3d"])


def test_names_say_what_counts() -> None:
    assert ObjectRight(ObjectConfig()).name == "object right"
    assert ObjectRight(ObjectConfig(within=5)).name == "object within 5"
    assert (StyleRight().name, ToneRight().name) == ("style right", "tone right")
