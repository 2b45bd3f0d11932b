"""The stages of a study as a graph: what is one node, and what a change runs again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.plugins.studies.study.graph import READS, STAGES, Graph, build_graph, differences
from glidepath.plugins.studies.study.reader import read_study
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.text.problems import SpecError

CPU = {"device": "cpu", "dtype": "float32"}
STUDY = """\
base: {extends: shapes, runtime: {device: cpu}}
seeds: {train: TRAIN, sample: 2}
data: {prompts: [a red star, a blue ring]}
metrics: {primary: {seconds: seconds-per-image}, secondary: {memory: peak-memory}}
"""


def graph_of(file: Path, text: str, *overrides: str, train: int = 2) -> Graph:
    file.write_text(STUDY.replace("TRAIN", str(train)) + text)
    catalogue = load_catalogue()
    return build_graph(read_study(file, overrides, catalogue=catalogue), catalogue, runtime=CPU)


def keys(graph: Graph) -> Mapping[str, frozenset[str]]:
    return {
        stage: frozenset(node.key for node in graph.nodes.values() if node.stage == stage) for stage in STAGES
    }


def changed(before: Graph, after: Graph) -> set[str]:
    """The stages of which every node is another."""
    one, other = keys(before), keys(after)
    found = {stage for stage in STAGES if one[stage] != other[stage]}
    assert all(not one[stage] & other[stage] for stage in found)
    return found


def test_samplers_share_training_and_embedding(tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "s.yaml", "arms: {axes: {sampler: [ddpm, ddim], sampler.steps: [5, 9]}}")
    assert graph.counts() == {"train": 2, "embed": 2, "sample": 4 * 2 * 2, "measure": 4 * 2 * 2 * 2}
    assert len(graph.trials) == 4 * 2 * 2


def test_without_training_seeds_nothing_is_trained(tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "s.yaml", "arms: {axes: {train.ema: [0, 0.5]}}", train=0)
    # arms that differ only in how they would be trained draw the same images
    assert graph.counts() == {"train": 0, "embed": 1, "sample": 2, "measure": 4}


def test_trials_are_balanced_so_that_half_a_study_is_paired(tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "s.yaml", "arms: {axes: {sampler.steps: [5, 9]}}")
    order = [(trial.train, trial.sample, trial.arm) for trial in graph.trials]
    assert order[:4] == [(0, 0, "steps=5"), (0, 0, "steps=9"), (0, 1, "steps=5"), (0, 1, "steps=9")]
    assert order == sorted(order, key=lambda it: it[:2])


ALL = {"train", "embed", "sample", "measure"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("base.sampler.steps=7", {"sample", "measure"}),
        ("base.guidance[0].scale=7", {"sample", "measure"}),
        ("base.train.learning_rate=0.1", ALL),
        ("base.data.two_objects=0.1", ALL),
        ("base.schedule=linear", ALL),
        ("base.denoiser.dropout=0.1", ALL),
        ("base.weights=null", set()),
        ("base.train.seed=9", set()),
        ("data.per_prompt=2", {"embed", "sample", "measure"}),
        ("data.batch=3", {"embed", "sample", "measure"}),
        ("data.prompts=[a red star]", {"embed", "sample", "measure"}),
        ("base.runtime.dtype=bfloat16", ALL),
        ("stats.confidence=0.9", set()),
        ("engine.slots=2", set()),
        ("failures.timeout=9", set()),
        ("seeds.root=1", ALL),
    ],
)
def test_a_change_runs_again_what_reads_it(tmp_path: Path, override: str, expected: set[str]) -> None:
    file = tmp_path / "s.yaml"
    assert changed(graph_of(file, ""), graph_of(file, "", override)) == expected


def test_a_new_metric_measures_and_does_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    before = graph_of(file, "")
    after = graph_of(file, "", "metrics.primary.more=network-evaluations")
    assert set(before.nodes) < set(after.nodes)
    assert {after.nodes[key].stage for key in set(after.nodes) - set(before.nodes)} == {"measure"}


def test_the_weights_count_where_nothing_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    before, after = (graph_of(file, "", *some, train=0) for some in ((), ("base.weights=null",)))
    assert changed(before, after) == {"embed", "sample", "measure"}


def test_where_a_file_lies_does_not_matter_and_what_it_holds_does(tmp_path: Path) -> None:
    graphs = []
    for name, content in (("a", "one"), ("b", "one"), ("c", "two")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.png").write_text(content)
        head = f"base.data={{use: captioned-folder, folder: {folder}, size: 32}}"
        change = ("base.train=null", "base.data=null", head)
        graphs.append(graph_of(tmp_path / "s.yaml", "", *change, train=0))
    assert changed(graphs[0], graphs[1]) == set()
    assert changed(graphs[0], graphs[2]) == {"measure"}  # metrics may look at real images


def test_the_code_of_parts_and_of_the_core_counts(tmp_path: Path) -> None:
    node = next(iter(graph_of(tmp_path / "s.yaml", "").nodes.values()))
    assert set(node.preimage["reads"]["train"]["code"]["glidepath-diffusion/train"]) == {"version", "source"}
    assert set(node.preimage["code"]["glidepath.core"]) == {"version", "source"}


def test_a_preimage_says_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    before, after = (
        next(node for node in graph_of(file, "", *some, train=0).nodes.values() if node.stage == "sample")
        for some in ((), ("base.sampler.steps=7",))
    )
    assert differences(dict(after.preimage), dict(before.preimage)) == [("reads.sampler.spec.steps", 7, 50)]


@cache
def _numbers() -> list[tuple[str, int | float]]:
    """The dotted path of each number of the shapes preset, with its value."""
    from glidepath.registry.plan.planner import make_plan
    from glidepath.registry.spec.spec import read_spec

    catalogue = load_catalogue()
    tree = make_plan(read_spec("shapes", catalogue=catalogue), catalogue).tree
    return list(_walk({key: value for key, value in tree.items() if key not in ("runtime", "weights")}, ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from _walk(item, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


@given(field=st.sampled_from(_numbers()), change=st.sampled_from([1, 2, -1, 0.5, -0.25]))
def test_any_field_runs_again_exactly_the_stages_that_read_its_slot(
    tmp_path_factory: pytest.TempPathFactory, field: tuple[str, int | float], change: int | float
) -> None:
    path, value = field
    file = tmp_path_factory.mktemp("study") / "s.yaml"
    new = value + int(change) if isinstance(value, int) else value + change
    try:
        after = graph_of(file, "", f"base.{path}={new}")
    except SpecError:
        return  # a value that the field does not take
    slot = path.partition(".")[0].partition("[")[0]
    if new == value or path == "train.seed":
        expected: set[str] = set()
    else:
        reading = {stage for stage in STAGES if slot in READS[stage]}
        expected = {stage for stage in STAGES if reading & _before(stage)}
    assert changed(graph_of(file, ""), after) == expected


def _before(stage: str) -> set[str]:
    """A stage and those whose results it takes."""
    return set(STAGES[: STAGES.index(stage) + 1])
