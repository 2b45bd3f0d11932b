"""Prompts that are always the same."""

from __future__ import annotations

from pathlib import Path

from glidepath.plugins.emoji import prompts
from glidepath.plugins.emoji.captions import parse

WORDS = Path(prompts.__file__).with_name("words.txt").read_text(encoding="utf-8").split()


def test_every_word_of_them_was_taught() -> None:
    said = [word for text in (*prompts.DRAWN, *prompts.UNDRAWN) for word in text.replace(",", "").split()]
    assert set(said) <= set(WORDS)


def test_there_are_forty_that_nobody_drew() -> None:
    assert len(set(prompts.UNDRAWN)) == 40
    assert not set(prompts.DRAWN) & set(prompts.UNDRAWN)


def test_each_says_its_style() -> None:
    assert all(parse(text).style for text in (*prompts.DRAWN, *prompts.UNDRAWN))


def test_the_words_are_in_order_and_none_twice() -> None:
    assert sorted(set(WORDS)) == WORDS
