"""A file of text is in UTF-8, with or without a mark; a line of it ends with a line feed and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from glidepath.registry.files.text_file import read_lines


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"a\nb\n", ["a", "b", ""]),
        (b"a\r\nb\r\n", ["a", "b", ""]),
        (b"a\rb", ["a", "b"]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        *((f"a{sign}b\nc".encode(), [f"a{sign}b", "c"]) for sign in "\r\v\f\x1c\x1e\x85\u2028\u2029\ufeff"),
        (b"", [""]),
    ],
)
def test_lines_end_with_line_feeds(written: bytes, lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(written)
    assert read_lines(tmp_path / "a.txt") == lines
