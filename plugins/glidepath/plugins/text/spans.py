"""Which characters of a text each of its tokens stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from glidepath.core import PartError, Tokenizer, UnreadablePrompt

_WORD = re.compile(r"\s*\S+|\s+")
_RUN = re.compile(r"\s*(?:[^\W\d_]+|\d+|(?:[^\w\s]|_)+)|\s+")


def token_spans(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    """(begin, end) of each token of a text, found by reading its pieces by themselves.

    A piece is a run of letters, of digits or of other signs with the space before it; or all that stands
    between two spaces, where its runs have other tokens by themselves, as "don't" may. All tokens of a piece
    have its span.

    Raises:
        UnreadablePrompt: the tokenizer cannot read the text.
        PartError: it reads the text otherwise than its words by themselves.
    """
    ids = tokenizer.encode(text)
    found, spans = [], []
    for word in _WORD.finditer(text):
        for begin, end, piece in _pieces(tokenizer, text, *word.span()):
            found += piece
            spans += [(begin, end)] * len(piece)
    if found != ids:
        raise PartError(
            f"which tokens of {text!r} stand for which words is not known: by themselves they have others"
        )
    return spans


def _pieces(tokenizer: Tokenizer, text: str, begin: int, end: int) -> Iterator[tuple[int, int, list[int]]]:
    """The pieces of a word, with their tokens."""
    whole = tokenizer.encode(text[begin:end])
    runs = [match.span() for match in _RUN.finditer(text, begin, end)]
    try:
        read = [(*run, tokenizer.encode(text[slice(*run)])) for run in runs]
    except UnreadablePrompt:
        read = []
    yield from read if [index for *_, ids in read for index in ids] == whole else [(begin, end, whole)]
