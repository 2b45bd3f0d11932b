"""What is mended in a text before CLIP reads it."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.errors import PartError
from glidepath.plugins.text import repair


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("“quoted” ‘too’", "\"quoted\" 'too'"),
        ("Wide！", "Wide!"),
        ("ﬁne Ĳssel ŉ", "fine IJssel 'n"),
        ("e\u0301", "é"),
        ("zero\ufeff bell\x07 \x1b[31mred", "zero bell red"),
        ("\ud83d\udc36 \ud800", "🐶 \ufffd"),
        ("&ldquo;a&rdquo; &amp;amp;", '"a" &'),
        ("&amp; <b>", "&amp; <b>"),
        ("plain text, with signs: 1/2 (a) — …", "plain text, with signs: 1/2 (a) — …"),
    ],
)
def test_variants_of_a_letter_become_the_letter(text: str, mended: str) -> None:
    assert repair.plain(text) == mended


LETTERS = [
    *"ab <>&;'\"\n\t.,-1½犬🐶ñ→",
    *("&amp;", "&lt;", "&ldquo;", "&#39;", "“", "”", "‘", "ﬁ", "Ĳ", "ŉ", "ǅ", "Ａ", "ｦ", "。", "\u3000"),
    *(
        "e\u0301",
        "\u0301",
        "\u200d",
        "\x00",
        "\x1b[31m",
        "\ufeff",
        "\u2028",
        "\r\n",
        "\ud83d\udc36",
        "\ud800",
    ),
]


@given(st.lists(st.sampled_from(LETTERS), max_size=8).map("".join))
def test_text_that_was_decoded_rightly_is_mended_as_ftfy_does(text: str) -> None:
    ftfy = pytest.importorskip("ftfy", reason="the comparison needs the package ftfy")
    assert repair.plain(text).split() == ftfy.fix_text(text).split()


def test_without_ftfy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(PartError, match=r"pip install 'glidepath-diffusion\[clip\]'"):
        repair.by_ftfy("cafÃ©")


def test_ftfy_mends_text_that_was_decoded_wrongly() -> None:
    pytest.importorskip("ftfy", reason="needs the package ftfy")
    assert repair.by_ftfy("cafÃ©") == "café"
