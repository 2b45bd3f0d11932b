"""Tables, as commands print them."""

from __future__ import annotations

from glidepath.registry.cli.printing import text_table


def test_table_columns_are_aligned() -> None:
    assert text_table([("a", "bbb", "c"), ("aaa", "b", "")]) == "a    bbb  c\naaa  b"


def test_a_long_last_column_can_be_broken_into_lines() -> None:
    first, second, third = text_table([("name", "word " * 30), ("x", "y")], wrap=True).splitlines()
    assert first.startswith("name  word word")
    assert second.startswith("      word")
    assert third == "x     y"
    assert max(len(first), len(second)) <= 118
