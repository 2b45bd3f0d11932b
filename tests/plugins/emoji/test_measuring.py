"""The measurement, on real pictures in place of a model's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glidepath.plugins.emoji.measuring import Share, as_data, as_text, ceiling, measure
from glidepath.plugins.emoji.splits import SPLITS, drawn_from, rows_of

from .judges import judge, table

LISTING = table().listing


def real(prompts: list[str], samples: range) -> Tensor:
    """The pictures that the prompts are the captions of."""
    rows = {LISTING.caption(row): row for row in range(len(LISTING))}
    return table().pictures[[rows[prompt] for prompt in prompts]]


def test_a_model_that_draws_real_pictures_has_the_scores_of_real_pictures() -> None:
    assert measure(real, judge(), count=10, batch=4) == ceiling(judge(), table(), count=10)


def test_copies_of_training_pictures_are_counted_where_the_table_is_there() -> None:
    without, with_ = (
        measure(real, judge(), count=5, splits=("seen",), table=given)[0].copies for given in (None, table())
    )
    assert (without.of, with_.right, with_.of) == (0, 5, 5)


def test_a_model_that_draws_others_is_wrong() -> None:
    (seen,) = measure(lambda prompts, _: real(prompts, _).flip(0), judge(), count=9, splits=("seen",))
    assert seen.top_1.value < 0.5


def test_splits_are_trained_on_or_held_out_as_they_say() -> None:
    for split in SPLITS:
        held = LISTING.held[rows_of(LISTING, split)] > 0
        assert held.all() if "held out" in split else not held.any(), split


def test_each_split_has_its_own_kind_of_picture() -> None:
    assert (LISTING.tone[rows_of(LISTING, "tone seen")] > 0).all()
    assert (LISTING.tone[rows_of(LISTING, "seen")] == 0).all()
    coloured = {LISTING.things[int(thing)].name for thing in LISTING.thing[rows_of(LISTING, "colour seen")]}
    assert coloured == {"red heart", "purple circle"}


def test_no_picture_is_drawn_twice_before_each_was_drawn_once() -> None:
    rows = rows_of(LISTING, "colour held out").tolist()
    drawn = drawn_from(LISTING, "colour held out", 8, seed=1).tolist()
    assert len(drawn) == 8
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == rows


def test_a_split_without_pictures_has_no_row() -> None:
    told = {score.split for score in ceiling(judge(), table(), count=3)}
    assert {"seen", "colour held out"} <= told
    assert all(len(rows_of(LISTING, split)) for split in told)


@pytest.mark.parametrize(
    ("share", "low", "high"),
    # Wilson's interval in closed form: no successes, z^2 / (n + z^2); all, its mirror image
    [(Share(0, 10), 0.0, 0.27753), (Share(10, 10), 0.72247, 1.0), (Share(5, 10), 0.23659, 0.76341)],
)
def test_intervals_are_wilsons(share: Share, low: float, high: float) -> None:
    assert share.interval == pytest.approx((low, high), abs=1e-5)


def test_of_nothing_nothing_is_known() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_scores_are_told_to_people_and_to_programs() -> None:
    scores = ceiling(judge(), table(), count=5)
    assert as_text(scores).splitlines()[0].split()[:3] == ["split", "images", "object"]
    told = as_data(scores[0])
    assert (told["split"], told["images"]) == ("seen", 5)
    assert "tone" not in told
    assert torch.tensor(told["style"]["interval"]).diff() > 0  # type: ignore[index]
