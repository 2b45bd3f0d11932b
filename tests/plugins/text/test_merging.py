"""What byte-level byte-pair encodings share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glidepath.plugins.text.merging import Remembered, merge

PAIRS = st.lists(st.tuples(*[st.sampled_from(["a", "b", "ab", "ba", "aa", "aab", "abab"])] * 2), unique=True)


def merged_plainly(word: list[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Sennrich et al. 2016, section 3.2, as it is written: quadratic in the word's length."""
    while known := [pair for pair in pairwise(word) if pair in ranks]:
        first = min(known, key=ranks.__getitem__)
        rest, word = word, []
        while rest:
            size = 2 if tuple(rest[:2]) == first else 1
            word.append("".join(rest[:size]))
            rest = rest[size:]
    return word


@given(word=st.text("ab", max_size=14), pairs=PAIRS)
def test_pairs_are_merged_everywhere_in_the_order_they_were_learned(
    word: str, pairs: list[tuple[str, str]]
) -> None:
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    assert merge(word, ranks) == merged_plainly(list(word), ranks)


def test_a_word_ten_times_as_long_asks_for_few_more_than_ten_times_as_many_pairs() -> None:
    letters = [chr(ord("a") + index * index % 26) for index in range(20_000)]
    pairs = sorted({(a, b) for a in set(letters) for b in set(letters)})

    class Ranks(dict[tuple[str, str], int]):
        asked = 0

        def get(self, *arguments: Any) -> Any:
            self.asked += 1
            return super().get(*arguments)

    def asked(count: int) -> int:
        ranks = Ranks({pair: rank for rank, pair in enumerate(pairs)})
        merge(letters[:count], ranks)
        return ranks.asked

    assert 2_000 < asked(2_000) < asked(20_000) / 5
    assert 1_000 < asked(20_000) < 15 * asked(2_000)


def test_a_word_is_read_once_unless_it_is_very_long() -> None:
    asked = []

    def read(word: str) -> list[int]:
        asked.append(word)
        return [len(word)]

    words = Remembered(read)
    for word in ("cat", "cat", "a" * 1000, "a" * 1000):
        assert words[word] == [len(word)]
    assert asked == ["cat", "a" * 1000, "a" * 1000]
