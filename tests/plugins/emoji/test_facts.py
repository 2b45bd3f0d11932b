"""What captions say, as answers to questions."""

from __future__ import annotations

import pytest

from glidepath.plugins.emoji.facts import Facts
from glidepath.plugins.emoji.styles import COLOURS, STYLES

from .tiny import NAMES, things

FACTS = Facts(things())
ORDER = list(NAMES)
CATEGORIES = sorted({thing.category for thing in things()})


def test_a_name_decides_thing_category_group_and_colour() -> None:
    thing, category, group, colour, style, tone = FACTS.of("a red apple, 3d")
    assert ORDER[thing] == "red apple"
    assert CATEGORIES[category] == "Food & Drink"
    assert group >= 0
    assert ("", *COLOURS)[colour] == "red"
    assert (STYLES[style], tone) == ("3d", 0)


def test_a_name_means_its_thing_also_where_others_have_its_words() -> None:
    assert ORDER[FACTS.of("a cat, flat")[0]] == "cat"
    assert ORDER[FACTS.of("a cat face, flat")[0]] == "cat face"


def test_keywords_say_what_all_things_that_have_them_agree_on() -> None:
    thing, category, _, colour, *_ = FACTS.of("fruit, noto")
    assert (thing, colour) == (-1, -1)
    assert CATEGORIES[category] == "Food & Drink"


def test_keywords_of_one_thing_alone_mean_it() -> None:
    assert ORDER[FACTS.of("animal, pet")[0]] == "cat face"


@pytest.mark.parametrize("text", ["", "a spaceship, 3d"])
def test_what_no_thing_has_leaves_the_subject_open(text: str) -> None:
    assert FACTS.of(text)[:4] == (-1, -1, -1, -1)


def test_a_style_that_is_not_said_is_open() -> None:
    assert FACTS.of("a cat")[4] == -1


def test_no_answer_lies_beyond_the_questions_answers() -> None:
    for name in NAMES:
        said = FACTS.of(f"{name}, dark skin tone, 3d")
        assert all(answer < count for answer, count in zip(said, FACTS.answers, strict=True))
