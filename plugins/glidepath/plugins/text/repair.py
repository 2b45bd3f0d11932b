"""What CLIP mends in a text before it is read: typographic variants of one letter become that letter.

OpenAI's program hands each text to the package ftfy. Without it, all is mended that ftfy mends by rule; what
it guesses is not: in which wrong encoding a text was read ("cafÃ©", whose bytes are those of "café").
"""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

from glidepath.core import PartError


def plain(text: str) -> str:
    """The text with straight quotes, letters in place of ligatures and wide forms, in composed form (NFC).

    It is what `fix_text` of ftfy 6 gives with fix_encoding=False, but for the kind of its line ends. As
    there, entities are replaced up to the first line that has a "<": from there on it may be HTML.
    """
    lines = text.split("\n")
    entities_end = next((index for index, line in enumerate(lines) if "<" in line), len(lines))
    return "\n".join(_mended(line, entities=index < entities_end) for index, line in enumerate(lines))


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
            "pip install 'glidepath-diffusion[clip]', or choose repair: plain"
        ) from error
    mended: str = fix_text(text)
    return mended


def _mended(line: str, *, entities: bool) -> str:
    """A line, mended until there is nothing to mend: an entity may stand for the beginning of another."""
    before = None
    while line != before:
        before = line
        if entities:
            line = _ENTITY.sub(lambda found: _character(found[0]), line)
        line = line.translate(_VARIANTS)
        # halves of a character become the character; one alone is none
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        line = _TERMINAL_ESCAPE.sub("", line).translate(_CONTROLS)
        line = unicodedata.normalize("NFC", line)
    return line


def _character(entity: str) -> str:
    """What an entity such as "&eacute;" or "&#233;" stands for, in capitals too; itself where it is none."""
    character = html.unescape(entity)
    if entity.startswith("&#"):
        return entity if ";" in character else character
    name = entity[1:]
    if name in html5:
        return html5[name]
    small = name.lower()
    # "&ampere;" begins with an entity, "&amp", and is none by itself
    return html5[small].upper() if character == entity and name.isupper() and small in html5 else entity


_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_TERMINAL_ESCAPE = re.compile(r"\x1b\[(?:\d|;)*[a-zA-Z]")


def _ranges(text: str) -> list[int]:
    """The code points of ranges written as "A-B C-D", each end in hexadecimal."""
    pairs = (span.partition("-") for span in text.split())
    return [code for first, _, last in pairs for code in range(int(first, 16), int(last or first, 16) + 1)]


def _variants() -> dict[int, str]:
    # wide and narrow forms of East Asian printing, and the Latin ligatures and digraphs
    compatible = _ranges("ff01-ffef 3000 132-133 1c4-1cc 1f1-1f3 fb00-fb06")
    variants = {code: unicodedata.normalize("NFKC", chr(code)) for code in compatible}
    variants |= {0x149: "'n", 0xFB05: "\u017ft"}  # a long s stays long
    variants |= dict.fromkeys(_ranges("2018-201b 2bc"), "'") | dict.fromkeys(_ranges("201c-201f"), '"')
    # control characters that no text means: Windows-1252 has letters there, most often meant
    windows = {
        code: bytes([code]).decode("windows-1252", "ignore") or chr(code) for code in range(0x80, 0xA0)
    }
    return variants | {code: variants.get(ord(letter), letter) for code, letter in windows.items()}


_VARIANTS = _variants()
_CONTROLS = dict.fromkeys(_ranges("0-8 b e-1f 7f 206a-206f feff fff9-fffc"), "")
