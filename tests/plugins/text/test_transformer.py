"""What the text encoder `transformer` promises beyond the numbers of its reference."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.plugins.text.configs import TransformerConfig, WordsConfig
from glidepath.plugins.text.transformer import TransformerTextEncoder
from glidepath.plugins.text.words import WordsTokenizer

WORDS = WordsTokenizer(WordsConfig(vocabulary=("a", "red", "blue", "square", "circle")))
SMALL = TransformerConfig(width=32, layers=2, heads=4, context=6, pooled_width=48)


def encoder_of(config: TransformerConfig = SMALL, seed: int = 0) -> TransformerTextEncoder:
    torch.manual_seed(seed)
    return TransformerTextEncoder(config, tokenizer=WORDS).eval()


def test_a_batch_of_prompts_becomes_an_embedding() -> None:
    encoder = encoder_of()
    text = encoder(["a red square", ""])
    assert (encoder.pooled_width, encoder.token_width, encoder.context) == (48, 32, 6)
    assert text.pooled.shape == (2, 48)
    assert text.tokens.shape == (2, 6, 32)
    assert text.mask.tolist() == [[True, True, True, False, False, False], [False] * 6]


def test_tokens_are_padded_and_truncated_on_the_host() -> None:
    ids, mask = encoder_of().tokenize(["red", "a red square a blue circle a red square"])
    assert ids.tolist() == [[1, 5, 5, 5, 5, 5], [0, 1, 3, 0, 2, 4]]
    assert mask.sum(dim=1).tolist() == [1, 6]
    assert (ids.dtype, ids.device.type) == (torch.int64, "cpu")


def test_what_truncation_loses_can_be_asked_for() -> None:
    encoder = encoder_of()
    assert encoder.truncated("a red square a blue circle") == ""
    assert encoder.truncated("A red square, a blue circle; a RED square!") == "a red square"


def test_no_prompt_is_the_empty_prompt() -> None:
    encoder = encoder_of()
    with torch.no_grad():
        null, empty = encoder.unconditional(), encoder([""])
    assert torch.equal(null.pooled, empty.pooled)
    assert torch.equal(null.tokens, empty.tokens)
    assert not null.mask.any()


def test_a_row_depends_on_its_own_prompt_alone() -> None:
    encoder = encoder_of()
    prompts = ["a red square", "", "a blue circle a red square"]
    with torch.no_grad():
        together = encoder(prompts)
        for row, prompt in enumerate(prompts):
            alone = encoder([prompt])
            assert_near(alone.pooled[0], together.pooled[row])
            assert_near(alone.tokens[0], together.tokens[row])


def test_padding_hides_the_padding_token_and_its_place() -> None:
    """Positions beyond the prompt hold the padding embedding, whatever ids stand there."""
    encoder = encoder_of()
    ids, mask = encoder.tokenize(["a red square"])
    other = torch.where(mask, ids, 2)
    with torch.no_grad():
        assert torch.equal(encoder.embed(ids, mask).tokens, encoder.embed(other, mask).tokens)


def test_without_padding_embedding_the_mask_says_nothing() -> None:
    encoder = encoder_of(attrs.evolve(SMALL, padding_embedding=False))
    ids, mask = encoder.tokenize(["a red square"])
    with torch.no_grad():
        assert torch.equal(encoder.embed(ids, mask).tokens, encoder.embed(ids, ~mask).tokens)
        assert not torch.equal(encoder.embed(ids, mask).tokens, encoder.embed(ids.flip(1), mask).tokens)
    assert "padding_embedding" not in encoder.state_dict()


def test_every_position_hears_every_other() -> None:
    encoder = encoder_of()
    ids, mask = encoder.tokenize(["a red square a red square"])
    changed = ids.clone()
    changed[0, -1] = 2
    with torch.no_grad():
        difference = (encoder.embed(ids, mask).tokens - encoder.embed(changed, mask).tokens).abs().amax(dim=2)
    assert bool((difference > 0).all())


def test_every_parameter_learns_from_pooled_and_tokens() -> None:
    encoder = encoder_of()
    text = encoder(["a red square", ""])
    (text.pooled.square().mean() + text.tokens.square().mean()).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def test_the_state_holds_parameters_and_no_buffers() -> None:
    encoder = encoder_of()
    assert not list(encoder.buffers())
    assert encoder.state_dict().keys() == dict(encoder.named_parameters()).keys()


def test_autocast_stays_near_float32() -> None:
    encoder = encoder_of()
    with torch.no_grad():
        expected = encoder(["a red square"])
        with torch.autocast("cpu", torch.bfloat16):
            text = encoder(["a red square"])
    assert relative(text.pooled.float(), expected.pooled) < 0.05
    assert relative(text.tokens.float(), expected.tokens) < 0.05


def test_norms_are_taken_in_float32() -> None:
    encoder = encoder_of().to(torch.bfloat16)
    x = (100 + torch.randn(5, 32, generator=torch.Generator().manual_seed(0))).to(torch.bfloat16)
    expected = torch.nn.functional.layer_norm(x.double(), (32,))
    with torch.no_grad():
        output = encoder.final_ln(x)
    assert output.dtype == torch.bfloat16
    assert relative(output.double(), expected) < 0.01


def test_a_prompt_with_an_unknown_word_is_refused() -> None:
    with pytest.raises(PartError, match="did you mean 'circle'"):
        encoder_of()(["a red circel"])


@pytest.mark.parametrize("prompts", ["a red square", []])
def test_prompts_are_a_list_and_not_empty(prompts: object) -> None:
    with pytest.raises(PartError, match="takes a list of prompts"):
        encoder_of().tokenize(prompts)  # type: ignore[arg-type]


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(PartError, match="heads: 5 does not divide the width 32"):
        encoder_of(attrs.evolve(SMALL, heads=5))


def assert_near(ours: Tensor, expected: Tensor) -> None:
    assert relative(ours, expected) < 1e-5


def relative(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).abs().max() / expected.abs().max())
