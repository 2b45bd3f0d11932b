"""What this plugin supplies: text encoder `transformer`; tokenizers `bpe`, `clip-bpe`, `words`. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge

from glidepath.registry.component import Component, doc, part
from glidepath.registry.hooks import hookimpl


@attrs.frozen(kw_only=True)
class TransformerConfig:
    """GLIDE's text encoder: a transformer whose last position becomes the pooled vector."""

    width: int = attrs.field(default=512, validator=ge(1), metadata=doc("width of the token vectors"))
    layers: int = attrs.field(default=16, validator=ge(0), metadata=doc("transformer blocks"))
    heads: int = attrs.field(default=8, validator=ge(1), metadata=doc("attention heads; they divide width"))
    context: int = attrs.field(
        default=128, validator=ge(1), metadata=doc("tokens of a prompt that are read; those after are lost")
    )
    pooled_width: int = attrs.field(
        default=768,
        validator=ge(1),
        metadata=doc("width of the pooled vector; adm-unet needs 4 times its channels"),
    )
    final_layer_norm: bool = attrs.field(default=True, metadata=doc("normalise the token vectors at the end"))
    padding_embedding: bool = attrs.field(
        default=True,
        metadata=doc("positions beyond the prompt hold a learned vector each; false: the padding token"),
    )
    tokenizer: Any = attrs.field(default=None, metadata=part("tokenizer", "turns the prompt into integers"))


@attrs.frozen(kw_only=True)
class BpeConfig:
    """GPT-2's byte-level byte-pair encoding. The defaults other than the files are GLIDE's."""

    vocabulary: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=doc(
            "encoder.json, which gives each token its id; .gz is read too; none: no prompt can be read until "
            "it is given, and the sizes are GPT-2's"
        ),
    )
    merges: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=doc("vocab.bpe, which lists the merges, first to last; .gz is read too"),
    )
    lowercase: bool = attrs.field(default=True, metadata=doc("read text in lower case"))
    padding: str = attrs.field(
        default="<|endoftext|>", metadata=doc("the token of the vocabulary that fills unused positions")
    )


@attrs.frozen(kw_only=True)
class ClipBpeConfig:
    """The byte-pair encoding of OpenAI's CLIP models: 49,408 tokens, text in lower case."""

    vocabulary: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=doc(
            "bpe_simple_vocab_16e6.txt.gz, which lists the merges, first to last; none: no prompt can be "
            "read until it is given, and the sizes are CLIP's"
        ),
    )
    repair: Literal["plain", "ftfy"] = attrs.field(
        default="plain",
        metadata=doc(
            "what is mended in a text before it is read. plain: curly quotes, wide forms, ligatures, control "
            "characters, decomposed letters; ftfy: also text that was decoded wrongly, by the package ftfy",
            free=True,
        ),
    )


@attrs.frozen(kw_only=True)
class WordsConfig:
    """Whole words from a list: one id each, in the list's order, and one more for padding."""

    vocabulary: tuple[str, ...] | None = attrs.field(
        default=None, metadata=doc("the words, in lower case, in the order of their ids")
    )
    file: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=doc("in place of vocabulary: a text file with one word a line"),
    )
    unknown: Literal["error", "ignore"] = attrs.field(
        default="error",
        metadata=doc("a word that is not in the list: refuse the prompt, or leave the word out", free=True),
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


_HERE = "glidepath.plugins.text"
_WORDS = {"vocabulary": ["a", "red", "tan", "circle", "square", "ribbon"]}


@hookimpl
def components() -> Iterable[Component]:
    """The text encoder and the tokenizers."""
    return (
        Component(
            kind="text_encoder",
            name="transformer",
            target=f"{_HERE}.transformer:TransformerTextEncoder",
            config=TransformerConfig,
            summary="GLIDE's text encoder, trained together with its denoiser",
            provides=_provides,
            check=transformer_faults,
            example={
                "width": 32,
                "layers": 2,
                "heads": 2,
                "context": 8,
                "pooled_width": 48,
                "tokenizer": {"use": "glidepath/words", **_WORDS},
            },
            references=('Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 2.2',),
        ),
        Component(
            kind="tokenizer",
            name="bpe",
            target=f"{_HERE}.bpe:BpeTokenizer",
            config=BpeConfig,
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
            config=ClipBpeConfig,
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
            config=WordsConfig,
            summary="whole words from a list, for small vocabularies",
            check=words_faults,
            example=_WORDS,
        ),
    )
