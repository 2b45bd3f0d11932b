"""Files of text: what is a line, and in which encoding it is written."""

from __future__ import annotations

from pathlib import Path

from glidepath.registry.files.reading import read_bytes

_MOST_BYTES = 2**30


def read_text(path: Path, most: int = _MOST_BYTES) -> str:
    """The text of a file in UTF-8, without the byte order mark that some programs write before it.

    Raises:
        OSError: it cannot be read, or has more than `most` bytes.
        UnicodeDecodeError: it is not in UTF-8.
    """
    return read_bytes(path, most).decode("utf-8-sig")


def read_lines(path: Path, most: int = _MOST_BYTES) -> list[str]:
    """The lines of such a file, without their ends.

    A line ends with a line feed, or with a carriage return and a line feed; in a file without any line feed,
    with a carriage return. No other character ends one: U+2028, U+0085 and form feeds stand in texts.

    Raises:
        OSError: it cannot be read, or has more than `most` bytes.
        UnicodeDecodeError: it is not in UTF-8.
    """
    text = read_text(path, most)
    return [line.removesuffix("\r") for line in text.split("\n" if "\n" in text else "\r")]
