"""What this plugin supplies: text encoders `transformer`, `weighted`; tokenizers `bpe`, `clip-bpe`, `words`.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from glidepath.registry import Component, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.text.configs import (
        BpeConfig,
        ClipBpeConfig,
        TransformerConfig,
        WeightedConfig,
        WordsConfig,
    )


def transformer_faults(config: TransformerConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    if config.width % config.heads:
        return [("heads", f"{config.heads} does not divide the width {config.width}")]
    return []


def words_faults(config: WordsConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    if (config.vocabulary is None) == (config.file is None):
        return [("vocabulary", "needs a list of words, or a file of them: one of the two")]
    return []


def bpe_faults(config: BpeConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    files = {"vocabulary": config.vocabulary, "merges": config.merges}
    missing = [field for field, file in files.items() if file is None]
    if len(missing) == 1:
        return [(missing[0], f"is missing: {' and '.join(files)} are given together, or neither is")]
    return []


def _bpe_lacks(config: BpeConfig) -> list[tuple[str, str]]:
    what = "can read no prompt yet: give it GPT-2's encoder.json and vocab.bpe, as vocabulary and merges"
    return [("vocabulary", f"{what} (docs/checkpoints.md)")] if config.vocabulary is None else []


def _clip_bpe_lacks(config: ClipBpeConfig) -> list[tuple[str, str]]:
    what = "can read no prompt yet: give it CLIP's bpe_simple_vocab_16e6.txt.gz, as vocabulary"
    return [("vocabulary", f"{what} (docs/checkpoints.md)")] if config.vocabulary is None else []


def _provides(config: TransformerConfig) -> dict[str, object]:
    return {"text.width": config.width, "text.pooled": config.pooled_width, "text.context": config.context}


def _weighted_provides(config: WeightedConfig, inner: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    encoder = inner["encoder"]
    longer = {"text.context": config.chunks * encoder["text.context"]} if "text.context" in encoder else {}
    return {**encoder, **longer}


_HERE = "glidepath.plugins.text"
_WORDS = {"vocabulary": ["a", "red", "tan", "circle", "square", "ribbon"]}
_SMALL = {
    "width": 32,
    "layers": 2,
    "heads": 2,
    "context": 8,
    "pooled_width": 48,
    "tokenizer": {"use": "glidepath-diffusion/words", **_WORDS},
}


@hookimpl
def components() -> Iterable[Component]:
    """The text encoders and the tokenizers."""
    return (
        Component(
            kind="text_encoder",
            name="transformer",
            target=f"{_HERE}.transformer:TransformerTextEncoder",
            config=f"{_HERE}.configs:TransformerConfig",
            summary="GLIDE's text encoder, trained together with its denoiser",
            provides=_provides,
            check=transformer_faults,
            example=_SMALL,
            references=('Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 4.1',),
        ),
        Component(
            kind="text_encoder",
            name="weighted",
            target=f"{_HERE}.weighted:WeightedTextEncoder",
            config=f"{_HERE}.configs:WeightedConfig",
            summary="another text encoder, with weights of words, as in (red:1.2), and longer prompts",
            provides=_weighted_provides,
            example={"encoder": {"use": "glidepath-diffusion/transformer", **_SMALL}, "chunks": 2},
        ),
        Component(
            kind="tokenizer",
            name="bpe",
            target=f"{_HERE}.bpe:BpeTokenizer",
            config=f"{_HERE}.configs:BpeConfig",
            summary="GPT-2's byte-level byte-pair encoding, from files that you give (GLIDE)",
            check=bpe_faults,
            lacks=_bpe_lacks,
            references=(
                'Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2',
                'Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", '
                "arXiv:1508.07909",
            ),
        ),
        Component(
            kind="tokenizer",
            name="clip-bpe",
            target=f"{_HERE}.clip_bpe:ClipBpeTokenizer",
            config=f"{_HERE}.configs:ClipBpeConfig",
            summary="the byte-pair encoding of CLIP, from a file that you give",
            lacks=_clip_bpe_lacks,
            references=(
                'Radford et al. 2021, "Learning Transferable Visual Models", arXiv:2103.00020, section 2.4',
            ),
        ),
        Component(
            kind="tokenizer",
            name="words",
            target=f"{_HERE}.words:WordsTokenizer",
            config=f"{_HERE}.configs:WordsConfig",
            summary="whole words from a list, for small vocabularies",
            check=words_faults,
            example=_WORDS,
        ),
    )
