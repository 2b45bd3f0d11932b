"""The stages of a study as a graph: what is one node, and what a change runs again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.plugins.studies.study.batches import make_batches
from glidepath.plugins.studies.study.cache_keys import differences
from glidepath.plugins.studies.study.graph import READS, STAGES, Graph, build_graph
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
        ("data.size=48x32", {"sample", "measure"}),
        ("data.negative=a red star", {"embed", "sample", "measure"}),
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


BITS = "metrics.primary.bits={use: bits-per-dimension, images: 2, timesteps: 2}"
ARMS = 'arms: {axes: {sampler.steps: [5, 9], "guidance[0].scale": [1, 3]}}'


@pytest.mark.parametrize("train", [0, 2])
def test_what_looks_at_no_image_is_measured_once_for_each_model(tmp_path: Path, train: int) -> None:
    file = tmp_path / "s.yaml"
    graph = graph_of(file, ARMS, BITS, train=train)
    bits = [node for node in graph.nodes.values() if node.metric is not None and node.metric.label == "bits"]
    assert len(bits) == max(1, train) * 2  # a training seed, and the seed of its real images
    assert {it.stage for node in bits for it in node.upstream} == ({"train"} if train else set())
    for change in ("base.denoiser.dropout=0.1", "base.schedule=linear", "base.data.two_objects=0.1"):
        after = graph_of(file, ARMS, BITS, change, train=train)
        assert not {node.key for node in bits} & after.nodes.keys()


def test_what_judges_each_image_reads_nothing_of_the_spec(tmp_path: Path) -> None:
    file, more = tmp_path / "s.yaml", "metrics.primary.right=shapes-accuracy"
    before, after = (graph_of(file, "", more, *it, train=0) for it in ((), ("base.data.two_objects=0.1",)))
    metrics = [after.nodes[key].metric for key in after.nodes.keys() - before.nodes.keys()]
    assert {it.label for it in metrics if it is not None} == {"seconds", "memory"}


def test_threads_are_of_the_key_but_on_a_gpu(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    assert changed(graph_of(file, ""), graph_of(file, "", "data.threads=2")) == ALL
    on_gpu = [graph_of(file, "", "base.runtime.device=cuda", *it) for it in ((), ("data.threads=2",))]
    assert changed(*on_gpu) == set()


@pytest.mark.parametrize(
    ("prompts", "earlier", "expected"),
    [
        ("abcde", [], [("ab", (0, 1)), ("cd", (2, 3)), ("e", (4,))]),
        ("abcdef", [{"a": 0, "b": 1}, {"c": 2}], [("ab", (0, 1)), ("c", (2,)), ("de", (3, 4)), ("f", (5,))]),
        ("xab", [{"a": 0, "b": 1}], [("ab", (0, 1)), ("x", (2,))]),
        ("bc", [{"a": 0, "b": 1}], [("bc", (1, 0))]),
        ("abc", [{"a": 7, "b": 9, "c": 8}], [("abc", (7, 9, 8))]),
        ("abc", [{"a": 0}, {"b": 0}], [("a", (0,)), ("bc", (1, 2))]),
        ("ab", [{"a": 0, "b": 1}, {"a": 0}], [("ab", (0, 1))]),
    ],
)
def test_batches_stay_where_their_prompts_do(
    prompts: str, earlier: list[dict[str, int]], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    found = make_batches(list(prompts), 2, earlier)
    assert [("".join(prompts[it] for it in batch.prompts), batch.at) for batch in found] == expected


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1), min_size=1), st.integers(1, 4)
)
def test_each_prompt_is_in_one_batch_and_has_noise_of_its_own(lists: list[list[str]], size: int) -> None:
    earlier: list[dict[str, int]] = []
    places: dict[str, int] = {}
    for prompts in lists:
        batches = make_batches(prompts, size, earlier)
        assert sorted(it for batch in batches for it in batch.prompts) == list(range(len(prompts)))
        earlier = [
            {prompts[it]: at for it, at in zip(batch.prompts, batch.at, strict=True)} for batch in batches
        ]
        now = {prompt: at for batch in earlier for prompt, at in batch.items()}
        assert len(set(now.values())) == len(now)
        assert all(now[it] == places[it] for it in now.keys() & places.keys())
        places = now


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


@pytest.mark.thorough
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
