"""Which example comes when."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glidepath.plugins.train.data.order import Order

COUNTS = st.lists(st.integers(1, 7), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, window=st.integers(1, 10), seed=st.integers(0, 2**62))
def test_every_example_comes_once_in_an_epoch(counts: list[int], window: int, seed: int) -> None:
    order = Order(counts, window)
    for epoch in range(2):
        rows = [order.at(seed, epoch * len(order) + place) for place in range(len(order))]
        assert sorted(rows) == list(range(sum(counts)))


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, window=st.integers(1, 4), weighted=st.booleans(), data=st.data())
def test_a_position_depends_on_nothing_that_was_asked_before(
    counts: list[int], window: int, weighted: bool, data: st.DataObject
) -> None:
    weights = [1.0 + index % 3 for index in range(sum(counts))] if weighted else None
    used, positions = Order(counts, window, weights), data.draw(st.lists(st.integers(0, 200), max_size=40))
    assert [used.at(3, it) for it in positions] == [
        Order(counts, window, weights).at(3, it) for it in positions
    ]


@pytest.mark.parametrize("weighted", [False, True])
def test_no_more_chunks_than_a_window_holds_are_open_at_once(weighted: bool) -> None:
    counts = [5] * 12
    order = Order(counts, 3, [1.0 + index % 2 for index in range(60)] if weighted else None)
    chunks = [order.at(1, place) // 5 for place in range(60)]
    spans = [(chunks.index(it), 59 - chunks[::-1].index(it)) for it in {*chunks}]
    for place in range(60):
        assert sum(first <= place <= last for first, last in spans) <= 3
    assert len({tuple(order.at(seed, place) for place in range(60)) for seed in range(5)}) == 5


def test_neighbours_in_the_list_are_neighbours_in_an_epoch_no_more_often_than_by_chance() -> None:
    """Of 1000 examples in random order, a given pair stands together in 2 of 1000 orders."""
    order = Order([1000])
    together = 0
    for seed in range(20):
        rows = [order.at(seed, place) for place in range(1000)]
        together += sum(abs(one - other) == 1 for one, other in pairwise(rows))
    assert 20 < together < 60  # 40 are expected, and the deviation is about 6


def test_weights_are_kept_exactly_over_the_epochs() -> None:
    """Systematic sampling: each epoch has an example as often as its share, rounded down or up."""
    weights = [1.0, 2.0, 0.0, 5.0, 0.5]
    order, epochs = Order([2, 3], 1, weights), 400
    found = Counter(order.at(7, position) for position in range(epochs * 5))
    for index, weight in enumerate(weights):
        share = 5 * weight / sum(weights)
        each = [Counter(order.at(7, 5 * epoch + it) for it in range(5))[index] for epoch in range(20)]
        assert all(int(share) <= count <= int(share) + 1 for count in each)
        assert found[index] / epochs == pytest.approx(share, abs=0.1)
    assert found[2] == 0
