"""What a study file stands for: its arms, by name and spec, and what is wrong with it, by place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from glidepath.core.errors import GlidepathError
from glidepath.plugins.studies.study.reader import read_study
from glidepath.plugins.studies.study.study import Study
from glidepath.registry import make_plan, read_spec
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.text.problems import SpecError

HEAD = """\
base: {extends: shapes, runtime: {device: cpu}}
data: {prompts: [a red star, a blue ring]}
metrics: {primary: {seconds: seconds-per-image}}
"""


def study_of(folder: Path, text: str, *overrides: str, head: str = HEAD) -> Study:
    file = folder / "study.yaml"
    file.write_text(head + text)
    return read_study(file, overrides, catalogue=load_catalogue())


def names(study: Study) -> list[str]:
    return [arm.name for arm in study.arms]


def at(tree: Mapping[str, Any], path: str) -> Any:
    value: Any = tree
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def faults_of(folder: Path, text: str, head: str = HEAD) -> list[tuple[str, int]]:
    with pytest.raises(SpecError) as caught:
        study_of(folder, text, head=head)
    return [(it.what, it.place.line if it.place else 0) for it in caught.value.problems]


def test_without_arms_the_base_is_the_only_one(tmp_path: Path) -> None:
    study = study_of(tmp_path, "")
    assert names(study) == ["base"]
    assert study.baseline is study.arms[0]


def test_an_axis_of_extends_puts_what_the_base_says_itself_on_each(tmp_path: Path) -> None:
    """The other side is a spec written out for each arm."""
    (tmp_path / "mine.yaml").write_text("extends: shapes\nsampler: {use: ddpm, steps: 6}\n")
    text = "arms: {axes: {sampler.steps: [2, 3], extends: [emoji, mine.yaml]}}\n"
    study = study_of(tmp_path, text, "base.guidance=[{use: classifier-free, scale: 2}]")
    assert names(study) == [f"steps={n},extends={it}" for n in (2, 3) for it in ("emoji", "mine.yaml")]
    for base, arm in (("emoji", study.arms[0]), (str(tmp_path / "mine.yaml"), study.arms[1])):
        spec = read_spec(
            [base, {"runtime": {"device": "cpu"}}],
            ["guidance=[{use: classifier-free, scale: 2}]", "sampler.steps=2"],
            catalogue=load_catalogue(),
        )
        assert arm.tree() == make_plan(spec, load_catalogue()).tree_with(str)
    assert not study.warnings


def test_what_no_arm_can_extend_is_told_at_its_place(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "arms: {axes: {extends: [shapes, nowhere]}}\n") == [
        ("there is no preset named 'nowhere'", 4)
    ]
    head = HEAD.replace("extends: shapes", "extends: shapes-64")
    found = faults_of(tmp_path, "arms: {axes: {stages.base.extends: [shapes, emoji]}}\n", head)
    assert found == [("extends cannot be set", 4)]


def test_axes_of_a_block_are_multiplied_and_blocks_are_joined(tmp_path: Path) -> None:
    text = """
arms:
  - axes:
      steps: {at: sampler.steps, values: [5, 9]}
      guidance.0.scale: [1, 2.5]
  - case: linear
    set: {schedule: linear}
