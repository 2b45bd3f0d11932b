"""The text encoder `weighted`, against pieces of prompts that are embedded by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glidepath.core import PartError, TextEmbedding, TextEncoder
from glidepath.plugins.text.configs import TransformerConfig, WeightedConfig, WordsConfig
from glidepath.plugins.text.spans import token_spans
from glidepath.plugins.text.transformer import TransformerTextEncoder
from glidepath.plugins.text.weighted import WeightedTextEncoder
from glidepath.plugins.text.words import WordsTokenizer

WORDS = WordsTokenizer(WordsConfig(vocabulary=("a", "red", "blue", "square", "circle", "blue-green")))
SMALL = TransformerConfig(width=32, layers=2, heads=4, context=6, pooled_width=48)


@pytest.fixture
def inner() -> TransformerTextEncoder:
    torch.manual_seed(0)
    encoder = TransformerTextEncoder(SMALL, tokenizer=WORDS).eval().requires_grad_(False)
    encoder.final_ln.bias.normal_()  # so that the mean of the vectors is not 0
    return encoder


def weighted(inner: TextEncoder, **parameters: object) -> WeightedTextEncoder:
    return WeightedTextEncoder(WeightedConfig(encoder=None, **parameters), inner)


def of(inner: TextEncoder, *prompts: str) -> Tensor:
    embedding: TextEmbedding = inner(prompts)
    return embedding.tokens


def assert_same(one: TextEmbedding, other: TextEmbedding) -> None:
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.pooled, other.pooled)
    assert torch.equal(one.mask, other.mask)


PLAIN = ["a red square", "", "a blue circle a red square a red circle"]


@pytest.mark.parametrize("how", ["empty", "mean", "scale"])
def test_a_prompt_without_marks_has_the_embedding_of_the_inner_encoder(
    how: str, inner: TransformerTextEncoder
) -> None:
    assert_same(weighted(inner, how=how)(PLAIN), inner(PLAIN))
    beside = weighted(inner, how=how)([*PLAIN, "a (red) circle"])
    assert torch.equal(beside.tokens[:3], of(inner, *PLAIN, "a red circle")[:3])
    assert_same(weighted(inner, how=how).unconditional(), inner.unconditional())


def test_words_are_moved_away_from_an_empty_prompt_or_towards_it(inner: TransformerTextEncoder) -> None:
    z, empty = of(inner, "a red square, a circle")[0], of(inner, "")[0]
    text = weighted(inner)(["a (red square:1.5), [a] circle"])
    expected = z.clone()
    for position, weight in {1: 1.5, 2: 1.5, 3: 1 / 1.1}.items():
        expected[position] = empty[position] + weight * (z[position] - empty[position])
    assert torch.allclose(text.tokens[0], expected, atol=1e-6)
    assert torch.equal(text.tokens[0, [0, 4, 5]], z[[0, 4, 5]])
    assert torch.equal(text.pooled, inner(["a red square a circle"]).pooled)


def test_words_are_multiplied_and_the_mean_restored(inner: TransformerTextEncoder) -> None:
    z = of(inner, "a red square")[0]
    scaled = z.clone()
    scaled[1] *= 1.5
    prompt = "a (red:1.5) square"
    assert torch.allclose(of(weighted(inner, how="scale"), prompt)[0], scaled)
    restored = scaled * (z.mean() / scaled.mean())
    assert torch.allclose(of(weighted(inner, how="mean"), prompt)[0], restored, rtol=1e-4)


def test_negative_prompts_are_weighted_too(inner: TransformerTextEncoder) -> None:
    encoder = weighted(inner)
    assert_same(encoder.unconditional(["a (red:1.5) square"]), encoder(["a (red:1.5) square"]))


def test_a_long_prompt_is_read_in_chunks(inner: TransformerTextEncoder) -> None:
    encoder = weighted(inner, chunks=3)
    assert encoder.context == 18
    text = encoder(["a red square, a blue circle, a (red circle:1.5)", "a circle"])
    first, second, empty = inner(["a red square, a blue circle,"]), of(inner, "a red circle"), of(inner, "")
    second[0, 1:3] = empty[0, 1:3] + 1.5 * (second[0, 1:3] - empty[0, 1:3])
    assert torch.allclose(text.tokens[0], torch.cat([first.tokens, second, empty], dim=1)[0], atol=1e-6)
    assert torch.allclose(text.tokens[1], torch.cat([of(inner, "a circle"), empty, empty], dim=1), atol=1e-6)
    assert torch.allclose(text.pooled, inner(["a red square a blue circle", "a circle"]).pooled, atol=1e-6)
    assert text.mask.sum(dim=1).tolist() == [9, 2]
    none = encoder.unconditional()
    assert torch.equal(none.tokens, torch.cat([empty] * 3, dim=1))
    assert none.mask.shape == (1, 18)


def test_what_no_chunk_holds_is_told_and_lost(inner: TransformerTextEncoder) -> None:
    prompt = "a red (square a blue circle:1.2) a [red] circle"
    assert weighted(inner).truncated(prompt) == "a red circle"
    assert weighted(inner, chunks=2).truncated(prompt) == ""
    assert weighted(inner, chunks=2).truncated(prompt + " a red square a red") == "a red"
    cut = weighted(inner)(["a red square a blue circle a (red:1.5) circle"])
    assert_same(cut, inner(["a red square a blue circle"]))


def test_a_file_of_the_encoder_is_one_of_what_is_around_it(inner: TransformerTextEncoder) -> None:
    encoder = weighted(inner)
    read = encoder.read_weights(inner.state_dict())
    assert read.keys() == encoder.state_dict().keys()
    assert all(torch.equal(read[name], value) for name, value in encoder.state_dict().items())


def test_an_encoder_that_knows_no_spans_is_refused(inner: TransformerTextEncoder) -> None:
    with pytest.raises(PartError, match=r"WeightedTextEncoder does not say which words .* \(spans\)"):
        weighted(weighted(inner))
    with pytest.raises(PartError, match="takes a list of prompts"):
        weighted(inner)([])


def test_tokens_of_whole_words_have_their_spans() -> None:
    text = "A red; blue-green, (circle"
    words = [text[begin:end].strip() for begin, end in token_spans(WORDS, text)]
    assert words == ["A", "red", "blue-green,", "circle"]
