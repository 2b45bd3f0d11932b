"""The report: one page that stands alone, and the same in LaTeX, Markdown, CSV and figures."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import attrs
import numpy as np
import pytest
from tests.plugins.studies.simulated import PROMPTS, part_study, scale_study

from glidepath.plugins.studies.report.contents import document
from glidepath.plugins.studies.report.document import Cell, Code, Document, Drawing, Lines, Section, table
from glidepath.plugins.studies.report.latex import latex, table_file
from glidepath.plugins.studies.report.markdown import markdown
from glidepath.plugins.studies.report.numbers import estimate, interval, number, p_value
from glidepath.plugins.studies.report.page import page
from glidepath.plugins.studies.report.pareto import front
from glidepath.plugins.studies.report.pictures import best_and_worst, image_grids
from glidepath.plugins.studies.report.style import rendered
from glidepath.plugins.studies.report.tables import cost_table, difference_table, trend_table
from glidepath.plugins.studies.report.verdicts import sentence, summary
from glidepath.plugins.studies.report.write import write_report
from glidepath.plugins.studies.statistics.analysis import Analysis, compare
from glidepath.plugins.studies.statistics.results import ArmImage, Progress

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return compare(scale_study(folder=tmp_path_factory.mktemp("images")))


@pytest.fixture(scope="module")
def told(analysis: Analysis) -> Document:
    return document(analysis)


@pytest.fixture(scope="module")
def html(told: Document) -> str:
    return page(told)


class _Page(HTMLParser):
    """The tags of a page, what it refers to, and whether tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.identifiers: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if self.open[-1:] == [tag]:
            self.open.pop()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.references.append(str(value))
            if name == "id":
                self.identifiers.append(str(value))
        if tag not in ("meta", "img", "br", "hr", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    found = _Page(html)
    assert found.open == []
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert all(it.startswith(("#", "data:image/png;base64,")) for it in found.references)
    assert "http" not in re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html


def test_every_reference_within_the_page_has_its_one_target(html: str) -> None:
    found = _Page(html)
    assert len(found.identifiers) == len(set(found.identifiers))
    wanted = {it[1:] for it in found.references if it.startswith("#")} | set(
        re.findall(r"url\(#([^)]+)\)", html)
    )
    assert wanted <= set(found.identifiers)


def test_the_page_has_every_section_that_the_study_has_something_for(told: Document) -> None:
    assert [it.name for it in told.sections] == [
        "verdict", "main", "differences", "curves", "pareto", "variance", "images", "cost", "failures",
        "methods", "provenance",
    ]  # fmt: skip
    assert [it.name for it in document(compare(part_study())).sections] == [
        "verdict", "main", "differences", "leave-one-out", "failures", "methods",
    ]  # fmt: skip


def test_texts_of_the_study_are_shown_and_not_run(html: str) -> None:
    assert "+ b &lt;script&gt;" in html
    assert "OutOfMemoryError: tried to allocate 2 GiB &lt;at&gt; step 3" in html
    assert "<script" not in html


def test_the_page_opens_in_a_browser(html: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed to open the page with")
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = (tmp_path / "report.html").as_uri()
    done = subprocess.run(
        [browser, *options, "--dump-dom", address], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("<svg") == 4
    assert "Guidance scale" in done.stdout


def test_the_folder_holds_page_text_tables_numbers_and_figures(tmp_path: Path) -> None:
    path = write_report(part_study(), tmp_path / "out")
    assert path == tmp_path / "out" / "report.html"
    names = {str(it.relative_to(path.parent)) for it in path.parent.rglob("*") if it.is_file()}
    assert names == {
        "report.html", "report.md", "report.tex",
        "figures/forest.pdf", "figures/forest.png", "figures/leave-one-out.pdf", "figures/leave-one-out.png",
        "tables/main.tex", "tables/differences.tex", "tables/interactions.tex",
        "data/scores.csv", "data/estimates.csv", "data/comparisons.csv", "data/interactions.csv",
    }  # fmt: skip
    text = path.with_suffix(".tex").read_text(encoding="utf-8")
    for kind, name in re.findall(r"\\(input|includegraphics)(?:\[[^\]]*\])?\{([^}]*)\}", text):
        assert (path.parent / name).is_file(), kind
    for name in re.findall(r"\]\((figures/[^)]*)\)", path.with_suffix(".md").read_text(encoding="utf-8")):
        assert (path.parent / name).is_file()


def test_scores_come_back_from_csv_as_they_were(tmp_path: Path) -> None:
    results = part_study()
    path = write_report(results, tmp_path)
    rows = list(
        csv.DictReader(io.StringIO((path.parent / "data" / "scores.csv").read_text(encoding="utf-8")))
    )
    ours = [row for row in rows if row["arm"] == "full-EMA"]
    assert [float(row["score"]) for row in ours] == results.of("full-EMA", "all-right").ravel().tolist()
    assert [row["prompt"] for row in ours[:4]] == list(PROMPTS)


def test_a_figure_is_the_same_file_twice(told: Document) -> None:
    drawing = next(block for block in told.blocks if isinstance(block, Drawing))
    assert rendered(drawing.figure, "svg") == rendered(drawing.figure, "svg")


def test_the_grid_has_prompts_as_rows_and_arms_as_columns_the_baseline_first(analysis: Analysis) -> None:
    [gallery] = image_grids(analysis.results)
    assert gallery.columns[:2] == ("cosine 0", "cosine 1")
    assert [title for title, _ in gallery.rows] == list(PROMPTS)
    score = analysis.results.of("cosine-1", "all-right")[0, 0, 2]
    tile = gallery.rows[2][1][1]
    assert tile.file is not None
    assert (tile.file.name, tile.note) == ("cosine-1-2.png", number(score))


def test_the_caption_of_the_grid_says_what_a_number_is_the_mean_of(analysis: Analysis) -> None:
    for per_prompt, said in (
        (1, "The number under an image is its all right."),
        (4, "The number under an image is all right, the mean over the 4 images of the prompt."),
    ):
        results = attrs.evolve(analysis.results, per_prompt=per_prompt)
        for gallery in (*image_grids(results), best_and_worst(results)):
            assert gallery is not None
            assert said in gallery.caption


def test_the_caption_of_the_grid_says_how_much_of_the_study_it_shows(analysis: Analysis) -> None:
    [cut] = image_grids(analysis.results)
    missing = ", ".join(arm.title for arm in analysis.results.arms[4:])
    assert f"Arms that are not shown: {missing}." in cut.caption
    assert "Shown are" not in cut.caption
    [file] = {it.file for it in analysis.results.pictures if (it.arm, it.prompt) == ("cosine-0", 0)}
    every = tuple(
        ArmImage(arm=arm.name, prompt=prompt, file=file)
        for arm in analysis.results.arms
        for prompt in range(4)
    )
    grids = image_grids(attrs.evolve(analysis.results, pictures=every))
    assert [it.name for it in grids] == ["grid", "grid-2"]
    assert [len(it.columns) for it in grids] == [8, 3]
    assert {title for it in grids for title in it.columns} == {it.title for it in analysis.results.arms}
    assert {it.columns[0] for it in grids} == {analysis.results.arm(analysis.results.baseline).title}
    assert not any("not shown" in it.caption for it in grids)
    few = attrs.evolve(
        analysis.results, arms=analysis.results.arms[:4], scores={}, costs={}, failures=(), axes=()
    )
    [whole] = image_grids(few)
    assert "shown" not in whole.caption.lower()


def test_the_note_says_that_a_tie_is_no_improvement(analysis: Analysis) -> None:
    made = difference_table(analysis, list(analysis.family), "differences", "")
    assert "improved: share of units in which the arm is strictly better" in made.notes


def test_a_score_that_never_varies_has_p_1_in_the_table_of_trends() -> None:
    results = scale_study()
    constant = {
        arm: {**scores, "seconds": np.full_like(scores["seconds"], 0.1)}
        for arm, scores in results.scores.items()
    }
    made = trend_table(compare(attrs.evolve(results, scores=constant)))
    rows = [[cell.text for cell in row] for row in made.rows if row[0].text == "seconds per image"]
    assert [row[3:8] for row in rows] == 2 * [["0", "[0, 0]", "1.000", "1.000", "–"]]


def test_hours_are_of_the_device_whatever_it_is(analysis: Analysis) -> None:
    titles = [column.title for column in cost_table(analysis).columns]
    assert "hours of the device" in titles
    assert not any("GPU" in title for title in titles)


def test_the_report_of_an_unfinished_study_says_so_at_its_top_and_among_failures() -> None:
    results = attrs.evolve(part_study(), progress=Progress(done=12, waiting=18, all=30))
    made = document(compare(results))
    assert made.summary.startswith("This study is not finished: 12 of 30 nodes are done")
    [failures] = [it for it in made.sections if it.name == "failures"]
    assert failures.blocks == ("No trial has failed so far. 18 of 30 stages have not run yet.",)
    assert "12 of 30 nodes are done" in page(made)[: page(made).index("<nav>")]
    some = attrs.evolve(scale_study(), progress=Progress(done=12, waiting=18, all=31))
    [failures] = [it for it in document(compare(some)).sections if it.name == "failures"]
    assert failures.blocks[1:] == ("18 of 31 stages have not run yet.",)


@pytest.mark.parametrize("progress", [None, Progress(done=30, waiting=0, all=30)])
def test_the_report_of_a_finished_study_says_nothing_of_that(progress: Progress | None) -> None:
    made = document(compare(attrs.evolve(part_study(), progress=progress)))
    assert "not finished" not in made.summary
    [failures] = [it for it in made.sections if it.name == "failures"]
    assert failures.blocks == ("No trial failed.",)


def test_best_and_worst_pairs_are_those_that_change_most(analysis: Analysis) -> None:
    gallery = best_and_worst(analysis.results)
    assert gallery is not None
    scores = analysis.results.scores
    gains = (scores["cosine-1"]["all-right"] - scores["cosine-0"]["all-right"])[0, 0]
    assert gallery.rows[0][0] == f"cosine 1, best: {PROMPTS[int(np.argmax(gains))]}"


def test_a_study_without_pictures_has_no_grid() -> None:
    assert image_grids(part_study()) == ()
    assert best_and_worst(part_study()) is None


def test_on_the_front_is_what_no_other_arm_beats_in_everything(analysis: Analysis) -> None:
    metrics = [analysis.results.metric(name) for name in ("all-right", "kid")]
    names = {arm.name for arm in front(analysis, metrics)}
    assert {"cosine-2", "cosine-8"} <= names
    assert not any(name.startswith("linear") for name in names)


def test_verdicts_are_sentences(analysis: Analysis) -> None:
    better = sentence(analysis, analysis.comparisons["cosine-8", "all-right"])
    assert better.startswith("cosine 8 is better than cosine 0 in all right (difference +0.4")
    same = sentence(analysis, analysis.comparisons["cosine-4", "kid"])
    assert "cosine 4 is equivalent to cosine 0 in KID" in same
    assert "margin ±0.01" in same
    assert summary(analysis).startswith("Of 18 primary comparisons with cosine 0: ")
    alone = attrs.evolve(analysis.results.metric("all-right"), primary=False)
    exploratory = compare(attrs.evolve(part_study(), metrics=(alone,)))
    assert "exploratory" in summary(exploratory)


HOSTILE = r"100% of $x_1^2$ & {a} ~ #1 \ <b> [c]"


def test_latex_environments_close_and_only_ascii_is_left(told: Document) -> None:
    text = latex(told)
    opened: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if what == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    assert text.isascii()


def compiled(folder: Path) -> str:
    """What pdflatex says of report.tex in a folder; it ends with a page at least."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex is installed to compile with (Debian: texlive-latex-recommended)")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=240)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-3000:]
    assert "Output written on report.pdf" in said.replace("\n", " ")
    return said


@pytest.mark.parametrize("study", ["seeds", "grid"])
def test_the_latex_report_compiles_without_a_complaint(study: str, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex is installed to compile with (Debian: texlive-latex-recommended)")
    grid = {"scales": (0.0, 2.0, 4.0), "seeds": 3, "folder": tmp_path}
    write_report(part_study() if study == "seeds" else scale_study(**grid), tmp_path / "out")
    said = compiled(tmp_path / "out")
    assert "Overfull" not in said
    assert "Undefined" not in said


def test_latex_compiles_whatever_texts_a_study_has(tmp_path: Path) -> None:
    odd = HOSTILE + " 猫 Ħ ß \x1b \n\n ±−×≈▲▼↑↓→←∞–… `'\" -- --- ?` \\end{document} \t^^M"
    blocks = (
        odd,
        Lines((Cell(odd), Cell("[x] first"), Cell("*"))),
        Code(f"{odd}\n\n  \\verb|x\n+ %\n"),
        table("t", odd, ["< a", *"bcdefghijkl"], [[odd[:20], *"[*]&%#_{}~^"], [*"[*]&%#_{}~^x"]], odd),
    )
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "t.tex").write_text(table_file(blocks[-1]), encoding="utf-8")
    told = Document(odd, odd, odd, (Section("a", odd, blocks),))
    (tmp_path / "report.tex").write_text(latex(told), encoding="utf-8")
    compiled(tmp_path)


def test_markdown_shows_texts_as_they_are() -> None:
    section = Section(
        "a",
        "A|b",
        (HOSTILE, Lines((Cell("*x*"),)), Code("```\n<b>"), table("t", "c", "< a | n", [["x|y", "1"]])),
    )
    text = markdown(Document("T_1", "?", "!", (section,)))
    assert r"\#1 \\ \<b\> \[c\]" in text
    assert "- \\*x\\*" in text
    assert "    ```\n    <b>" in text
    assert "| x\\|y | 1 |" in text
    assert "| --- | ---: |" in text


@pytest.mark.parametrize(
    ("value", "precision", "said"),
    [
        (0.93456, 0.0123, "0.935"), (0.93456, 0.0456, "0.93"), (-0.5, 0.05, "−0.50"),
        (1234.5, 100.0, "1,234"),
        (0.00031, None, "0.000310"), (float("nan"), None, "–"), (float("inf"), None, "∞"),
        (0.0, 0.01, "0.000"),
        (-0.0001, 0.05, "−0.0001"), (3.14159, None, "3.14"), (0.0, None, "0"), (2.0e-9, None, "2.00e−09"),
    ],
)  # fmt: skip
def test_numbers_have_as_many_digits_as_their_interval_warrants(
    value: float, precision: float | None, said: str
) -> None:
    assert number(value, precision) == said


def test_intervals_estimates_and_p_are_printed_as_papers_do() -> None:
    assert interval(-0.0123, 0.0456) == "[−0.012, 0.046]"
    assert estimate(0.5, 0.4, 0.6) == "0.50 ± 0.10"
    assert estimate(0.5, float("nan"), float("nan")) == "0.500"
    assert [p_value(it) for it in (0.03125, 0.00049, 0.0, None)] == ["0.031", "0.0005", "< 0.0001", "–"]


@pytest.mark.thorough
def test_an_image_grid_is_written_with_its_cells(tmp_path: Path) -> None:
    results = scale_study(scales=(0.0, 2.0, 4.0), seeds=3, folder=tmp_path)
    path = write_report(attrs.evolve(results, axes=()), tmp_path / "out")
    cells = json.loads((path.parent / "figures" / "grid.json").read_text(encoding="utf-8"))
    assert len(cells) == 4 * len(PROMPTS)
    assert set(cells[0]) == {"row", "column", "file", "note"}
    assert (path.parent / "figures" / "grid.pdf").is_file()