"""
    study = study_of(tmp_path, text)
    assert names(study) == [
        "steps=5,scale=1",
        "steps=5,scale=2.5",
        "steps=9,scale=1",
        "steps=9,scale=2.5",
        "linear",
    ]
    tree = study.arm("steps=9,scale=2.5").tree()
    assert (at(tree, "sampler.steps"), at(tree, "guidance.0.scale")) == (9, 2.5)
    assert at(study.arm("linear").tree(), "schedule.use") == "glidepath-diffusion/linear"
    assert at(study.arm("linear").tree(), "sampler.steps") == 50


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{from: 2, to: 8, step: 3}", [2, 5, 8]),
        ("{from: 2, to: 9, step: 3}", [2, 5, 8]),
        ("{from: 4, to: 2, step: -1}", [4, 3, 2]),
        ("{from: 10, to: 50, count: 5}", [10, 20, 30, 40, 50]),
        ("{from: 1, to: 16, count: 5, scale: log}", [1, 2, 4, 8, 16]),
        ("{from: 9, to: 3, count: 3}", [9, 6, 3]),
        ("{from: 2, to: 4, step: 1.0}", [2, 3, 4]),
    ],
)
def test_a_range_of_whole_numbers_holds_its_first_value_and_goes_to_its_last(
    tmp_path: Path, written: str, expected: list[int]
) -> None:
    study = study_of(tmp_path, f"arms: {{axes: {{n: {{at: sampler.steps, range: {written}}}}}}}")
    assert [at(arm.tree(), "sampler.steps") for arm in study.arms] == expected


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{from: 0, to: .inf, step: 1}", "finite"),
        ("{from: 0, to: 1e400, step: 1}", "finite"),
        ("{from: 0, to: 1, step: .nan}", "finite"),
        ("{from: -.inf, to: 1, count: 3}", "finite"),
        ("{from: 1, to: .inf, count: 3, scale: log}", "finite"),
        ("{from: -1e308, to: 1e308, count: 3}", "finite"),
        ("{from: 0, to: 1, step: 1e-300}", "100,000 arms"),
        ("{from: 0, to: 1, step: 5e-324}", "100,000 arms"),
        (f"{{from: 1, to: 2, count: {10**12}, scale: log}}", "100,000 arms"),
    ],
)
def test_a_range_without_an_end_is_a_problem(tmp_path: Path, written: str, says: str) -> None:
    ((what, line),) = faults_of(tmp_path, f"arms: {{axes: {{n: {{at: sampler.eta, range: {written}}}}}}}")
    assert says in what
    assert line == 4


GUIDANCE = "base: {extends: shapes, runtime: {device: cpu}, guidance: [{use: classifier-free}, {use: rescale}, {use: rescale}]}"  # noqa: E501


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (
            '"guidance[1].phi": [0.1], "guidance[2].phi": [0.2]',
            {"guidance[1].phi": 0.1, "guidance[2].phi": 0.2},
        ),
        (
            'phi: {at: "guidance[1].phi", values: [0.1]}, "guidance[2].phi": [0.2]',
            {"phi": 0.1, "guidance[2].phi": 0.2},
        ),
        (
            'g: {cases: {one: {axes: {"guidance[1].phi": [0.1]}}}}, "guidance[2].phi": [0.2]',
            {"g": "one", "guidance[1].phi": 0.1, "guidance[2].phi": 0.2},
        ),
        ('"guidance[1].phi": [0.1], sampler.steps: [5]', {"phi": 0.1, "steps": 5}),
    ],
)
def test_axes_of_one_last_name_have_longer_ones(
    tmp_path: Path, axes: str, expected: Mapping[str, Any]
) -> None:
    head = GUIDANCE + HEAD[HEAD.index("\n") :]
    (arm,) = study_of(tmp_path, f"arms: {{axes: {{{axes}}}}}", head=head).arms
    assert arm.factors == expected


@pytest.mark.parametrize(
    ("arms", "name"),
    [
        ("{case: a, axes: {case: {at: sampler.steps, values: [5]}}}", "case"),
        ("{axes: {g: {cases: {one: {axes: {g: {at: sampler.steps, values: [5]}}}}}}}", "g"),
        ("{case: a, leave_one_out: {parts: {case: {remove: guidance}}}}", "case"),
    ],
)
def test_an_arm_has_no_two_axes_of_one_name(tmp_path: Path, arms: str, name: str) -> None:
    assert f"an arm has two axes that are called '{name}'" in [
        it[0] for it in faults_of(tmp_path, f"arms: {arms}")
    ]


@pytest.mark.parametrize("name", ["../../../escaped", "..", "/tmp/x", "a/b", r"a\b", "a\\tb", "x" * 201])
def test_the_name_of_a_study_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    ((what, line),) = faults_of(tmp_path, f'study: {{name: "{name}"}}'.replace("\\b", "\\\\b"))
    assert "the name of a study" in what
    assert line == 4


@pytest.mark.parametrize("name", [".", ".."])
def test_the_name_of_an_arm_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    ((what, _),) = faults_of(tmp_path, f'arms: [{{case: "{name}"}}]')
    assert "an arm has a folder of its name" in what


def test_a_path_that_is_wrong_hides_no_other_problem(tmp_path: Path) -> None:
    head = HEAD.replace("a blue ring", "a blue dragon")
    text = "arms: {axes: {sampler.stps: [5, 6]}}\nbaseline: stps=7\n"
    found = " ".join(what for what, _ in faults_of(tmp_path, text, head=head))
    assert all(it in found for it in ("'stps'", "no arm is called 'stps=7'", "dragon"))


def test_a_log_range_has_equal_ratios(tmp_path: Path) -> None:
    axis = '{at: "guidance[0].scale", range: {from: 0.1, to: 10, count: 3, scale: log}}'
    study = study_of(tmp_path, f"arms: {{axes: {{scale: {axis}}}}}")
    assert [at(arm.tree(), "guidance.0.scale") for arm in study.arms] == [0.1, 1.0, 10.0]


def test_the_lists_of_a_zip_change_together(tmp_path: Path) -> None:
    sampler = "sampler: {zip: {sampler: [ddpm, ddim], sampler.steps: [15, 7]}}"
    text = f"arms: {{axes: {{{sampler}, guidance.0.scale: [1, 2]}}}}"
    study = study_of(tmp_path, text)
    assert names(study) == [
        "sampler=ddpm+15,scale=1",
        "sampler=ddpm+15,scale=2",
        "sampler=ddim+7,scale=1",
        "sampler=ddim+7,scale=2",
    ]
    assert [at(arm.tree(), "sampler.steps") for arm in study.arms] == [15, 15, 7, 7]


def test_a_case_has_axes_that_no_other_case_has(tmp_path: Path) -> None:
    text = """
