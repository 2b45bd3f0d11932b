"""The byte-pair encoding of OpenAI's CLIP models (Radford et al. 2021, section 2.4)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from glidepath.core import PartError
from glidepath.plugins.text import repair
from glidepath.plugins.text.configs import ClipBpeConfig
from glidepath.plugins.text.merging import BYTES, LETTERS, Remembered, character_class, merge, read_merges

TOKENS = 49408
"""How many tokens CLIP has: 256 bytes, each also as the end of a word, the merges, and two marks."""

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
_MERGES = TOKENS - 2 * 256 - 2


class ClipBpeTokenizer:
    """Bytes of words, merged pair by pair in the order that a training corpus gave; white space is lost.

    Text is mended (`repair`), HTML entities are replaced, and it is read in lower case. The marks of the
    beginning and the end of a text have ids that `encode` only gives where they are written out in the text.

    Without a file it has CLIP's sizes, so that networks can be built and measured, and knows the empty text.

    Raises:
        PartError: the file cannot be read, or is no list of merges.
    """

    padding_id = 0
    """What fills unused positions: zeros, as in the references. It is also the id of an exclamation mark."""

    def __init__(self, config: ClipBpeConfig) -> None:
        self._config = config
        self._ranks: dict[tuple[str, str], int] = {}
        self._ids: dict[str, int] = {}
        self._size = TOKENS
        if config.vocabulary is not None:
            merges = _read(config.vocabulary)
            self._ranks = {pair: rank for rank, pair in enumerate(merges)}
            letters = list(LETTERS.values())
            ends = [letter + _WORD_END for letter in letters]
            tokens = [*letters, *ends, *map("".join, merges), START, END]
            self._ids = {token: index for index, token in enumerate(tokens)}
            self._size = len(tokens)
        self._tokens = {index: token for token, index in self._ids.items()}
        self._words = Remembered(self._ids_of)

    @property
    def vocabulary_size(self) -> int:
        """How many different ids there are, the two marks included."""
        return self._size

    @property
    def start_id(self) -> int:
        """The id of the mark before a text."""
        return self._size - 2

    @property
    def end_id(self) -> int:
        """The id of the mark after a text."""
        return self._size - 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without the marks of its beginning and its end.

        Raises:
            PartError: there is no file to read a text with.
        """
        if text and not self._ids:
            raise PartError(
                f"tokenizer clip-bpe cannot read {text!r}: it was given no vocabulary. It takes CLIP's file "
                "bpe_simple_vocab_16e6.txt.gz, which comes with GLIDE's program, with OpenAI's CLIP and with "
                "open_clip; in a spec: tokenizer: {use: clip-bpe, vocabulary: bpe_simple_vocab_16e6.txt.gz}"
            )
        return [index for word in split(self._cleaned(text)) for index in self._words[word]]

    def decode(self, ids: Sequence[int]) -> str:
        """The words of some ids, separated by spaces; bytes that are no UTF-8 become U+FFFD."""
        letters = "".join(self._tokens[index] for index in ids)
        text = b"".join(BYTES[letter] for letter in letters).decode("utf-8", errors="replace")
        return text.replace(_WORD_END, " ").strip()

    def _cleaned(self, text: str) -> str:
        text = repair.by_ftfy(text) if self._config.repair == "ftfy" else repair.plain(text)
        # twice, because captions of the web are often escaped twice
        return html.unescape(html.unescape(text)).lower()

    def _ids_of(self, word: str) -> list[int]:
        """The ids of a word, the last of them marked as its end."""
        if word in (START, END):
            return [self._ids[word]]
        *symbols, last = (LETTERS[byte] for byte in word.encode("utf-8", errors="replace"))
        symbols.append(last + _WORD_END)
        return [self._ids[token] for token in merge(symbols, self._ranks)]


def split(text: str) -> list[str]:
    r"""Cut a text into words: runs of letters, single digits, runs of other signs; white space is dropped.

    The pattern: `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`, in
    any case. The standard library knows no Unicode classes, so one letter stands for each character's class,
    and these are matched. The package regex, which the references match with, finds no alternative for
    U+0345 when case is ignored, since it is a mark whose capital is a letter: it is dropped too.
    """
    classes = "".join(map(character_class, text.replace("\u0345", " ")))
    words = []
    start = 0
    while start < len(text):
        match = _WHOLE.match(text, start) or _WORD.match(classes, start)
        if match is not None:
            words.append(text[start : match.end()])
        start = match.end() if match is not None else start + 1
    return words


_WHOLE = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'(?:s|t|re|ve|m|ll|d)", re.IGNORECASE)
_WORD = re.compile(r"L+|N|O+")


def _read(file: Path) -> list[tuple[str, str]]:
    """The merges of CLIP's file, of which only the first are CLIP's."""
    merges = read_merges(file, "clip-bpe")[:_MERGES]
    if not merges:
        raise PartError(f"tokenizer clip-bpe: {file} is no list of merges, two tokens a line: it has none")
    known = {letter + end for letter in BYTES for end in ("", _WORD_END)}
    for pair in merges:
        strange = [token for token in pair if token not in known]
        if strange or "".join(pair) in known:
            fault = (
                f"merges {strange[0]!r} before anything makes it"
                if strange
                else "makes what is there already"
            )
            raise PartError(f"tokenizer clip-bpe: {file} is no list of merges: {' '.join(pair)!r} {fault}")
        known.add("".join(pair))
    return merges
