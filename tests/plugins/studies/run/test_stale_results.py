"""Code that changes after a study has run: its results are reported where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_renamed import column, finished, rewrite, study

__all__ = ["finished"]

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


def test_scores_of_an_earlier_metric_are_reported_with_a_note(finished: list[str]) -> None:
    rewrite(OTHER_METRIC)
    scores, text = reported()
    assert scores == finished
    assert "Note: this was measured before the code of unruly/unruly (1.0) changed" in text


def test_images_of_an_earlier_core_are_taken_with_the_scores_that_are_of_them(
    finished: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other_core(monkeypatch)
    scores, text = reported()
    assert scores == finished
    assert "before the code of glidepath.core (" in text


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


def test_a_report_of_the_code_that_measured_needs_no_word(finished: list[str]) -> None:
    scores, text = reported()
    assert scores == finished
    assert "before the code" not in text