arms:
  axes:
    guidance:
      cases:
        none: {remove: guidance}
        cfg: {axes: {guidance.0.scale: [1, 3]}}
"""
    study = study_of(tmp_path, text)
    assert names(study) == ["guidance=none", "guidance=cfg,scale=1", "guidance=cfg,scale=3"]
    assert [dict(arm.factors) for arm in study.arms] == [
        {"guidance": "none"},
        {"guidance": "cfg", "scale": 1},
        {"guidance": "cfg", "scale": 3},
    ]
    assert study.arms[0].tree()["guidance"] == []


def test_one_factor_at_a_time_leaves_the_others_at_the_base(tmp_path: Path) -> None:
    text = "arms: {one_factor: {axes: {sampler.steps: [5, 50], guidance.0.scale: [1]}}}"
    study = study_of(tmp_path, text)
    assert names(study) == ["base", "steps=5", "scale=1"]  # 50 steps are the base's
    assert study.arms[0].also == ("steps=50",)
    assert at(study.arm("scale=1").tree(), "sampler.steps") == 50


PARTS = (
    "parts: {guidance: {remove: guidance}, cosine: {set: {schedule: linear}}, "
    "text: {set: {sampler.steps: 3}}}"
)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("leave_one_out", ["full", "no-guidance", "no-cosine", "no-text"]),
        ("add_one_in", ["none", "only-guidance", "only-cosine", "only-text"]),
        ("cumulative", ["none", "guidance", "guidance+cosine", "guidance+cosine+text"]),
    ],
)
def test_parts_are_taken_away_and_added(tmp_path: Path, block: str, expected: list[str]) -> None:
    study = study_of(tmp_path, f"arms: {{{block}: {{{PARTS}}}}}")
    assert names(study) == expected
    for arm in study.arms:
        tree = arm.tree()
        assert bool(tree["guidance"]) == arm.factors["guidance"]
        assert (at(tree, "schedule.use") == "glidepath-diffusion/cosine") == arm.factors["cosine"]
        assert (at(tree, "sampler.steps") == 50) == arm.factors["text"]
    assert bool(study.warnings) == (block == "cumulative")


def test_leave_one_out_in_pairs_leaves_out_two_as_well(tmp_path: Path) -> None:
    study = study_of(tmp_path, f"arms: {{leave_one_out: {{pairs: true, {PARTS}}}}}")
    assert names(study)[4:] == ["no-guidance,no-cosine", "no-guidance,no-text", "no-cosine,no-text"]


def test_arms_are_left_out_for_a_reason(tmp_path: Path) -> None:
    text = """
