"""What a tokenizer cannot read is told of all prompts together."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pytest

from glidepath.core.errors import PartError, UnreadablePrompt
from glidepath.core.text_encoder import encode_all


class Letters:
    """Knows the letters a and b."""

    vocabulary_size = 3
    padding_id = 2

    def encode(self, text: str) -> list[int]:
        if strange := sorted(set(text) - {"a", "b"}):
            raise UnreadablePrompt([f"{text!r} has {', '.join(strange)}"], "it knows a, b")
        return ["ab".index(letter) for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join("ab"[index] for index in ids)


def test_prompts_become_ids_in_their_order() -> None:
    assert encode_all(Letters(), ["ab", "", "b"]) == [[0, 1], [], [1]]


def test_all_prompts_that_cannot_be_read_are_told_in_one_error() -> None:
    with pytest.raises(UnreadablePrompt) as caught:
        encode_all(Letters(), ["ax", "b", "yz", "ax"])
    assert caught.value.problems == ("'ax' has x", "'yz' has y, z")
    assert str(caught.value) == "'ax' has x\n    'yz' has y, z\n    it knows a, b"


def test_another_error_of_a_part_is_not_held_back() -> None:
    class Broken(Letters):
        def encode(self, text: str) -> list[int]:
            raise PartError("no files")

    with pytest.raises(PartError, match="no files"):
        encode_all(Broken(), ["a", "b"])


def test_the_error_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(UnreadablePrompt(["one", "two"], "help", ["three"])))
    assert isinstance(error, UnreadablePrompt)
    assert error.words == ("three",)
    assert (error.problems, error.remedy, str(error)) == (("one", "two"), "help", "one\n    two\n    help")
    assert str(UnreadablePrompt(["one"])) == "one"
