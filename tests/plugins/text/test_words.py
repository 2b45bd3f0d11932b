"""The tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.errors import PartError, UnreadablePrompt
from glidepath.plugins.text.configs import WordsConfig
from glidepath.plugins.text.words import WordsTokenizer, split

COLOURS = WordsTokenizer(WordsConfig(vocabulary=("red", "green", "blue", "square")))


def test_ids_follow_the_list_and_the_last_one_pads() -> None:
    assert COLOURS.encode("blue red square") == [2, 0, 3]
    assert COLOURS.padding_id == 4
    assert COLOURS.vocabulary_size == 5


def test_case_and_punctuation_make_no_difference() -> None:
    assert COLOURS.encode("Red, GREEN\n(blue)!") == COLOURS.encode("red green blue") == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a don't-know", ["a", "don't-know"]),
        ("'quoted' - dash", ["quoted", "dash"]),
        ("snake_case", ["snake", "case"]),
        ("3.5 cm", ["3", "5", "cm"]),
        ("Über ÉCOLE", ["über", "école"]),
        ("", []),
        ("... ", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_decoding_leaves_out_the_padding() -> None:
    assert COLOURS.decode([0, 3, 4, 4]) == "red square"


@given(st.lists(st.sampled_from(COLOURS.words)))
def test_decoding_undoes_encoding(words: list[str]) -> None:
    assert COLOURS.decode(COLOURS.encode(" ".join(words))) == " ".join(words)


def test_an_unknown_word_is_refused_with_its_prompt_and_a_suggestion() -> None:
    with pytest.raises(PartError) as caught:
        COLOURS.encode("a gren sqare on xylophone, a gren one")
    message = str(caught.value)
    assert "'a gren sqare on xylophone, a gren one'" in message
    assert "'gren' (did you mean 'green'?)" in message
    assert "'sqare' (did you mean 'square'?)" in message
    assert "'xylophone'" in message
    assert message.count("'gren'") == 1


@pytest.mark.parametrize(
    ("word", "said"), [("aple", "'aple' (did you mean 'apple'?)"), ("square", "'square'")]
)
def test_a_suggestion_begins_as_the_word_does_where_others_are_as_like_and_is_like_it(
    word: str, said: str
) -> None:
    tokenizer = WordsTokenizer(WordsConfig(vocabulary=["apple", "maple", "star"]))
    with pytest.raises(PartError) as caught:
        tokenizer.encode(word)
    assert f"was not taught: {said}\n" in str(caught.value)


def test_of_many_unknown_words_the_first_are_named() -> None:
    with pytest.raises(UnreadablePrompt, match=r"taught: 'w0', .*'w9', and 490 more") as raised:
        COLOURS.encode(" ".join(f"w{index}" for index in range(500)))
    assert "'w10'" not in str(raised.value)


def test_the_known_words_are_listed_with_an_unknown_one() -> None:
    with pytest.raises(UnreadablePrompt) as caught:
        COLOURS.encode("a dog")
    assert caught.value.remedy == "it knows 4 words: red, green, blue, square"


@pytest.mark.parametrize("in_file", [True, False])
def test_of_many_known_words_it_is_said_where_they_are(tmp_path: Path, in_file: bool) -> None:
    words = [f"word{number}" for number in range(500)]
    file = tmp_path / "words.txt"
    file.write_text("\n".join(words), encoding="utf-8")
    config = WordsConfig(file=file) if in_file else WordsConfig(vocabulary=tuple(words))
    with pytest.raises(UnreadablePrompt) as caught:
        WordsTokenizer(config).encode("dog")
    where = str(file) if in_file else "`glidepath plan SPEC --json` has it"
    assert where in caught.value.remedy
    assert caught.value.remedy.startswith("it knows 500 words, all of them in ")
    assert "word1" not in caught.value.remedy


def test_unknown_words_can_be_left_out() -> None:
    tokenizer = WordsTokenizer(WordsConfig(vocabulary=("red", "square"), unknown="ignore"))
    assert tokenizer.encode("a red, red square") == [0, 0, 1]


def test_a_vocabulary_is_learned_from_captions_in_alphabetical_order() -> None:
    tokenizer = WordsTokenizer.learn(["A red square.", "a blue square"])
    assert tokenizer.words == ("a", "blue", "red", "square")
    assert tokenizer.encode("a red square") == [0, 2, 3]


def test_a_vocabulary_can_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("red\n\nblue \nüber\n", encoding="utf-8-sig")
    assert WordsTokenizer(WordsConfig(file=file)).words == ("red", "blue", "über")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (WordsConfig(), "one of the two"),
        (WordsConfig(vocabulary=("a",), file=Path("b")), "one of the two"),
        (WordsConfig(file=Path("nowhere.txt")), "cannot read nowhere.txt"),
        (WordsConfig(vocabulary=("red", "Blue")), "no text holds 'Blue' as a word"),
        (WordsConfig(vocabulary=("light blue",)), "no text holds 'light blue' as a word"),
        (WordsConfig(vocabulary=("red", "blue", "red")), "lists 'red' more than once"),
    ],
)
def test_a_vocabulary_that_cannot_serve_is_refused(config: WordsConfig, message: str) -> None:
    with pytest.raises(PartError, match=message):
        WordsTokenizer(config)
