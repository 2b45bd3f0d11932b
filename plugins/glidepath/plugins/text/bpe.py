"""GPT-2's byte-level byte-pair encoding (Radford et al. 2019, section 2.2), as GLIDE uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from glidepath.core import PartError
from glidepath.plugins.text.configs import BpeConfig
from glidepath.plugins.text.merging import (
    BYTES,
    LETTERS,
    Remembered,
    character_class,
    merge,
    read_merges,
    read_text,
)
from glidepath.plugins.text.plugin import bpe_faults

GPT2_TOKENS = 50257
"""How many tokens GPT-2 has; the last one, <|endoftext|>, pads."""


class BpeTokenizer:
    """Bytes, merged pair by pair in the order that a training corpus gave: every text has ids.

    Text is cut into pieces (a word with the space before it, a run of digits, of other signs, of spaces), and
    merges stay within a piece.

    Without files it has GPT-2's sizes, so that networks can be built and measured, and knows the empty text.

    Raises:
        PartError: a file cannot be read, or the two do not belong together.
    """

    def __init__(self, config: BpeConfig) -> None:
        for field, fault in bpe_faults(config):
            raise PartError(f"tokenizer bpe: {field} {fault}")
        self._lowercase = config.lowercase
        self._ids: dict[str, int] = {}
        self._ranks: dict[tuple[str, str], int] = {}
        self._size, self._padding_id = GPT2_TOKENS, GPT2_TOKENS - 1
        if config.vocabulary is not None and config.merges is not None:
            self._ids = _read_ids(config.vocabulary)
            self._ranks = {pair: rank for rank, pair in enumerate(read_merges(config.merges, "bpe"))}
            _check(self._ids, self._ranks, config)
            self._size, self._padding_id = len(self._ids), self._ids[config.padding]
        self._tokens = {index: token for token, index in self._ids.items()}
        self._pieces = Remembered(self._ids_of)

    @property
    def vocabulary_size(self) -> int:
        """How many different ids there are, the padding id included."""
        return self._size

    @property
    def padding_id(self) -> int:
        """The id of the token `padding`."""
        return self._padding_id

    def encode(self, text: str) -> list[int]:
        """The ids of a text. No token marks its beginning or its end.

        Raises:
            PartError: there are no files to read a text with.
        """
        if text and not self._ids:
            raise PartError(
                f"tokenizer bpe cannot read {text!r}: it was given no vocabulary. It takes GPT-2's two "
                "files, which come with GLIDE's program and with GPT-2: in a spec, text_encoder: {tokenizer: "
                "{vocabulary: encoder.json, merges: vocab.bpe}}; on the command line, "
                "--set text_encoder.tokenizer.vocabulary=encoder.json "
                "--set text_encoder.tokenizer.merges=vocab.bpe (for a cascade: stages.base.text_encoder...)"
            )
        if self._lowercase:
            text = text.lower()
        return [index for piece in split(text) for index in self._pieces[piece]]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; bytes that are no UTF-8 become U+FFFD."""
        letters = "".join(self._tokens[index] for index in ids)
        # a letter that stands for no byte can only come from a special token, and stands for itself
        return b"".join(BYTES.get(letter, letter.encode()) for letter in letters).decode(
            "utf-8", errors="replace"
        )

    def _ids_of(self, piece: str) -> list[int]:
        # a lone surrogate is no character; it is read as the question mark that UTF-8 puts in its place
        letters = (LETTERS[byte] for byte in piece.encode("utf-8", errors="replace"))
        return [self._ids[token] for token in merge(letters, self._ranks)]


def split(text: str) -> list[str]:
    r"""Cut a text into the pieces of GPT-2's pattern, which together are the text.

    The pattern: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. The standard
    library knows no Unicode classes, so the pattern is matched on a letter for each character's class.
    """
    classes = "".join(map(character_class, text))
    pieces = []
    start = 0
    while start < len(text):
        match = _CONTRACTION.match(text, start) or _PIECE.match(classes, start)
        assert match is not None  # every class has an alternative
        pieces.append(text[start : match.end()])
        start = match.end()
    return pieces


_CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
_PIECE = re.compile(r" ?L+| ?N+| ?O+|[ S]+(?![^ S])|[ S]+")


def _read_ids(file: Path) -> dict[str, int]:
    text = read_text(file, "bpe")
    try:
        ids: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PartError(f"tokenizer bpe: {file} is not JSON: {error}") from error
    # neither a float nor a bool is an id, though both can equal one
    if not isinstance(ids, dict) or any(type(index) is not int for index in ids.values()):
        raise PartError(f"tokenizer bpe: {file} does not map tokens to integers, their ids")
    missing = set(range(len(ids))) - set(ids.values())
    if missing:
        raise PartError(
            f"tokenizer bpe: {file} does not map its {len(ids)} tokens to the ids 0, 1, 2, ..., each once: "
            f"none has {min(missing)}"
        )
    return ids


def _check(ids: Mapping[str, int], merges: Iterable[tuple[str, str]], config: BpeConfig) -> None:
    if config.padding not in ids:
        raise PartError(f"tokenizer bpe: the padding token {config.padding!r} is not in {config.vocabulary}")
    missing = [token for token in (*BYTES, *map("".join, merges)) if token not in ids]
    if missing:
        raise PartError(
            f"tokenizer bpe: {config.vocabulary} and {config.merges} do not belong together: the first lacks "
            f"{len(missing)} tokens that bytes and merges give, such as {missing[0]!r}"
        )
