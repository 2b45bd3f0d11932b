"""Which weight marks give the words of a prompt."""

from __future__ import annotations

from itertools import groupby

import pytest

from glidepath.plugins.text.marks import read_marks

# those with a comment are documented examples of stable-diffusion-webui's parse_prompt_attention
CASES = {
    "normal text": [("normal text", 1)],  # webui
    "an (important) word": [("an ", 1), ("important", 1.1), (" word", 1)],  # webui
    "(unbalanced": [("unbalanced", 1.1)],  # webui
    r"\(literal\]": [("(literal]", 1)],  # webui
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],  # webui
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [  # webui
        ("a ", 1),
        ("house", 1.573),
        (" ", 1.1),
        ("on", 1),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641),
        (".", 1.1),
    ],
    "[far]": [("far", 1 / 1.1)],
    "(red: -.5 )": [("red", -0.5)],
    "at 10:30) it is": [("at 10:30) it is", 1)],
    "(at: noon)": [("at: noon", 1.1)],
    "[at:2]": [("at:2", 1 / 1.1)],
    r"a\b \\": [("a\\b \\", 1)],
    ":)": [(":)", 1)],
    "(:2)": [],
    "": [],
}


@pytest.mark.parametrize("prompt", CASES)
def test_marks_are_read_as_webui_reads_them(prompt: str) -> None:
    text, weights = read_marks(prompt)
    assert len(text) == len(weights)
    runs = groupby(zip(text, weights, strict=True), key=lambda pair: round(pair[1], 9))
    found = [("".join(letter for letter, _ in run), weight) for weight, run in runs]
    assert found == [(words, pytest.approx(weight, abs=1e-8)) for words, weight in CASES[prompt]]
