"""What byte-level byte-pair encodings share: letters for bytes, merging pairs, reading words and files."""

from __future__ import annotations

import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from heapq import heapify, heappop, heappush
from pathlib import Path

from glidepath.core import PartError
from glidepath.registry import read_bytes

MOST_BYTES = 2**23
"""Of a file of words or merges, unpacked. Those of GPT-2 and of CLIP have a third of that."""


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


class Remembered(dict[str, list[int]]):
    """The ids of words, each read once; when there are many, new ones are read each time.

    read: gives the ids of a word.
    """

    def __init__(self, read: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, word: str) -> list[int]:
        ids = self._read(word)
        if len(self) < _MOST_REMEMBERED and len(word) <= _LONGEST_REMEMBERED:
            self[word] = ids
        return ids


_MOST_REMEMBERED, _LONGEST_REMEMBERED = 50_000, 64


def merge(symbols: Iterable[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Join the pair that was learned first, everywhere in the word, until no pair was learned.

    A word of n symbols takes n log n steps: the pairs wait in a heap, by when they were learned and where
    they stand.

    ranks: each pair that was learned, and when (Sennrich et al. 2016, section 3.2).
    """
    word = list(symbols)
    after = [*range(1, len(word)), -1]  # what stands right of each symbol, and left: -1 for nothing
    before = [-1, *range(len(word) - 1)]

    def ranked(left: int) -> list[tuple[int, int]]:
        """The place of a pair in the heap; nothing where it was never learned, or is none."""
        right = after[left] if left >= 0 else -1
        rank = ranks.get((word[left], word[right])) if right >= 0 else None
        return [] if rank is None else [(rank, left)]

    heap = [place for left in range(len(word)) for place in ranked(left)]
    heapify(heap)
    while heap:
        first = heap[0][0]
        joined = []
        while heap and heap[0][0] == first:
            place = heappop(heap)
            left = place[1]
            # one of the two may be gone since, into the pair before it
            if word[left] and ranked(left) == [place]:
                right = after[left]
                word[left] += word[right]
                word[right] = ""
                after[left] = after[right]
                if after[left] >= 0:
                    before[after[left]] = left
                joined.append(left)
        # only now: a pair that this made may have been learned still earlier, and yet comes after these
        for left in joined:
            for place in (*ranked(before[left]), *ranked(left)):
                heappush(heap, place)
    return [symbol for symbol in word if symbol]


@lru_cache(maxsize=4096)
def character_class(character: str) -> str:
    """L letter, N number, S white space other than the space, O anything else; the space is itself.

    The standard library's patterns know no Unicode classes; so they are matched on these. They are of this
    Python's Unicode (`unicodedata.unidata_version`): characters that came later are O until it knows them.
    """
    if character == " ":
        return " "
    category = unicodedata.category(character)[0]
    if category in "LN":
        return category
    return "S" if _SPACE.match(character) else "O"


# Unicode's White_Space property; str.isspace also has the separators U+001C to U+001F
_SPACE = re.compile(r"[\t-\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


def read_merges(file: Path, tokenizer: str) -> list[tuple[str, str]]:
    """The merges that a file lists, first to last: two tokens a line, below its version if it has one.

    Raises:
        PartError: it cannot be read, or is no such list; the message names `tokenizer`.
    """
    lines = read_text(file, tokenizer).split("\n")
    merges = []
    for number, line in enumerate(lines, 1):
        tokens = line.split()
        if len(tokens) == 2 and not (number == 1 and _VERSION in line):
            merges.append((tokens[0], tokens[1]))
        elif tokens and number > 1:
            raise PartError(
                f"tokenizer {tokenizer}: {file} is no list of merges: line {number} is not two tokens, "
                f"but {line[:40]!r}"
            )
    return merges


_VERSION = "#version"


def read_text(file: Path, tokenizer: str) -> str:
    """A file's text, unpacked if it is compressed by gzip.

    Raises:
        PartError: it cannot be read; the message names `tokenizer`.
    """
    try:
        data = read_bytes(file, MOST_BYTES)
        if data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise OSError(f"it unpacks to more than {MOST_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PartError(f"tokenizer {tokenizer} cannot read {file}: {reason}") from error
