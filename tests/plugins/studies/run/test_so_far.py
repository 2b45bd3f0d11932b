"""What is concluded while a study runs: as its measurements come, seldom enough, and at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glidepath.core import Event
from glidepath.plugins.studies.run.so_far import SoFar, verdicts_of
from glidepath.plugins.studies.store.store import VERDICTS, Store

MEASURED = Event(name="trial-done", stage="measure a seed 0 right")
FOUND = {"summary": "undecided", "verdicts": [{"told": "a against b is undecided", "verdict": "undecided"}]}


@pytest.fixture
def so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SoFar, list[str]]:
    """It concludes the same each time, which is counted."""
    pytest.importorskip("scipy", reason="the statistics of a study need it: extra [studies]")
    made: list[str] = []

    def concluded(_self: SoFar) -> dict[str, Any]:
        made.append("")
        return FOUND

    monkeypatch.setattr(SoFar, "_concluded", concluded)
    monkeypatch.setattr("glidepath.plugins.studies.run.so_far._SHARE", 1e-9)
    return SoFar(None, None, Store(tmp_path)), made  # type: ignore[arg-type] - they are not looked at


def test_it_is_written_when_something_was_measured_and_the_time_for_it_has_come(
    so_far: tuple[SoFar, list[str]], tmp_path: Path
) -> None:
    listener, made = so_far
    (tmp_path / VERDICTS).write_text("of the run before")
    listener.tell(Event(name="started"))
    assert not (tmp_path / VERDICTS).exists()
    listener.tell(Event(name="trial-done", stage="sample a seed 0"))
    assert not made
    for _ in range(3):  # it has its share of the time after the first
        listener.tell(MEASURED)
    assert len(made) == 1
    assert verdicts_of(Store(tmp_path)) == FOUND
    listener.tell(Event(name="done"))
    assert len(made) == 2


def test_a_run_that_found_all_results_concludes_at_its_end(
    so_far: tuple[SoFar, list[str]], tmp_path: Path
) -> None:
    listener, made = so_far
    listener.tell(Event(name="started"))
    listener.tell(Event(name="done"))
    assert (len(made), verdicts_of(Store(tmp_path))) == (1, FOUND)


def test_what_cannot_be_concluded_ends_no_study(
    so_far: tuple[SoFar, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: SoFar) -> dict[str, Any]:
        raise ValueError("planted")

    monkeypatch.setattr(SoFar, "_concluded", broken)
    so_far[0].tell(MEASURED)
    so_far[0].tell(Event(name="stopped"))
    assert verdicts_of(Store(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "[]", '{"summary": 1, "verdicts": []}', '{"verdicts": [{"told": 1}]}'])
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / VERDICTS).write_text(text)
    assert verdicts_of(Store(tmp_path)) is None
