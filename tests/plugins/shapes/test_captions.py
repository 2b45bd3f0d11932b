"""Captions: what they say, in which words, and that they read back to what they say."""

import collections
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.plugins.shapes.captions import (
    MAX_WORDS,
    VOCABULARY,
    Claim,
    ClaimedObject,
    describe,
    is_held_out_caption,
    parse,
)
from glidepath.plugins.shapes.draws import NEAR_FIRST, prompts, sample_batch
from glidepath.plugins.shapes.scenes import (
    BACKGROUNDS,
    COLORS,
    MIRROR,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    sample_scene,
)

pytestmark = pytest.mark.thorough


def captions(n: int, objects: int, seed: int = 0) -> list[tuple[Scene, str]]:
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng, objects) for _ in range(n)]
    return [(scene, describe(scene, rng)) for scene in scenes]


@given(st.integers(0, 2**32), st.sampled_from([1, 2]))
def test_a_caption_reads_back_to_its_scene(seed: int, objects: int) -> None:
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, objects)
    claim = parse(describe(scene, rng))
    assert claim.background in (None, scene.background)
    items, relation = scene.objects, scene.relation
    if objects == 2 and claim.relation != relation:
        assert relation is not None
        items, relation = items[::-1], MIRROR[relation]
    assert claim.relation == relation
    sized = claim.objects[0].size is not None
    assert claim.objects == tuple(
        ClaimedObject(item.shape, item.color, item.size if sized else None) for item in items
    )


_articles = st.sampled_from(["a", "the", "one"])
_things = st.builds(
    ClaimedObject, st.sampled_from(SHAPES), st.sampled_from(COLORS), st.sampled_from([None, *SIZES])
)


@given(
    first=_things,
    second=_things,
    relation=st.sampled_from([None, *RELATIONS]),
    background=st.sampled_from([None, *BACKGROUNDS]),
    opening=st.sampled_from(["", "there is", "a picture of"]),
    where=st.sampled_from(["before", "after", "short"]),
    wordy=st.booleans(),
    copula=st.booleans(),
    articles=st.tuples(_articles, _articles, _articles),
)
def test_any_combination_of_the_grammar_reads_back(
    first: ClaimedObject,
    second: ClaimedObject,
    relation: str | None,
    background: str | None,
    opening: str,
    where: str,
    wordy: bool,
    copula: bool,
    articles: tuple[str, str, str],
) -> None:
    def thing(claimed: ClaimedObject, article: str) -> str:
        return f"{article} {claimed.size or ''} {claimed.color} {claimed.shape}"

    words = f"{opening} {thing(first, articles[0])}"
    if relation:
        side = wordy and relation in ("left of", "right of")
        words += (
            f" {'is' if copula else ''} {'to the' if side else ''} {relation} {thing(second, articles[1])}"
        )
    if background:
        words = {
            "before": f"{articles[2]} {background} background with {words}",
            "after": f"{words} on {articles[2]} {background} background",
            "short": f"{words} on {background}",
        }[where]
    expected = Claim((first, second) if relation else (first,), background, relation)
    assert parse(" ".join(words.split())) == expected


@pytest.mark.parametrize("objects", [1, 2])
def test_captions_are_short_and_in_lower_case_words_of_the_vocabulary(objects: int) -> None:
    lengths = []
    for _, caption in captions(5000, objects):
        words = caption.split(" ")
        assert set(words) <= set(VOCABULARY)
        lengths.append(len(words))
    assert max(lengths) <= MAX_WORDS == 18
    assert np.mean(lengths) < 13


def test_every_word_of_the_vocabulary_is_used_and_it_is_sorted() -> None:
    used = {word for objects in (1, 2) for _, caption in captions(3000, objects) for word in caption.split()}
    assert tuple(sorted(used)) == VOCABULARY


@pytest.mark.parametrize("objects", [1, 2])
def test_size_is_said_in_70_percent_and_background_in_50(objects: int) -> None:
    claims = [parse(caption) for _, caption in captions(5000, objects)]
    sized = [[item.size is not None for item in claim.objects] for claim in claims]
    assert all(len(set(said)) == 1 for said in sized)
    assert np.mean([said[0] for said in sized]) == pytest.approx(0.7, abs=0.035)
    assert np.mean([claim.background is not None for claim in claims]) == pytest.approx(0.5, abs=0.035)


