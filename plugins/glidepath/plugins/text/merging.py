"""What byte-level byte-pair encodings share: letters for bytes, merging pairs, reading files."""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from glidepath.core.errors import PartError


def _byte_letters() -> dict[int, str]:
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


LETTERS = _byte_letters()
"""A printable letter for each byte: itself where Latin-1 prints it, first; then the next from U+0100."""

BYTES = {letter: bytes([byte]) for byte, letter in LETTERS.items()}


def merge(symbols: Iterable[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Join the pair that was learned first, everywhere in the word, until no pair was learned.

    ranks: each pair that was learned, and when (Sennrich et al. 2016, section 3.2).
    """
    symbols = list(symbols)
    while len(symbols) > 1:
        pairs = set(pairwise(symbols))
        first = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if first not in ranks:
            break
        symbols = list(_joined(symbols, first))
    return symbols


def _joined(symbols: Sequence[str], pair: tuple[str, str]) -> Iterator[str]:
    index = 0
    while index < len(symbols):
        if tuple(symbols[index : index + 2]) == pair:
            yield pair[0] + pair[1]
            index += 2
        else:
            yield symbols[index]
            index += 1


def character_class(character: str) -> str:
    """L letter, N number, S white space other than the space, O anything else; the space is itself.

    The standard library's patterns know no Unicode classes; so they are matched on these.
    """
    if character == " ":
        return " "
    category = unicodedata.category(character)[0]
    if category in "LN":
        return category
    return "S" if _SPACE.match(character) else "O"


# Unicode's White_Space property; str.isspace also has the separators U+001C to U+001F
_SPACE = re.compile(r"[\t-\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


def read_text(file: Path, tokenizer: str) -> str:
    """A file's text, unpacked if it is compressed by gzip.

    Raises:
        PartError: it cannot be read; the message names `tokenizer`.
    """
    try:
        data = file.read_bytes()
        return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise PartError(f"tokenizer {tokenizer} cannot read {file}: {error}") from error
