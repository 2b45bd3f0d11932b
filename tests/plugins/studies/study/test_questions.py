"""What a study asks and repeats: `compare` and `stats.unit`, and what is wrong with them, by place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.studies.study.test_grammar import faults_of, study_of

ARMS = """
arms:
  - axes:
      mode: {at: sampler, values: {full: ddpm, half: ddim}}
      scale: {at: "guidance[0].scale", values: [1, 3]}
      steps: {at: sampler.steps, values: [5, 9]}
"""


def cells(study: object) -> dict[str, list[tuple[str, str]]]:
    return {it.name: list(it.cells) for it in study.questions}  # type: ignore[attr-defined]


def pair(mode: str, scale: int, steps: int) -> tuple[str, str]:
    return (f"mode={mode},scale={scale},steps={steps}", f"mode=full,scale={scale},steps={steps}")


def test_a_question_of_one_axis_is_answered_over_inside_and_between_cells(tmp_path: Path) -> None:
    text = """
compare:
  half: {axis: mode, from: full, to: half}
  at 3: {axis: mode, from: full, to: half, at: {scale: 3}}
  by steps: {axis: mode, from: full, to: half, each: [steps]}
  by cell: {axis: mode, from: full, to: half, each: true}
  two: {from: "mode=full,scale=1,steps=5", to: "mode=half,scale=3,steps=9"}
"""
    found = cells(study_of(tmp_path, ARMS + text))
    assert found == {
        "half": [pair("half", scale, steps) for scale in (1, 3) for steps in (5, 9)],
        "at 3": [pair("half", 3, steps) for steps in (5, 9)],
        "by steps, steps 5": [pair("half", scale, 5) for scale in (1, 3)],
        "by steps, steps 9": [pair("half", scale, 9) for scale in (1, 3)],
        **{
            f"by cell, scale {scale}, steps {steps}": [pair("half", scale, steps)]
            for scale in (1, 3)
            for steps in (5, 9)
        },
        "two": [("mode=half,scale=3,steps=9", "mode=full,scale=1,steps=5")],
    }


def test_a_difference_under_two_names_is_one_and_cells_that_are_left_out_are_not_asked(
    tmp_path: Path,
) -> None:
    text = """
exclude: [{when: {mode: half, scale: 3, steps: 9}, reason: slow}]
compare:
  half: {axis: mode, from: full, to: half, at: {scale: 3}}
  the same: {axis: mode, from: full, to: half, each: [scale]}
"""
    found = cells(study_of(tmp_path, ARMS + text))
    assert found == {
        "half": [pair("half", 3, 5)],
        "the same, scale 1": [pair("half", 1, steps) for steps in (5, 9)],
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("[half]", "compare takes a mapping of names to differences, and this is a list"),
        ("{a: half}", "a difference is a mapping, and this is"),
        ("{a: {axis: mode, to: half}}", "a difference is `from` one value or arm `to` another"),
        ("{a: {axis: model, from: full, to: half}}", "`axis` names one of the axes"),
        ("{a: {axis: mode, from: whole, to: half}}", "no arm of these has mode whole"),
        ("{a: {axis: mode, from: full, to: half, at: {speed: 1}}}", "`at` takes values of other axes"),
        ("{a: {axis: mode, from: full, to: half, each: [mode]}}", "`each` is true, or a list of other axes"),
        ("{a: {axis: mode, from: half, to: half}}", "no two arms differ in this alone"),
        ("{a: {from: 'mode=full,scale=1,steps=5', to: half}}", "no arm is called 'half'"),
        ("{a: {axis: mode, from: full, to: half, where: 1}}", "and no 'where'"),
        ("{a: {from: 'x', to: 'y', each: true}}", "need an `axis`"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told_with_its_place(
    tmp_path: Path, asked: str, said: str
) -> None:
    [(what, line)] = faults_of(tmp_path, f"{ARMS}compare: {asked}\n")
    assert said in what
    assert line == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stats: {unit: trainings}\n", "trainings cannot be the unit of replication: seeds.train trains"),
        ("stats: {unit: prompts}\ndata: {prompts: [a red star]}\n", "prompts cannot be the unit"),
        ("stats: {unit: images}\n", "images"),
    ],
)
def test_a_unit_that_nothing_repeats_is_refused(tmp_path: Path, text: str, said: str) -> None:
    head = "base: {extends: shapes}\nmetrics: {primary: {seconds: seconds-per-image}}\n"
    head += "" if "data:" in text else "data: {prompts: [a red star, a blue ring]}\n"
    [(what, _)] = faults_of(tmp_path, text, head=head)
    assert said in what
