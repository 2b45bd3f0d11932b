"""Tables, as commands print them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Never

import pytest

from glidepath.registry.cli.printing import print_json, text_table


def test_table_columns_are_aligned() -> None:
    assert text_table([("a", "bbb", "c"), ("aaa", "b", "")]) == "a    bbb  c\naaa  b"


def test_a_long_last_column_can_be_broken_into_lines() -> None:
    first, second, third = text_table([("name", "word " * 30), ("x", "y")], wrap=True).splitlines()
    assert first.startswith("name  word word")
    assert second.startswith("      word")
    assert third == "x     y"
    assert max(len(first), len(second)) <= 118


def test_what_is_printed_as_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(word: str) -> Never:
        raise AssertionError(f"{word} is no JSON")

    print_json({"bound": [1, float("inf"), (-float("inf"), float("nan"))], "path": Path("a/b"), "no": None})
    shown = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert shown == {"bound": [1, ".inf", ["-.inf", ".nan"]], "path": "a/b", "no": None}
