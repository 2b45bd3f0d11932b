"""The descriptors of the text plugin: what they accept and offer, without torch."""

from __future__ import annotations

import attrs
import pytest

from glidepath.plugins.text.configs import BpeConfig, TransformerConfig, WeightedConfig, WordsConfig
from glidepath.plugins.text.plugin import bpe_faults, components, transformer_faults, words_faults
from glidepath.registry.describe.component import PART

COMPONENTS = {component.name: component for component in components()}


def test_the_kinds_are_those_of_the_registry() -> None:
    kinds = {name: component.kind for name, component in COMPONENTS.items()}
    assert kinds == {
        "transformer": "text_encoder",
        "weighted": "text_encoder",
        "bpe": "tokenizer",
        "clip-bpe": "tokenizer",
        "words": "tokenizer",
    }


def test_the_text_encoder_asks_for_a_tokenizer_as_a_part() -> None:
    parts = {
        field.name: field.metadata[PART]
        for field in attrs.fields(TransformerConfig)
        if PART in field.metadata
    }
    assert parts == {"tokenizer": "tokenizer"}


def test_the_text_encoder_provides_its_widths() -> None:
    config = TransformerConfig(width=64, pooled_width=256, context=16)
    provided = COMPONENTS["transformer"].provides(config)
    assert provided == {"text.width": 64, "text.pooled": 256, "text.context": 16}


def test_a_longer_context_is_what_weighted_provides_beside_what_its_encoder_does() -> None:
    provides = COMPONENTS["weighted"].provided
    config = WeightedConfig(encoder=None, chunks=3)
    assert provides(config, {"encoder": {"text.width": 8, "text.context": 77}}) == {
        "text.width": 8,
        "text.context": 231,
    }
    assert provides(config, {"encoder": {"text.width": 8}}) == {"text.width": 8}


def test_parameters_that_do_not_fit_together_are_faults() -> None:
    assert COMPONENTS["transformer"].check is transformer_faults
    assert transformer_faults(TransformerConfig()) == []
    assert [field for field, _ in transformer_faults(TransformerConfig(heads=7))] == ["heads"]
    assert COMPONENTS["words"].check is words_faults
    assert words_faults(WordsConfig(vocabulary=("a",))) == []
    assert [field for field, _ in words_faults(WordsConfig())] == ["vocabulary"]


@pytest.mark.parametrize("field", ["width", "heads", "context", "pooled_width"])
def test_parameters_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        TransformerConfig(**{field: 0})


def test_the_files_of_bpe_are_given_together_or_not_at_all() -> None:
    assert COMPONENTS["bpe"].check is bpe_faults
    assert bpe_faults(BpeConfig()) == []
    assert bpe_faults(BpeConfig(vocabulary="encoder.json", merges="vocab.bpe")) == []
    assert [field for field, _ in bpe_faults(BpeConfig(vocabulary="encoder.json"))] == ["merges"]
    assert [field for field, _ in bpe_faults(BpeConfig(merges="vocab.bpe"))] == ["vocabulary"]
