"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge

from glidepath.registry import asset, doc, part


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
class WeightedConfig:
    """Another text encoder, with marks that weight words, and room for longer prompts."""

    encoder: Any = attrs.field(metadata=part("text_encoder", "embeds the prompt without its marks"))
    how: Literal["empty", "mean", "scale"] = attrs.field(
        default="empty",
        metadata=doc(
            "what a weight does to a token vector. empty: moves it away from that of an empty prompt, or "
            "towards it (ComfyUI); mean: multiplies it, and all of them by what restores their mean "
            "(AUTOMATIC1111); scale: multiplies it"
        ),
    )
    chunks: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc(
            "how many times the encoder's context is read, also of shorter prompts; what does not fit is lost"
        ),
    )


@attrs.frozen(kw_only=True)
class BpeConfig:
    """GPT-2's byte-level byte-pair encoding. The defaults other than the files are GLIDE's."""

    vocabulary: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=asset(
            "encoder.json, which gives each token its id; .gz is read too; none: no prompt can be read until "
            "it is given, and the sizes are GPT-2's"
        ),
    )
    merges: Path | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Path),
        metadata=asset("vocab.bpe, which lists the merges, first to last; .gz is read too"),
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
        metadata=asset(
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
        metadata=asset("in place of vocabulary: a text file with one word a line"),
    )
    unknown: Literal["error", "ignore"] = attrs.field(
        default="error",
        metadata=doc("a word that is not in the list: refuse the prompt, or leave the word out", free=True),
    )
