"""What CLIP mends in a text before it is read: typographic variants of one letter become that letter.

OpenAI's program hands each text to the package ftfy. For text that was decoded rightly, this gives the same
but for line ends, which are white space either way; it does not guess in which wrong encoding a text was read
("cafÃ©").
"""

from __future__ import annotations

import html
import re
import unicodedata

from glidepath.core.errors import PartError


def plain(text: str) -> str:
    """The text with straight quotes, letters in place of ligatures and wide forms, in composed form (NFC)."""
    if "<" not in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    text = _TERMINAL_ESCAPE.sub("", text).translate(_MENDED)
    # halves of a character become the character; one alone is none
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return unicodedata.normalize("NFC", text)


def by_ftfy(text: str) -> str:
    """The text as the package ftfy mends it, text that was decoded wrongly included.

    Raises:
        PartError: ftfy is not installed.
    """
    try:
        from ftfy import fix_text
    except ModuleNotFoundError as error:
        raise PartError(
            "tokenizer clip-bpe with repair: ftfy needs the package ftfy; install it with: "
            "pip install 'glidepath[clip]', or choose repair: plain"
        ) from error
    mended: str = fix_text(text)
    return mended


_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_TERMINAL_ESCAPE = re.compile(r"\x1b\[(?:\d|;)*[a-zA-Z]")


def _ranges(text: str) -> list[int]:
    """The code points of ranges written as "A-B C-D", each end in hexadecimal."""
    pairs = (span.partition("-") for span in text.split())
    return [code for first, _, last in pairs for code in range(int(first, 16), int(last or first, 16) + 1)]


def _mended() -> dict[int, str]:
    # wide and narrow forms of East Asian printing, and the Latin ligatures and digraphs
    compatible = _ranges("ff01-ffef 3000 132-133 1c4-1cc 1f1-1f3 fb00-fb06")
    mended = {code: unicodedata.normalize("NFKC", chr(code)) for code in compatible} | {0x149: "'n"}
    mended |= dict.fromkeys(_ranges("2018-201b 2bc"), "'") | dict.fromkeys(_ranges("201c-201f"), '"')
    return mended | dict.fromkeys(_ranges("0-8 b e-1f 7f 206a-206f feff fff9-fffc"), "")


_MENDED = _mended()
