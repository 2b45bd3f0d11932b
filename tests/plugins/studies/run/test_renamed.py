"""A metric that gets another name after a study has run: the report of the study stands."""

from __future__ import annotations

import csv
import importlib
import os
import sys
from pathlib import Path

import pytest

from glidepath.plugins.studies.study.cache_keys import source_digest
from glidepath.registry.cli import main

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


def reported() -> list[str]:
    assert study("report", "study.yaml", "--out", "report") == 0
    return column("report/data/scores.csv", "score")


def column(file: str, name: str) -> list[str]:
    with Path(file).open() as lines:
        return [row[name] for row in csv.DictReader(lines) if row["metric"] == "light"]


RENAMED = ('name="unruly", ', 'name="rowdy", formerly=["unruly"], ')
PARAMETER = (
    'does: str = attrs.field(default="raise", metadata=doc("what it does"))',
    'acts: str = attrs.field(default="raise", metadata=doc("what it does", formerly=["does"]))',
)


@pytest.mark.parametrize("words", ["use: unruly, does: nothing", "use: rowdy, acts: nothing"])
def test_a_report_follows_the_earlier_names_of_a_metric_and_its_parameters(
    finished: list[str], words: str
) -> None:
    assert len(finished) == 4
    rewrite(RENAMED, PARAMETER, ("self.config.does", "self.config.acts"))
    Path("study.yaml").write_text(STUDY.replace("use: unruly, does: nothing", words))
    assert reported() == finished
    told = Path("report/report.md").read_text()
    assert "light was measured by unruly/unruly of unruly 1.0, before it was renamed" in told


def test_what_is_measured_anew_takes_the_place_of_what_an_earlier_name_measured(finished: list[str]) -> None:
    rewrite(RENAMED)
    assert study("run", "study.yaml") == 0
    assert reported() == finished
    assert "before it was renamed" not in Path("report/report.md").read_text()


def test_scores_of_other_parameters_or_of_other_code_are_not_taken(
    finished: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(RENAMED)
    assert study("report", "study.yaml", "--set", "metrics.primary.light.times=3") == 1
    assert "nothing was measured yet" in capsys.readouterr().err
    rewrite(('name="rowdy", formerly=["unruly"], ', 'name="unruly", '), ("float().mean()", "float().max()"))
    assert study("report", "study.yaml") == 1
    assert "nothing was measured yet" in capsys.readouterr().err


def test_another_label_is_another_name_for_the_same_scores(finished: list[str]) -> None:
    Path("study.yaml").write_text(STUDY.replace("light:", "brightness:"))
    assert study("report", "study.yaml", "--out", "report") == 0
    rows = Path("report/data/scores.csv").read_text()
    assert rows.count("brightness") == len(finished)