@pytest.mark.parametrize("near_first", [0.0, 0.5, 0.85, 1.0])
def test_the_upper_or_left_object_comes_first_in_the_share_that_is_asked_for(near_first: float) -> None:
    rng = np.random.default_rng(1)
    claims = [parse(describe(sample_scene(rng, 2), rng, near_first=near_first)) for _ in range(3000)]
    firsts = [claim.relation in ("above", "left of") for claim in claims]
    assert np.mean(firsts) == pytest.approx(near_first, abs=0.03)


def test_training_says_the_upper_or_left_object_first_more_often_and_prompts_either_alike() -> None:
    trained = [parse(caption) for step in range(20) for caption in sample_batch(0, step, 100)[1]]
    asked = [parse(caption) for caption, _ in prompts(2000, "unseen", objects=2)]
    for claims, share in ((trained, NEAR_FIRST), (asked, 0.5)):
        firsts = [claim.relation in ("above", "left of") for claim in claims if claim.relation]
        assert np.mean(firsts) == pytest.approx(share, abs=0.04)


def test_every_template_occurs() -> None:
    counts = collections.Counter[str]()
    patterns = [
        *("there is ", "a picture of ", "one ", "the ", " is above ", " to the left of ", " right of "),
        *(" background with ", " on black", " on a black background"),
    ]
    for objects in (1, 2):
        for _, caption in captions(3000, objects):
            counts.update(pattern for pattern in patterns if pattern in caption)
    assert set(counts) == set(patterns)


def test_known_captions_read_as_a_reader_of_english_would() -> None:
    assert parse("a large red circle above a small blue square") == Claim(
        (ClaimedObject("circle", "red", "large"), ClaimedObject("square", "blue", "small")), None, "above"
    )
    assert parse("a green star") == Claim((ClaimedObject("star", "green"),))
    assert parse("a black background with a yellow ring to the right of the cyan cross") == Claim(
        (ClaimedObject("ring", "yellow"), ClaimedObject("cross", "cyan")), "black", "right of"
    )
    assert parse("one small blue ring on grey") == Claim((ClaimedObject("ring", "blue", "small"),), "grey")


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", r"the caption ends, expected an article \(a, the, one\)"),
        ("red circle", r"word 1 is 'red', expected an article"),
        ("a red", r"the caption ends, expected a shape \(circle, "),
        ("a large circle", r"word 3 is 'circle', expected a color"),
        ("a mauve circle", r"word 2 is 'mauve', expected a size or color"),
        ("a red circle left a blue square", r"word 5 is 'a', expected the word \(of\)"),
        ("a red circle to left of a blue square", r"word 4 is 'to', expected a relation"),
        ("a red circle is", r"the caption ends, expected a relation"),
        ("a red circle on", r"the caption ends, expected an article or a background"),
        ("a red circle on a white", r"the caption ends, expected the word \(background\)"),
        ("a red circle and a blue square", r"word 4 is 'and', expected the end"),
        ("a white background with a red circle on black", r"word 8 is 'on', expected the end"),
        ("a white background of a red circle", r"word 4 is 'of', expected the word \(with\)"),
        ("a red background with a red circle", r"word 2 is 'red', expected a background"),
        ("a red circle above a blue square above a red ring", r"word 8 is 'above', expected the end"),
    ],
)
def test_a_caption_outside_the_grammar_is_refused_with_the_word_and_what_was_expected(
    caption: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse(caption)


def test_one_caption_in_ten_is_held_out_by_its_hash() -> None:
    distinct = {caption for objects in (1, 2) for _, caption in captions(20000, objects)}
    held_out = [caption for caption in distinct if is_held_out_caption(caption)]
    assert len(held_out) / len(distinct) == pytest.approx(26 / 256, abs=0.01)
    assert all(int(hashlib.sha256(caption.encode()).hexdigest()[:2], 16) % 10 == 0 for caption in held_out)
