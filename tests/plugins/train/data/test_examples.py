"""A list of examples takes little memory, and gives each as it was."""

from __future__ import annotations

import pickle
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glidepath.plugins.train.data.examples import Example, Examples

TEXT = st.text(st.characters(codec=None), max_size=6)  # halves of surrogate pairs too, as in names of files
EXAMPLE = st.builds(
    Example,
    name=TEXT,
    captions=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    place=TEXT,
    weight=st.floats(0, 1e300),
    label=st.none() | TEXT | st.integers(0, 2**70),
    facts=st.lists(TEXT, max_size=2).map(tuple),
    held=st.booleans(),
    chunk=st.integers(0, 2**31 - 1),
)


@settings(max_examples=60, deadline=None)
@given(given=st.lists(EXAMPLE, max_size=5))
def test_each_example_is_given_back_as_it_was(given: list[Example]) -> None:
    examples = pickle.loads(pickle.dumps(Examples(given)))
    assert [*examples] == given == examples[:]
    assert examples[1:-1] == given[1:-1]
    assert examples.weights.tolist() == [it.weight for it in given]
    assert examples.chunks.tolist() == [it.chunk for it in given]
    assert examples.held.tolist() == [it.held for it in given]
    if given:
        assert examples[-1] == given[-1]
    with pytest.raises(IndexError):
        examples[len(given)]


def test_an_example_takes_few_bytes_beside_its_texts() -> None:
    """49 and an eighth more, which a list that grows has in reserve; an object with its texts takes 500."""
    name, caption = "0000/0000000.png", "a small picture among many"
    tracemalloc.start()
    try:
        examples = Examples(Example(name, (caption,), "table.csv:1") for _ in range(20_000))
        taken = tracemalloc.get_traced_memory()[0] / len(examples)
    finally:
        tracemalloc.stop()
    assert taken < 1.15 * (len(name + caption + "table.csv:1") + 49)
