"""A study of a folder of diffusers: samplers by guidance, run and reported."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from glidepath.registry.cli import main

Saved = Callable[[str], Path]

STUDY = """\
study: {{name: walks, question: what does a sampler see of guidance?}}
base: {{extends: {folder}, runtime: {{device: cpu, dtype: float32}}}}
arms:
  - axes:
      sampler:
        at: sampler
        values:
          euler: {{use: euler, steps: 2}}
          dpmpp-2m: {{use: dpmpp-2m, steps: 2}}
      guidance:
        at: guidance
        values:
          everywhere: [{{use: classifier-free, scale: 6}}]
          late: [{{use: classifier-free, scale: 6}}, {{use: interval, high: 5}}]
baseline: {{sampler: euler, guidance: everywhere}}
data: {{prompts: [a red star, a castle at dusk], per_prompt: 2}}
metrics:
  primary: {{diversity: diversity}}
  secondary: {{evaluations: network-evaluations}}
engine: in-process
"""


@pytest.mark.thorough
def test_samplers_by_guidance_of_sdxl_are_run_and_reported(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy", reason="needs the extra [studies]")
    folder = saved("sdxl")
    monkeypatch.chdir(tmp_path)
    Path("walks.yaml").write_text(STUDY.format(folder=folder))
    assert main(["study", "run", "walks.yaml"]) == 0
    assert "0 failed" in capsys.readouterr().out
    assert main(["study", "export", "walks.yaml", "--out", "scores.csv"]) == 0
    with Path("scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    evaluations = {row["arm"]: float(row["value"]) for row in rows if row["metric"] == "evaluations"}
    walks = [(sampler, steps) for sampler in ("euler", "dpmpp-2m") for steps in ("everywhere", "late")]
    arms = [f"sampler={sampler},guidance={steps}" for sampler, steps in walks]
    assert evaluations == dict(zip(arms, [4, 3, 4, 3], strict=True))
    assert main(["study", "report", "walks.yaml"]) == 0
    report = Path("runs/studies/walks/report/report.md").read_text()
    assert all(f"| {sampler}, {steps}" in report for sampler, steps in walks)
