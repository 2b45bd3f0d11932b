"""Names and keywords, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glidepath.plugins.emoji.legible import is_legible, is_role
from glidepath.plugins.emoji.naming import Drawn, plain, read_things

APPLE = {"unified": "1F34E", "image": "1f34e.png", "category": "Food & Drink", "subcategory": "food-fruit"}
PEAR = {"unified": "1F350", "image": "1f350.png", "category": "Food & Drink", "subcategory": "food-fruit"}
HAND = {
    "unified": "1F44B",
    "image": "1f44b.png",
    "category": "People & Body",
    "subcategory": "hand-fingers-open",
    "skin_variations": {
        "1F3FB": {"image": "1f44b-1f3fb.png"},
        "1F3FF": {"image": "1f44b-1f3ff.png"},
        "1F3FB-1F3FF": {"image": "two-people.png"},
    },
}
SAID = {
    "\U0001f34e": ["red_apple", "fruit", "mac", "school"],
    "\U0001f350": ["pear", "fruit", "red", "pear"],
    "\U0001f44b": ["waving_hand", "goodbye’s", ":)"],
}


def read(*entries: dict[str, Any]) -> list[Drawn]:
    return read_things(json.dumps(entries).encode(), json.dumps(SAID).encode())


def test_names_are_words_and_keywords_only_those_that_others_share() -> None:
    apple, pear = (one.thing for one in read(APPLE, PEAR))
    assert (apple.name, apple.keywords) == ("red apple", ("fruit",))
    assert (pear.name, pear.keywords) == ("pear", ("fruit", "red"))


def test_tones_of_one_person_are_codes_and_those_of_two_are_not() -> None:
    (hand,) = read(HAND)
    assert hand.codes == {0: "1f44b", 1: "1f44b-1f3fb", 5: "1f44b-1f3ff"}
    assert not hand.role


def test_what_has_no_name_and_what_has_one_twice_is_left_out() -> None:
    assert read({**APPLE, "unified": "1F9FF"}) == []
    assert len(read(APPLE, APPLE)) == 1


@pytest.mark.parametrize(
    ("name", "category", "group"),
    [
        ("flag france", "Flags", "country-flag"),
        ("input numbers", "Symbols", "alphanum"),
        ("radio button", "Symbols", "geometric"),
        ("two o clock", "Travel & Places", "time"),
        ("one thirty", "Travel & Places", "time"),
        ("couple with heart", "People & Body", "family"),
        ("man running facing right", "People & Body", "person-activity"),
        ("light skin tone", "Component", "skin-tone"),
    ],
)
def test_what_no_one_can_tell_at_32_pixels_is_left_out(name: str, category: str, group: str) -> None:
    assert not is_legible(name, category, group)


@pytest.mark.parametrize(
    ("name", "category", "group"),
    [
        ("red circle", "Symbols", "geometric"),
        ("alarm clock", "Travel & Places", "time"),
        ("man running", "People & Body", "person-activity"),
    ],
)
def test_things_faces_and_single_people_are_kept(name: str, category: str, group: str) -> None:
    assert is_legible(name, category, group)


def test_people_who_do_something_are_in_roles_and_ages_and_hands_are_not() -> None:
    assert [is_role(group) for group in ("person-role", "person-sport", "person", "hands")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_name_is_lower_case_words() -> None:
    assert plain("Man’s_Shoe: size-9!") == "man's shoe size-9"
