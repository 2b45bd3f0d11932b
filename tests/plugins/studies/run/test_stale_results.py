"""Code that changes after a study has run: its results are reported where that is asked for."""

from __future__ import annotations

import csv
import importlib
import os
import sys
from pathlib import Path

import pytest

from glidepath.plugins.studies.study.cache_keys import source_digest
from glidepath.registry.cli import main

pytestmark = pytest.mark.thorough

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red, green]}
metrics: {primary: {light: {use: unruly, does: nothing}}}
engine: in-process
"""


def rewrite(*changes: tuple[str, str]) -> None:
    """The plugin of the metric in another version."""
    file = next(Path(folder, "unruly", "plugin.py") for folder in sys.path if Path(folder, "unruly").is_dir())
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    for name in [name for name in sys.modules if name.split(".")[0] == "unruly"]:
        del sys.modules[name]
    # as a new process would find it
    os.utime(file.parents[1])
    importlib.invalidate_caches()
    source_digest.cache_clear()


def study(*words: str) -> int:
    return main(["study", *words])


@pytest.fixture
def finished(small: Path, unruly: None) -> list[str]:
    """The scores of a study that has run."""
    Path("study.yaml").write_text(STUDY)
    assert study("run", "study.yaml") == 0
    assert study("export", "study.yaml", "--out", "scores.csv") == 0
    return column("scores.csv", "value")


def column(file: str, name: str) -> list[str]:
    with Path(file).open() as lines:
        return [row[name] for row in csv.DictReader(lines) if row["metric"] == "light"]


OTHER_METRIC = ("float().mean()", "float().max()")


def reported() -> tuple[list[str], str]:
    """The scores of the report, and its text."""
    assert study("report", "study.yaml", "--as-measured", "--out", "report") == 0
    return column("report/data/scores.csv", "score"), Path("report/report.md").read_text()


def other_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glidepath.plugins.studies.study.graph.core_digest", lambda: "of another core")


def test_the_error_tells_what_changed_and_how_to_report_it(
    finished: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(OTHER_METRIC)
    assert study("report", "study.yaml") == 1
    said = capsys.readouterr().err
    assert "nothing was measured yet by what is installed" in said
    assert "before the code of unruly/unruly (1.0) changed" in said
    assert "--as-measured reports them, and `glidepath study run study.yaml` measures anew" in said


@pytest.mark.thorough
def test_scores_of_an_earlier_metric_are_reported_with_a_note(finished: list[str]) -> None:
    rewrite(OTHER_METRIC)
    scores, text = reported()
    assert scores == finished
    assert "Note: this was measured before the code of unruly/unruly (1.0) changed" in text


@pytest.mark.thorough
def test_images_of_an_earlier_core_are_taken_with_the_scores_that_are_of_them(
    finished: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other_core(monkeypatch)
    scores, text = reported()
    assert scores == finished
    assert "before the code of glidepath.core (" in text


@pytest.mark.thorough
def test_what_is_measured_anew_is_reported_without_a_note(
    finished: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(OTHER_METRIC)
    other_core(monkeypatch)
    assert study("run", "study.yaml") == 0
    scores, text = reported()
    assert scores != finished
    assert "before the code" not in text


@pytest.mark.parametrize("changed", ["metrics.primary.light.times=3", "base.guidance[0].scale=5"])
def test_results_of_another_spec_are_not_taken(
    finished: list[str], changed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other_core(monkeypatch)
    assert study("report", "study.yaml", "--as-measured", "--set", changed) == 1
    assert "nothing was measured yet: `glidepath study run study.yaml` does" in capsys.readouterr().err


def test_a_report_is_of_the_threads_that_ran(finished: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert study("report", "study.yaml", "--out", "report") == 0
    assert column("report/data/scores.csv", "score") == finished
    assert study("report", "study.yaml", "--set", "data.threads=7", "--out", "report") == 1


def test_a_report_of_the_code_that_measured_needs_no_word(finished: list[str]) -> None:
    scores, text = reported()
    assert scores == finished
    assert "before the code" not in text


@pytest.mark.thorough
def test_another_label_is_another_name_for_the_same_scores(finished: list[str]) -> None:
    Path("study.yaml").write_text(STUDY.replace("light:", "brightness:"))
    assert study("report", "study.yaml", "--out", "report") == 0
    rows = Path("report/data/scores.csv").read_text()
    assert rows.count("brightness") == len(finished)