arms: {axes: {sampler.steps: [5, 9], guidance.0.scale: [1, 2, 3]}}
where: {when: {scale: [1, 2]}, reason: no more}
exclude: [{when: {steps: 9, scale: 2}, reason: too slow}]
"""
    study = study_of(tmp_path, text)
    assert names(study) == ["steps=5,scale=1", "steps=5,scale=2", "steps=9,scale=1"]
    assert {it.name: it.reason for it in study.excluded} == {
        "steps=5,scale=3": "no more",
        "steps=9,scale=3": "no more",
        "steps=9,scale=2": "too slow",
    }


def test_a_swapped_part_keeps_what_it_knows_and_drops_the_rest_only_when_told(tmp_path: Path) -> None:
    head = HEAD.replace("runtime:", "sampler: {eta: 0.5}, runtime:")
    swap = "arms: {{case: swapped, set: {{sampler.use: ddpm}}, drop_unknown: {}}}"
    tree = study_of(tmp_path, swap.format("true"), head=head).arms[0].tree()["sampler"]
    assert tree["use"] == "glidepath-diffusion/ddpm"
    assert tree["steps"] == 50
    assert [what for what, _ in faults_of(tmp_path, swap.format("false"), head)] == [
        "sampler ddpm has no parameter 'eta'"
    ]


def test_arms_of_one_spec_are_one_arm(tmp_path: Path) -> None:
    text = (
        "arms: [{case: base}, {case: same, set: {sampler.steps: 50}}, {case: more, set: {sampler.steps: 51}}]"
    )
    study = study_of(tmp_path, text)
    assert names(study) == ["base", "more"]
    assert study.arm("same") is study.arm("base")


def test_a_reference_in_the_base_follows_what_an_arm_changes(tmp_path: Path) -> None:
    study = study_of(tmp_path, "arms: {axes: {text_encoder.width: [64, 96]}}")
    assert [at(arm.tree(), "denoiser.text_width") for arm in study.arms] == [64, 96]


def test_the_names_of_arms_do_not_depend_on_other_arms(tmp_path: Path) -> None:
    few = names(study_of(tmp_path, "arms: {axes: {sampler.steps: [9]}}"))
    many = names(study_of(tmp_path, "arms: {axes: {sampler.steps: [1, 9]}}"))
    assert set(few) < set(many)


def test_the_baseline_is_named_by_its_arm_or_by_values(tmp_path: Path) -> None:
    arms = "arms: {axes: {sampler.steps: [5, 9], guidance.0.scale: [1, 2]}}\n"
    assert study_of(tmp_path, arms).baseline.name == "steps=5,scale=1"
    assert study_of(tmp_path, arms + "baseline: steps=9,scale=1").baseline.name == "steps=9,scale=1"
    chosen = study_of(tmp_path, arms + "baseline: {steps: 9, scale: 2}")
    assert chosen.baseline.name == "steps=9,scale=2"
    assert faults_of(tmp_path, arms + "baseline: {steps: 9}") == [("2 arms have steps 9", 5)]
    assert faults_of(tmp_path, arms + "baseline: {steps: 7}") == [("no arm has steps 7", 5)]
    assert faults_of(tmp_path, arms + "baseline: {stps: 9}") == [("no arm has an axis 'stps'", 5)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: {sample: []}", "a list of seeds has at least one; `sample: 4`"),
        ("seeds: {train: []}", "a list of seeds has at least one; `train: 0`"),
        ("seeds: {sample: [3, 1, 3]}", "each seed is there once, and 3 is there 2 times"),
        ("seeds: {sample: [3, -1]}", "a seed is at least 0, and -1 is not"),
        ("seeds: {sample: 0}", "a count of seeds is from 1 to 10,000"),
        ("arms: []", "the study has no arms"),
        ("arms: {axes: {sampler.steps: }}", "an axis takes a list of values, or a mapping, and this is null"),
    ],
)
def test_lists_that_are_empty_or_wrong_are_told_of_where_they_stand(
    tmp_path: Path, text: str, said: str
) -> None:
    [(what, line)] = faults_of(tmp_path, text)
    assert said in what
    assert line == 4


def test_counted_seeds_stay_when_more_are_added(tmp_path: Path) -> None:
    few = study_of(tmp_path, "seeds: {sample: 2}").sample_seeds
    many = study_of(tmp_path, "seeds: {sample: 4}").sample_seeds
    assert tuple(many[:2]) == tuple(few)
    assert len(set(many)) == 4
    assert study_of(tmp_path, "seeds: {sample: [7, 3]}").sample_seeds == (7, 3)


def test_overrides_change_the_study_or_its_base(tmp_path: Path) -> None:
    study = study_of(
        tmp_path, "arms: {axes: {sampler.steps: [5]}}", "seeds.sample=3", "base.guidance[0].scale=7"
    )
    assert len(study.sample_seeds) == 3
    assert at(study.arms[0].tree(), "guidance.0.scale") == 7.0


def test_an_override_that_every_arm_replaces_is_told_of(tmp_path: Path) -> None:
    replaced = "arms: {axes: {sampler: [{use: ddim, steps: 5}, {use: ddpm, steps: 5}]}}"
    study = study_of(tmp_path, replaced, "seeds.sample=2", "base.sampler.steps=7", "base.guidance[0].scale=7")
    assert study.warnings == ["--set #2 (base.sampler.steps) changes no arm"]
    some = "arms: [{case: a}, {case: b, set: {sampler: {use: ddim, steps: 5}}}]"
    assert study_of(tmp_path, some, "base.sampler.steps=7").warnings == []
    assert study_of(tmp_path, "", "base.sampler.steps=7", "base.runtime.device=cuda").warnings == []


def test_an_arm_is_found_by_a_word_like_its_name_or_by_its_value(tmp_path: Path) -> None:
    study = study_of(
        tmp_path, "arms: {axes: {sampler: [ddim, ddpm], steps: {at: sampler.steps, values: [5]}}}"
    )
    listed = "it has 'sampler=ddim,steps=5', 'sampler=ddpm,steps=5'"
    for word, meant in (("ddpm", "sampler=ddpm,steps=5"), ("samper=ddim,steps=5", "sampler=ddim,steps=5")):
        with pytest.raises(GlidepathError) as caught:
            study.arm(word)
        assert str(caught.value) == f"the study has no arm {word!r}; {listed}; did you mean {meant!r}?"
    with pytest.raises(GlidepathError) as caught:
        study.arm("5")  # both have it
    assert str(caught.value) == f"the study has no arm '5'; {listed}"
    with pytest.raises(GlidepathError, match="it has 9: `glidepath study plan` lists them"):
        study_of(tmp_path, "arms: {axes: {sampler.steps: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}").arm("heun")


@pytest.mark.parametrize(
    ("prompt", "written"), [("a red circle", "a red circle"), ("red: a" + "b" * 300, f'"red: a{"b" * 300}"')]
)
def test_a_prompt_where_a_file_or_a_list_was_to_be_is_told_of(
    tmp_path: Path, prompt: str, written: str
) -> None:
    with pytest.raises(SpecError) as caught:
        study_of(tmp_path, f"data: {{prompts: {json.dumps(prompt)}}}\n", head=HEAD.replace("data", "# data"))
    [fault] = caught.value.problems
    assert fault.what.startswith(
        "there is no file 'a red circle'" if len(prompt) < 99 else "there is no file 'red: ab"
    )
    assert fault.hint == f"for prompts themselves write a list: [{written}]"


def test_a_spec_is_told_of_as_such(tmp_path: Path) -> None:
    with pytest.raises(GlidepathError) as caught:
        study_of(tmp_path, "extends: shapes\ndata: {batch: 2}\nsampler: {steps: 5}\n", head="")
    file = tmp_path / "study.yaml"
    assert str(caught.value) == f"{file} is a spec and no study: `glidepath check {file}` checks it"


def test_every_fault_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = """
sedes: {sample: 2}
arms:
  - axes:
      eta: {at: sampler.eta, values: [-1, 0]}
      scale: {at: "guidance[0].sacle", values: [1]}
  - axis: {}
