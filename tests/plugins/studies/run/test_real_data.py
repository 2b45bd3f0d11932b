"""What a report says of real images."""

from __future__ import annotations

from pathlib import Path

import pytest

from glidepath.plugins.studies.run.real_data_scores import real_values
from glidepath.plugins.studies.study.reader import read_study
from glidepath.registry import load_catalogue

STUDY = """\
study: {name: few}
base: {extends: PRESET}
arms: [{axes: {steps: {at: sampler.steps, values: [1, 2]}}}]
seeds: {sample: 1}
data: {prompts: ["a red circle"]}
metrics: {primary: {right: METRIC}}
"""


@pytest.mark.parametrize(
    ("preset", "metric", "found"), [("shapes", "shapes-accuracy", ["right"]), ("emoji", "emoji-style", [])]
)
def test_a_report_has_real_images_where_they_are_there(
    preset: str, metric: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of `emoji` are made by a command: a study that compares with none is reported without them."""
    monkeypatch.chdir(tmp_path)
    Path("few.yaml").write_text(STUDY.replace("PRESET", preset).replace("METRIC", metric))
    catalogue = load_catalogue()
    assert list(real_values(read_study("few.yaml", catalogue=catalogue), catalogue)) == found
