"""Metrics that are a user's own code: a Python file, and a command in another environment."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from glidepath.core.errors import GlidepathError
from glidepath.plugins.studies.interface import Drawn
from glidepath.plugins.studies.metrics.configs import CommandConfig, PythonConfig
from glidepath.plugins.studies.metrics.own_code import CommandMetric, PythonMetric
from glidepath.plugins.studies.run.planning import plan
from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.study.graph import Graph, build_graph
from glidepath.plugins.studies.study.reader import read_study
from glidepath.plugins.studies.study.study import Study
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.text.problems import SpecError

IMAGES = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1).expand(3, 3, 4, 4) * 10
PROMPTS = ["a red star", "a blue ring", "vor\u2028bei"]
HEAD = """\
import json, os, sys, time
folder = sys.argv[-1]
said = [json.loads(line) for line in open(folder + "/prompts.jsonl", encoding="utf-8")]
out = open(folder + "/scores.jsonl", "w")
def write(image, score): out.write(json.dumps({"image": image, "score": score}) + "\\n")
"""
SCORES = "for row in reversed(said): write(row['image'], len(row['prompt']))"


def command(text: str, **more: Any) -> CommandMetric:
    run = (sys.executable, "-I", "-S", "-c", HEAD + text)
    return CommandMetric(CommandConfig(run=run, name="length", direction="higher", **more))


def drawn() -> Drawn:
    return Drawn(images=IMAGES, prompts=PROMPTS, per_prompt=1, seconds=1.0, peak_bytes=1, evaluations=1.0)


def test_a_command_gives_a_score_for_each_image() -> None:
    assert command(SCORES).per_prompt(IMAGES, PROMPTS) == [10, 11, 7]
    missing = command("for row in said: write(row['image'], None)").per_prompt(IMAGES, PROMPTS)
    assert all(map(math.isnan, missing))
    reads = "write('images/00000.png', 0); write('images/00001.png', 1)\n"
    reads += "write('images/00002.png', open(folder + '/images/00002.png', 'rb').read(4)[1])"
    assert command(reads).per_prompt(IMAGES, PROMPTS) == [0, 1, ord("P")]


def test_a_command_gives_one_number_for_a_whole_set() -> None:
    assert command("out.write('{\"score\": 2.5}')", whole_set=True).whole_set(drawn()) == 2.5
    with pytest.raises(GlidepathError, match="has 3 lines, and of a whole set it has one"):
        command(SCORES, whole_set=True).whole_set(drawn())


def test_a_command_is_of_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    told = "for row in said: write(row['image'], int('PYTHONPATH' in os.environ))"
    assert command(told).per_prompt(IMAGES, PROMPTS) == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("print('no GPU', file=sys.stderr); sys.exit(3)", "ended with status 3: no GPU"),
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("write('images/00000.png', 1)", "scores 1 of 3 images in scores.jsonl: images/00001.png has none"),
        (
            "write('images/00009.png', 1)",
            "line 1 of scores.jsonl: 'images/00009.png' is none",
        ),
        (SCORES + "\n" + SCORES, "'images/00002.png' is there twice"),
        ("write(['x'], 1)", "is none of the 3 images"),
        ("write('images/00000.png', 'good')", "its score is 'good', and is to be a number"),
        ("write('images/00000.png', True)", "its score is True, and is to be a number"),
        ("out.write('0.5')", "line 1 of scores.jsonl is no mapping"),
        ("out.write('[' * 100000)", "line 1 of scores.jsonl is no mapping"),
        ("os.remove(folder + '/scores.jsonl')", "left no scores.jsonl"),
        ("out.write(json.dumps({'image': 'images/00000.png', 'score': 10**400}))", "larger than a float"),
    ],
)
def test_what_a_command_does_wrong_is_told(text: str, says: str) -> None:
    with pytest.raises(GlidepathError) as caught:
        command(text).per_prompt(IMAGES, PROMPTS)
    assert says in str(caught.value)
    assert str(caught.value).startswith("metric length: `")


@pytest.mark.thorough
def test_a_command_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    text = f"import subprocess; subprocess.Popen([sys.executable, '-S', '-c', {child!r}]); time.sleep(60)"
    with pytest.raises(GlidepathError, match=r"took longer than 0\.5 seconds \(timeout\)"):
        command(text, timeout=0.5).per_prompt(IMAGES, PROMPTS)
    time.sleep(1.5)
    assert not mark.exists()


def test_a_command_that_is_not_there_is_told() -> None:
    metric = CommandMetric(CommandConfig(run=("/no/such",), name="x", direction="lower"))
    with pytest.raises(GlidepathError, match=r"metric x: `/no/such` cannot be started"):
        metric.per_prompt(IMAGES, PROMPTS)


BRIGHT = """\
name, direction, unit = "brightness", "higher", "grey"
def per_prompt(images, prompts):
    return images.float().mean(dim=(1, 2, 3)).tolist()
"""


def test_a_python_file_is_a_metric(tmp_path: Path) -> None:
    file = tmp_path / "bright.py"
    file.write_text(BRIGHT)
    metric: Any = PythonMetric(PythonConfig(file=file))
    assert (metric.name, metric.direction, metric.unit) == ("brightness", "higher", "grey")
    assert metric.per_prompt(IMAGES, PROMPTS) == [0, 10, 20]
    for text, says in (
        ("1 / 0", "fails: ZeroDivisionError"),
        ("direction = 'up'", "what is better"),
    ):
        file.write_text(BRIGHT + text)
        with pytest.raises(GlidepathError, match=says):
            PythonMetric(PythonConfig(file=file))


STUDY = """\
base: {extends: shapes, runtime: {device: cpu}}
data: {prompts: [a red star, a blue ring]}
metrics: {primary: {mine: METRIC}}
"""


def opened(folder: Path, metric: str) -> tuple[Study, Graph]:
    file = folder / "study.yaml"
    file.write_text(STUDY.replace("METRIC", metric))
    catalogue = load_catalogue()
    study = read_study(file, catalogue=catalogue)
    return study, build_graph(study, catalogue, runtime={"device": "cpu", "dtype": "float32"})


@pytest.mark.parametrize(
    "metric",
    [
        "{use: python, file: mine.py}",
        "{use: command, run: [python], file: mine.py, name: m, direction: lower}",
    ],
)
def test_the_contents_of_a_file_are_part_of_the_key_and_its_name_is_not(tmp_path: Path, metric: str) -> None:
    keys = []
    for name, text in (("mine.py", BRIGHT), ("other.py", BRIGHT), ("mine.py", BRIGHT + "#")):
        (tmp_path / name).write_text(text)
        _, graph = opened(tmp_path, metric.replace("mine.py", name))
        keys.append(graph.trials[0].nodes["measure mine"])
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no file"),
        ("direction = 'higher'", "defines neither per_prompt(images, prompts) nor whole_set(drawn)"),
        ("def per_prompt(:", "the file is no Python"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_problem_of_the_study(
    tmp_path: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(SpecError) as caught:
        opened(tmp_path, "{use: python, file: mine.py}")
    assert says in str(caught.value)


def test_a_plan_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BRIGHT + f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    study, graph = opened(tmp_path, "{use: python, file: mine.py}")
    assert not study.metrics[0].whole_set
    told = plan(study, graph, Store(tmp_path / "results"), probe_seconds=30, no_plugins=False)
    assert "it runs code of yours, which `study run` alone does" in " ".join(told.notes)
    assert not (tmp_path / "ran").exists()
