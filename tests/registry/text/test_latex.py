"""Plain text and tables as LaTeX."""

from __future__ import annotations

import re

from glidepath.registry import latex_table, latex_text

HOSTILE = r"100% of $x_1^2$ & {a} ~ #1 \ <b> [c]"


def test_what_latex_would_read_is_escaped() -> None:
    assert latex_text(HOSTILE) == (
        r"100\% of \$x\_1\textasciicircum{}2\$ \& \{a\} \textasciitilde{} \#1 \textbackslash{} $<$b$>$ [c]"
    )


def test_a_sign_that_pdflatex_does_not_have_is_named_and_lines_stay_one() -> None:
    assert latex_text("a\n\n猫 Ħ é\x1b[1m") == "a [U+732B] [U+0126] é[U+001B][1m"


def test_tables_are_booktabs_with_as_many_cells_as_columns() -> None:
    cells = [[HOSTILE, "−1.5 ± 0.2"], ["[c]", "–"]]
    made = latex_table("t", HOSTILE, ["a & b", "n"], cells, align="lr", notes="note")
    rows = [line for line in made.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
    assert [made.count(it) for it in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"\begin{tabular}{@{}lr@{}}" in made
    assert made.isascii()


def test_a_table_longer_than_a_page_is_continued() -> None:
    rows = [[f"line {number}", "1"] for number in range(130)]
    made = latex_table("t", "scores", ["arm", "n"], rows, notes="a note")
    floats = made.split(r"\end{table}")[:-1]
    assert [it.count("line ") for it in floats] == [56, 56, 18]
    assert [it.count(r"\toprule") for it in floats] == [1, 1, 1]
    assert [r"\caption{scores (continued)}" in it for it in floats] == [False, True, True]
    assert [made.count(it) for it in (r"\label{tab:t}", "a note")] == [1, 1]
    assert floats[-1].rstrip().endswith("a note")


def test_many_columns_stand_closer_together() -> None:
    closer = r"\setlength{\tabcolsep}{3pt}"
    made = [latex_table("t", "c", ["n"] * count, [["1"] * count]) for count in (9, 10)]
    assert [closer in it for it in made] == [False, True]
