"""An earlier study beside this one, and scores as files for other programs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from glidepath.plugins.studies.run.comparing import compare_studies, kept
from glidepath.plugins.studies.store.store import Store
from glidepath.registry.cli import main

pytestmark = pytest.mark.thorough

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red, green], per_prompt: 2}
seeds: {sample: 3}
metrics: {primary: {brightness: {use: unruly, times: 0}}, secondary: {evaluations: network-evaluations}}
engine: in-process
"""


@pytest.fixture
def two(small: Path, unruly: None, capsys: pytest.CaptureFixture[str]) -> Path:
    """Two studies in the folder: the second with another guidance scale, and another arm and seed."""
    (small / "study.yaml").write_text(STUDY)
    assert main(["study", "run", "study.yaml", "--store", "first"]) == 0
    change = ["base.guidance[0].scale=3", "arms.axes={sampler.steps: [1, 4]}", "seeds.sample=2"]
    words = [word for it in change for word in ("--set", it)]
    assert main(["study", "run", "study.yaml", "--store", "second", *words]) == 0
    capsys.readouterr()
    return small


def test_studies_are_compared_in_pairs_of_equal_seeds_and_prompts(two: Path) -> None:
    found = compare_studies(kept(two / "first"), kept(two / "second"))
    assert [(it.arm, it.metric, it.units) for it in found.lines] == [
        ("steps=1", "brightness", 2 * 2),
        ("steps=1", "evaluations", 2),
    ]
    assert found.alone == (["steps=2"], ["steps=4"])
    means = []
    for name in ("first", "second"):
        store = Store(two / name)
        graph = json.loads((store.folder / "graph.json").read_text())
        keys = [it["nodes"]["sample"][0] for it in graph["trials"] if it["arm"] == "steps=1"][:2]
        drawn = [np.load(store.done(key).folder / "images.npy") for key in keys]  # type: ignore[union-attr]
        means.append(np.array([image.astype(float).mean() for images in drawn for image in images]))
    differences = (means[1] - means[0]).reshape(4, 2).mean(1)
    line = found.lines[0]
    # the scores are float32 means of about 100: each is rounded by up to 4e-6
    assert line.difference == pytest.approx(differences.mean(), abs=2e-5)
    wanted = stats.t.interval(0.95, 3, differences.mean(), differences.std(ddof=1) / 2)
    assert (line.low, line.high) == pytest.approx(wanted, abs=2e-4)


def test_what_differs_is_named_and_the_same_study_differs_in_nothing(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "compare", "first", "second"]) == 0
    told = capsys.readouterr().out
    assert "guidance.spec[0].scale" in told
    assert "only in the first: steps=2" in told
    assert main(["study", "compare", "first", "first", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changes"] == []
    assert {line["difference"] for line in found["lines"]} == {0.0}
    assert main(["study", "compare", "first", "nowhere"]) != 0


def test_scores_are_exported_by_the_ending_of_the_file(
    two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "export", "first", "--out", "scores.csv"]) == 0
    rows = list(csv.DictReader((two / "scores.csv").open()))
    assert len(rows) == 2 * 3 * (2 + 1)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["study", "export", "first", "--out", "scores.parquet"]) == 1
    assert "pip install 'glidepath-diffusion[parquet]'" in capsys.readouterr().err
    assert not (two / "scores.parquet").exists()
    assert main(["study", "export", "first", "--format", "parquet"]) == 2
    assert "name it with --out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scores.xls", "scores", "scores.csv.gz"])
def test_an_ending_that_is_none_of_the_formats_is_refused_unless_one_is_stated(
    two: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["study", "export", "first", "--out", name]) == 2
    said = capsys.readouterr().err
    assert f"--out {name}: scores are written as CSV or Parquet" in said
    assert "ends in .csv or .parquet, or say which with --format" in said
    assert not (two / name).exists()
    assert main(["study", "export", "first", "--out", name, "--format", "csv"]) == 0
    assert (two / name).read_text().startswith("arm,")
    assert main(["study", "export", "first", "--out", "SCORES.CSV"]) == 0


def test_parquet_holds_what_the_csv_does(two: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert main(["study", "export", "first", "--out", "scores.csv"]) == 0
    assert main(["study", "export", "first", "--out", "scores.parquet"]) == 0
    rows = list(csv.DictReader((two / "scores.csv").open()))
    read = parquet.read_table(two / "scores.parquet").to_pylist()
    assert [{key: str(value) for key, value in row.items()} for row in read] == rows