data: {prompts: []}
metrics: {primary: {speed: second-per-image}}
exclude: [{when: {stpes: 5}, reason: none}]
"""
    found = faults_of(tmp_path, text, "base: shapes\n")
    assert found == [
        ("there is no section 'sedes'", 3),
        ("eta is -1, which is out of range", 6),
        ("guidance classifier-free has no parameter 'sacle'", 7),
        ("a block of arms has no 'axis'", 8),
        ("a study needs at least one prompt, and there is none", 9),
        ("there is no metric named 'second-per-image'", 10),
        ("no arm has an axis 'stpes'", 11),
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("arms: {axes: {sampler.steps: [5, 5]}}", "two values of the axis are called 'steps=5'"),
        (
            "arms: {axes: {z: {zip: {sampler: [ddim], sampler.steps: [1, 2]}}}}",
            "the lists of a zip are equally long",
        ),
        ("arms: {case: a, remove: denoiser}", "a spec needs a denoiser: it can be swapped, and not removed"),
        ("arms: {case: a, remove: guidence}", "there is no part at 'guidence' that could be removed"),
        ("arms: {axes: {n: {at: sampler.steps, range: {from: 1, to: 3}}}}", "a range takes numbers"),
        ("arms: [{case: a}, {case: a, set: {sampler.steps: 3}}]", "two arms that differ are called 'a'"),
        ("arms: {axes: {sampler.steps: [5]}, one_factor: {}}", "a block has one of axes"),
        ("seeds: {train: 2, sample: 0}", "sample is 0: a count of seeds is from 1 to 10,000"),
        ("stats: {equivalence: {kid: 1}}", "the study has no metric 'kid'"),
        ("failures: {retries: {crash: 1}}", "'crash' is none of error, oom"),
        ("engine: lokal", "there is no engine named 'lokal'"),
        ("baseline: cfg", "no arm is called 'cfg'"),
        ("base: {extends: shapes, sampler: {steps: 0}}", "the key 'base' is written twice"),
    ],
)
def test_faults(tmp_path: Path, text: str, what: str) -> None:
    assert any(what in found for found, _ in faults_of(tmp_path, text))


def test_parts_that_do_not_fit_are_told_for_the_arm_that_has_them(tmp_path: Path) -> None:
    text = "arms: {axes: {denoiser.text_width: [128, 64]}}"
    [(what, line)] = faults_of(tmp_path, text)
    assert "text.width" in what
    assert line == 4


@pytest.mark.thorough
def test_two_thousand_arms_are_planned(tmp_path: Path, catalogue: Catalogue) -> None:
    from glidepath.plugins.studies.study.graph import build_graph, resolved_runtime

    text = """
arms:
  axes:
    steps: {at: sampler.steps, range: {from: 2, to: 21, step: 1}}
    scale: {at: "guidance[0].scale", range: {from: 0, to: 9.9, step: 0.1}}
"""
    study = study_of(tmp_path, text)
    graph = build_graph(study, catalogue, runtime=resolved_runtime(study))
    assert len(study.arms) == 2_000
    assert graph.counts() == {"train": 0, "embed": 1, "sample": 2_000, "measure": 2_000}
