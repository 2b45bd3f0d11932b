"""Captions, and what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from glidepath.plugins.emoji.captions import Claim, caption, describe, parse, vocabulary, with_article
from glidepath.plugins.emoji.styles import STYLES, TONES, colour_and_shape

from .tiny import things

NAMES = {thing.name for thing in things()}


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("a red apple, 3d", Claim("red apple", "3d", "")),
        ("An Apple", Claim("apple", "", "")),
        ("a 3d red apple", Claim("red apple", "3d", "")),
        ("waving hand, medium-dark skin tone, flat", Claim("waving hand", "flat", "medium-dark")),
        ("waving hand with light skin, noto", Claim("waving hand", "noto", "light")),
        ("fruit, red, noto", Claim("fruit, red", "noto", "")),
        ("a flat shoe, 3d", Claim("flat shoe", "3d", "")),
        ("a flat shoe", Claim("flat shoe", "", "")),
        ("dark, noto", Claim("dark", "noto", "")),
        ("", Claim("", "", "")),
    ],
)
def test_a_caption_says_its_object_style_and_tone(text: str, claim: Claim) -> None:
    assert parse(text, NAMES) == claim


def test_the_usual_caption_is_read_back_whole() -> None:
    for name, style, tone in itertools.product(NAMES, STYLES, TONES):
        assert parse(caption(name, style, tone), NAMES) == Claim(name, style, tone)


def test_what_a_drawn_caption_says_is_so() -> None:
    rng = np.random.default_rng(0)
    for thing, style, tone in itertools.product(things(), STYLES, TONES):
        for _ in range(20):
            said = describe(thing, style, tone, rng)
            claim = parse(said, NAMES)
            assert claim.style in ("", style), said
            assert claim.tone == tone, said
            assert set(claim.subject.replace(",", "").split()) <= set(thing.words()), said


def test_the_vocabulary_has_every_word_of_every_caption() -> None:
    rng = np.random.default_rng(1)
    known = set(vocabulary(things()))
    for thing, style, tone in itertools.product(things(), STYLES, TONES):
        said = [caption(thing.name, style, tone), *(describe(thing, style, tone, rng) for _ in range(20))]
        assert {word for text in said for word in text.replace(",", "").split()} <= known


@pytest.mark.parametrize(
    ("name", "said"),
    [("apple", "an apple"), ("pear", "a pear"), ("grapes", "grapes"), ("cactus", "a cactus")],
)
def test_articles_fit_the_noun(name: str, said: str) -> None:
    assert with_article(name) == said


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("red heart", ("red", "heart")),
        ("large orange diamond", ("orange", "large diamond")),
        ("orange", ("", "orange")),
        ("cat", ("", "cat")),
    ],
)
def test_a_name_says_a_colour_of_a_shape(name: str, found: tuple[str, str]) -> None:
    assert colour_and_shape(name) == found
