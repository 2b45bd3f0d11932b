"""The plan: which work is alike, what the rest takes, and what the seeds can show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glidepath.plugins.studies.run.collect import collect
from glidepath.plugins.studies.run.forecast import Toll, classes_of, forecast, waiting
from glidepath.plugins.studies.run.planning import Planned, as_text, plan
from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.study.graph import Graph, build_graph
from glidepath.plugins.studies.study.reader import read_study
from glidepath.plugins.studies.study.study import Study
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.text.problems import SpecError

STUDY = """\
base: small.yaml
arms: {axes: {"guidance[0].scale": [1.0, 1.5, 2.0, 3.0], sampler.steps: [1, 2]}}
data: {prompts: [red, green], per_prompt: 2, batch: 4}
metrics: {primary: {evaluations: network-evaluations}}
engine: in-process
"""
TWO_ARMS = STUDY.replace('"guidance[0].scale": [1.0, 1.5, 2.0, 3.0], ', "")


def read(folder: Path, *overrides: str, text: str = STUDY) -> tuple[Study, Graph]:
    (folder / "study.yaml").write_text(text)
    catalogue = load_catalogue()
    study = read_study(folder / "study.yaml", overrides, catalogue=catalogue)
    return study, build_graph(study, catalogue, runtime={"device": "cpu", "dtype": "float32"})


def planned(folder: Path, *overrides: str, probe: float = 0.0, text: str = STUDY) -> Planned:
    study, graph = read(folder, *overrides, text=text)
    return plan(study, graph, Store(folder / "results"), probe_seconds=probe, no_plugins=False)


def test_work_that_differs_in_a_scale_is_alike_and_a_scale_of_one_is_not(small: Path) -> None:
    study, graph = read(small, "seeds.sample=2")
    classes = classes_of(graph)
    drawn = {
        arm.name: {classes[trial.nodes["sample"][0]] for trial in graph.trials if trial.arm == arm.name}
        for arm in study.arms
    }
    assert all(len(found) == 1 for found in drawn.values())  # a seed costs nothing
    of = {name: next(iter(found)) for name, found in drawn.items()}
    assert of["scale=1.5,steps=2"] == of["scale=2.0,steps=2"] == of["scale=3.0,steps=2"]
    assert len(set(of.values())) == 4  # two counts of steps, guided or not


def test_the_first_of_each_stage_is_probed_before_the_second_of_any(small: Path) -> None:
    _, graph = read(small)
    groups = waiting(graph, (), classes_of(graph))
    assert [nodes[0].stage for _, nodes in groups[:3]] == ["embed", "sample", "measure"]
    assert sum(len(nodes) for _, nodes in groups) == len(graph.nodes)
    assert len(groups[1][1]) == 3


def test_what_is_left_is_the_sum_of_its_tolls(small: Path) -> None:
    _, graph = read(small)
    classes = classes_of(graph)
    tolls = {classes[key]: Toll(1.0, 10) for key, node in graph.nodes.items() if node.stage != "sample"}
    assert forecast(graph, (), classes, tolls, 1).seconds is None
    drawn = [key for key, node in graph.nodes.items() if node.stage == "sample"]
    tolls |= {classes[key]: Toll(100.0, 0) for key in drawn}
    told = forecast(graph, drawn[:2], classes, tolls, 2)
    assert told.seconds == 1 + 6 * 100 + 8
    assert told.wall == told.seconds / 2
    assert told.data == 10 + 8 * 10
    del tolls[classes[drawn[-1]]]
    told = forecast(graph, (), classes, tolls, 1)
    assert told.assumed == sum(classes[key] == classes[drawn[-1]] for key in drawn)
    assert told.seconds == 1 + 8 * 100 + 8


@pytest.mark.thorough
def test_a_probe_tells_of_every_stage_and_leaves_nothing(small: Path) -> None:
    before = {path.name for path in small.iterdir()}
    found = planned(small, "seeds.train=2", probe=60, text=TWO_ARMS)
    assert not found.notes
    assert set(found.forecast.by_stage) == {"train", "embed", "sample", "measure"}
    assert found.forecast.seconds is not None
    assert found.forecast.data is not None
    weights = (small / "small.safetensors").stat().st_size
    assert 2 * weights < found.forecast.data < 4 * weights
    assert {path.name for path in small.iterdir()} == before | {"study.yaml"}


def test_a_probe_that_fails_is_told_and_hides_nothing(small: Path) -> None:
    (small / "small.safetensors").unlink()
    found = planned(small, probe=60)
    assert any("could not be probed: sample" in note for note in found.notes)
    assert found.forecast.seconds is None


@pytest.mark.thorough
def test_what_has_run_tells_what_the_rest_takes(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / "study.yaml").write_text(STUDY)
    assert main(["study", "run", "study.yaml", "--json"]) == 0
    capsys.readouterr()
    assert main(["study", "plan", "study.yaml", "--no-probe", "--json", "--set", "seeds.sample=2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stages"]["sample"] == {"nodes": 16, "done": 8}
    assert 0 < told["seconds"] < 60
    assert told["bytes"] > 8 * 4 * 3 * 8 * 8
    assert main(["study", "plan", "study.yaml"]) == 0
    assert "nothing is left to run" in capsys.readouterr().out


def test_one_of_a_thing_is_told_as_one(small: Path) -> None:
    one = TWO_ARMS.replace("[red, green], per_prompt: 2", "[red], per_prompt: 1")
    text = "\n".join(as_text(planned(small, text=one), everything=True))
    assert "2 arms, 2 trials; the baseline" in text
    assert "\n1 image in each trial, of 1 prompt\n" in text


def test_five_seeds_never_decide_by_signs_and_the_plan_says_so(small: Path) -> None:
    text = TWO_ARMS.replace("network-evaluations", "seconds-per-image")
    signs = " ".join(planned(small, "seeds.sample=5", text=text).sentences)
    assert "no difference, however large, can be shown by the sign-flip test" in signs
    assert "6 units are the least" in signs
    assert "The smallest p that 5 units can give is 0.062" in signs
    assert "of 1.68 standard deviations" in signs  # the paired t test's, at 5 units and 80 percent
    unit, student = planned(small, "seeds.sample=5", "stats.test=t", text=text).sentences
    assert "the unit of replication is the " in unit.lower()
    assert "the t test finds a difference of 1.68 standard deviations" in student
    # what the spec decides is not tested
    assert planned(small, "seeds.sample=5", text=TWO_ARMS).sentences == ()


def test_a_budget_that_is_too_small_is_told(small: Path) -> None:
    found = planned(small, "budget.hours=1e-6", probe=60)
    assert any("more than the budget of 1e-06 hours" in note for note in found.notes)


def test_the_test_and_the_front_of_a_study_reach_its_results(small: Path) -> None:
    change = (
        "stats.test=t",
        "stats.pareto=[evaluations, seconds]",
        "metrics.secondary.seconds=seconds-per-image",
    )
    study, graph = read(small, *change)
    results = collect(study, graph, Store(small / "results"))
    assert (results.test, results.pareto) == ("t", ())  # nothing is measured yet
    with pytest.raises(SpecError, match="the study has no metric 'colour'"):
        read(small, "stats.pareto=[evaluations, colour]")
    with pytest.raises(SpecError, match="two or three metrics"):
        read(small, "stats.pareto=[evaluations]")


def test_a_metric_of_several_images_of_a_prompt_is_refused_where_one_is_drawn(small: Path) -> None:
    metrics = "metrics: {primary: {evaluations: network-evaluations, div: diversity}}"
    text = STUDY.replace("metrics: {primary: {evaluations: network-evaluations}}", metrics)
    with pytest.raises(SpecError) as caught:
        read(small, "data.per_prompt=1", text=text)
    [fault] = caught.value.problems
    assert fault.what == "diversity needs 2 images of each prompt, and data.per_prompt is 1"
    assert (fault.path, fault.hint) == ("metrics.primary.div", "write data.per_prompt: 2")
    assert fault.place is not None
    assert (fault.place.line, fault.place.column) == (4, metrics.index("diversity}") + 1)
    study, _ = read(small, text=text)
    assert [metric.label for metric in study.metrics] == ["evaluations", "div"]
