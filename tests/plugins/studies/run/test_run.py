"""A study run in this process: what is run, what is found, what fails, and what comes of it."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glidepath.core import Event, Listener
from glidepath.plugins.studies.run.collect import _title, collect
from glidepath.plugins.studies.run.driver import STOP_REQUESTED, Driver, RunOutcome
from glidepath.plugins.studies.store.files import write_json
from glidepath.plugins.studies.store.store import STOP, Store
from glidepath.plugins.studies.study.graph import Graph, build_graph
from glidepath.plugins.studies.study.reader import read_study
from glidepath.plugins.studies.study.study import Study
from glidepath.registry.assembly.build import assemble, build_part
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue

pytestmark = pytest.mark.thorough

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red, green], per_prompt: 2, batch: 4}
metrics: {primary: {evaluations: network-evaluations}}
engine: in-process
"""
ONLY = ("metrics.primary.evaluations=null",)
"""Takes its metric away, for another."""


def open_study(folder: Path, text: str, *overrides: str) -> tuple[Study, Graph, Store]:
    file = folder / "study.yaml"
    file.write_text(text)
    catalogue = load_catalogue()
    study = read_study(file, overrides, catalogue=catalogue)
    store = Store(folder / "results")
    runtime = {"device": "cpu", "dtype": "float32"}
    return study, build_graph(study, catalogue, runtime=runtime, earlier=store.batches()), store


def run(folder: Path, text: str, *overrides: str) -> RunOutcome:
    study, graph, store = open_study(folder, text, *overrides)
    store.folder.mkdir(exist_ok=True)
    return Driver(study, graph, store, build_part(study.engine, load_catalogue())).run()


def images_of(graph: Graph, store: Store) -> np.ndarray[Any, Any]:
    """The images of the first trial, by the places of their prompts."""
    found: dict[int, Any] = {}
    for key in graph.trials[0].nodes["sample"]:
        node, done = graph.nodes[key], store.done(key)
        assert done is not None
        assert node.batch is not None
        images = np.load(done.folder / "images.npy")
        found.update(zip(node.batch.prompts, np.split(images, len(node.batch.prompts)), strict=True))
    return np.concatenate([found[prompt] for prompt in sorted(found)])


def states(store: Store, graph: Graph, stage: str) -> list[list[str]]:
    return [
        [attempt.state for attempt in store.attempts(node.key)]
        for node in graph.nodes.values()
        if node.stage == stage
    ]


def test_a_study_runs_once_and_again_only_what_is_new(small: Path) -> None:
    first = run(small, STUDY)
    assert (first.ran, first.found, first.failed, first.stopped) == (1 + 2 + 2, 0, 0, "")
    second = run(small, STUDY)
    assert (second.ran, second.found) == (0, 5)
    third = run(small, STUDY, "seeds.sample=2")
    assert (third.ran, third.found) == (4, 5)


@pytest.mark.parametrize(
    ("prompts", "ran"),
    [
        ("[red, green, red green]", 1 + 2 + 2 + 2),
        ("[red green, red, green]", 1 + 2 + 2 + 2),
        ("[green, red]", 0),
        ("[red, green, red green, green red, red red]", 2 * (1 + 2 + 2) + 2),
    ],
)
def test_a_new_prompt_is_all_that_runs(small: Path, prompts: str, ran: int) -> None:
    # besides the metric of whole sets, which has another set
    more = ("metrics.secondary={spread: diversity}",)
    assert run(small, STUDY, *more).ran == 1 + 2 + 2 + 2
    study, graph, store = open_study(small, STUDY, *more)
    before = images_of(graph, store), collect(study, graph, store).of("steps=1", "spread")[0, 0]
    again = run(small, STUDY, *more, f"data.prompts={prompts}")
    assert (again.ran, again.failed) == (ran, 0)
    study, graph, store = open_study(small, STUDY, *more, f"data.prompts={prompts}")
    places = [study.prompts.index(it) for it in ("red", "green")]
    images = np.split(images_of(graph, store), len(study.prompts))
    assert np.array_equal(np.concatenate([images[it] for it in places]), before[0])
    results = collect(study, graph, store)
    assert results.of("steps=1", "spread")[0, 0][places].tolist() == before[1].tolist()
    assert np.isfinite(results.of("steps=1", "spread")).all()
    assert (results.of("steps=2", "evaluations") == 4).all()
    assert {it.prompt for it in results.pictures} == set(range(len(study.prompts)))


def test_a_prompt_that_is_gone_leaves_the_noise_of_the_others(small: Path) -> None:
    run(small, STUDY)
    _, graph, store = open_study(small, STUDY)
    before = images_of(graph, store)
    run(small, STUDY, "data.prompts=[green]")
    _, graph, store = open_study(small, STUDY, "data.prompts=[green]")
    assert np.abs(images_of(graph, store).astype(int) - before[2:].astype(int)).max() <= 1
    assert before.std() > 1


def test_the_threads_of_a_trial_are_those_of_its_key(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for stated, variable in ((None, "2"), (2, None), (None, None)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if variable is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", variable)
        change = [f"data.threads={stated}"] if stated else []
        run(small, STUDY, *change)
        _, graph, store = open_study(small, STUDY, *change)
        keys.append(graph.trials[0].nodes["sample"])
        done = store.done(keys[-1][0])
        assert done is not None
        environment = json.loads((done.folder / "environment.json").read_text())
        assert environment["threads"] == (stated or int(variable or 1))
    assert keys[0] == keys[1] != keys[2]


def test_the_plan_counts_what_runs(small: Path) -> None:
    _, graph, _ = open_study(small, STUDY, "seeds.sample=3")
    assert run(small, STUDY, "seeds.sample=3").ran == len(graph.nodes) == sum(graph.counts().values())


def test_an_arm_draws_what_its_own_spec_draws(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(small, STUDY)
    study, graph, store = open_study(small, STUDY)
    [key] = [trial.nodes["sample"][0] for trial in graph.trials if trial.arm == "steps=1"]
    done = store.done(key)
    assert done is not None
    drawn = np.load(done.folder / "images.npy")

    assert main(["study", "show", "study.yaml", "steps=1"]) == 0
    (small / "arm.yaml").write_text(capsys.readouterr().out)
    pipeline = assemble(small / "arm.yaml")
    images = pipeline(["red", "red", "green", "green"], seed=study.sample_seeds[0], samples=[0, 1, 2, 3])
    difference = np.abs(drawn.astype(int) - images.numpy().astype(int))
    assert difference.max() <= 1  # the batches are others
    assert drawn.std() > 0


def test_arms_share_the_noise_of_a_prompt_whatever_their_batch(small: Path) -> None:
    drawn = []
    for batch in (1, 4):
        run(small, STUDY, f"data.batch={batch}")
        _, graph, store = open_study(small, STUDY, f"data.batch={batch}")
        drawn.append(images_of(graph, store).astype(int))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1
    assert np.abs(drawn[0][0] - drawn[0][1]).max() > 1  # two images of a prompt are two


def test_two_samplers_train_once_for_each_seed(small: Path) -> None:
    axis = "sampler: {at: sampler, values: {ddpm: {use: ddpm, steps: 2}, ddim: {use: ddim, steps: 2}}}"
    text = STUDY.replace("sampler.steps: [1, 2]", axis) + "seeds: {train: 2}\n"
    outcome = run(small, text)
    _, graph, store = open_study(small, text)
    assert graph.counts() == {"train": 2, "embed": 2, "sample": 4, "measure": 4}
    assert (outcome.ran, outcome.failed) == (12, 0)
    weights = [
        store.done(key).folder / "weights.safetensors"  # type: ignore[union-attr]
        for key in {trial.nodes["train"][0] for trial in graph.trials}
    ]
    assert len({path.read_bytes() for path in weights}) == 2
    assert not list(store.folder.rglob("work"))


def test_scores_are_arrays_by_training_seed_sampling_seed_and_prompt(small: Path, unruly: None) -> None:
    more = (
        "seeds.sample=2",
        "metrics.secondary.brightness={use: unruly, times: 0}",
        "metrics.secondary.broken=unruly",
        "failures.same_errors=100",
    )
    run(small, STUDY, *more)
    study, graph, store = open_study(small, STUDY, *more)
    results = collect(study, graph, store)
    assert [metric.name for metric in results.metrics] == ["evaluations", "brightness"]
    assert results.of("steps=2", "evaluations").shape == (1, 2, 1)
    assert (results.of("steps=2", "evaluations") == 4).all()  # two steps, each of two rows
    assert (results.of("steps=1", "evaluations") == 2).all()
    drawn = np.load(store.done(graph.trials[0].nodes["sample"][0]).folder / "images.npy")  # type: ignore[union-attr]
    means = drawn.reshape(2, 2, -1).mean(axis=2).mean(axis=1)
    np.testing.assert_allclose(results.of("steps=1", "brightness")[0, 0], means, rtol=1e-6)
    assert len(results.failures) == 4
    assert {it.kind for it in results.failures} == {"error"}
    assert results.shared_checkpoint
    assert all(picture.file.exists() for picture in results.pictures)
    assert results.costs["steps=2"].evaluations == 4


@pytest.mark.parametrize(
    ("does", "failure", "attempts"),
    [("raise", "error", 1), ("diverge", "diverged", 1), ("oom", "oom", 2)],
)
def test_each_class_of_failure_has_its_retries(
    small: Path, unruly: None, does: str, failure: str, attempts: int
) -> None:
    change = (*ONLY, f"metrics.primary.bad={{use: unruly, does: {does}}}", "failures.same_errors=100")
    outcome = run(small, STUDY, *change)
    _, graph, store = open_study(small, STUDY, *change)
    assert outcome.failed == 2
    assert states(store, graph, "measure") == [[failure] * attempts] * 2
    assert run(small, STUDY, *change).ran == 0
    assert states(store, graph, "measure") == [[failure] * attempts] * 2


def test_a_failure_that_goes_away_leaves_no_trace_in_the_result(small: Path, unruly: None) -> None:
    bad = f"metrics.primary.bad={{use: unruly, does: oom, times: 1, marker: {small}/marker}}"
    outcome = run(small, STUDY, *ONLY, bad)
    _, graph, store = open_study(small, STUDY, *ONLY, bad)
    assert outcome.failed == 0
    assert sorted(states(store, graph, "measure")) == [["done"], ["oom", "done"]]


def test_what_waits_for_a_failure_is_counted_and_not_run(small: Path) -> None:
    (small / "small.safetensors").unlink()
    (small / "small.safetensors").write_bytes(b"nothing")
    outcome = run(small, STUDY)
    assert (outcome.ran, outcome.failed, outcome.blocked) == (0, 1, 4)


def test_equal_tracebacks_stop_the_run(small: Path, unruly: None) -> None:
    arms = "arms.axes={sampler.steps: [1, 2, 3, 4]}"
    change = (*ONLY, arms, "metrics.primary.bad=unruly", "failures.same_errors=2")
    outcome = run(small, STUDY, *change)
    assert outcome.stopped.startswith("2 trials failed alike: ValueError: on purpose")
    _, graph, store = open_study(small, STUDY, *change)
    assert sum(bool(it) for it in states(store, graph, "measure")) == 2


def test_a_budget_ends_a_run(small: Path) -> None:
    outcome = run(small, STUDY, "budget.hours=1e-9")
    assert outcome.ran == 1
    assert "budget" in outcome.stopped
    assert run(small, STUDY).ran == 4


def test_a_run_that_is_told_to_stop_begins_nothing_more_and_resumes(small: Path) -> None:
    study, graph, store = open_study(small, STUDY)
    store.folder.mkdir()

    class Stops(Listener):
        def tell(self, event: Event) -> None:
            told.append((event.name, event.step, event.total))
            if event.step == 2:
                write_json(store.folder / STOP, {"now": False})

    told: list[tuple[str, int, int]] = []

    engine = build_part(study.engine, load_catalogue())
    outcome = Driver(study, graph, store, engine, listeners=[Stops()]).run()
    assert outcome.stopped == STOP_REQUESTED
    assert outcome.ran == 3  # the embedding, and the trial that was under way
    done = [("trial-done", step, 5) for step in (1, 2, 3)]
    assert told == [("started", 0, 5), *done, ("stopped", 3, 5)]
    assert run(small, STUDY).ran == 2


def test_trackers_and_alerts_of_a_study_are_told(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "study.yaml").write_text(STUDY + "trackers: [csv]\n")
    assert main(["study", "run", "study.yaml"]) == 0
    (table,) = small.rglob("metrics.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert any(name.endswith("/seconds") for name in rows[0])
    monkeypatch.delenv("NO_SUCH_HOOK", raising=False)
    (small / "study.yaml").write_text(STUDY + "alerts: [{use: webhook, url_env: NO_SUCH_HOOK}]\n")
    assert main(["study", "run", "study.yaml"]) == 1
    (small / "study.yaml").write_text(STUDY + "alerts: [{use: webhok}]\n")
    assert main(["study", "run", "study.yaml"]) == 2


def test_an_interrupted_run_begins_nothing(small: Path) -> None:
    study, graph, store = open_study(small, STUDY)
    store.folder.mkdir()
    engine = build_part(study.engine, load_catalogue())
    outcome = Driver(study, graph, store, engine, interrupted=lambda: 1).run()
    assert (outcome.ran, outcome.stopped) == (0, STOP_REQUESTED)


def test_the_command_runs_tells_and_exports(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / "study.yaml").write_text(STUDY)

    def said(*words: str, status: int = 0) -> str:
        assert main(["study", *words]) == status
        return capsys.readouterr().out

    plan = json.loads(said("plan", "study.yaml", "--json"))
    assert plan["stages"] == {
        "embed": {"nodes": 1, "done": 0},
        "sample": {"nodes": 2, "done": 0},
        "measure": {"nodes": 2, "done": 0},
    }
    assert [arm["name"] for arm in plan["arms"]] == ["steps=1", "steps=2"]
    assert "not run yet" in said("why", "study.yaml", "steps=2")
    outcome = json.loads(said("run", "study.yaml", "--json"))
    assert (outcome["ran"], outcome["failed"]) == (5, 0)
    assert json.loads(said("plan", "study.yaml", "--json"))["stages"]["sample"] == {"nodes": 2, "done": 2}
    status = json.loads(said("status", "study.yaml", "--json"))
    assert status["stages"]["measure"] == {"done": 2}
    assert status["running"] is False
    rows = list(csv.DictReader(said("export", "runs/studies/study").splitlines()))
    assert [(row["arm"], row["value"]) for row in rows] == [("steps=1", "2.0"), ("steps=2", "4.0")]
    why = said("why", "study.yaml", "steps=2", "--set", "base.guidance[0].scale=3")
    assert "reads.guidance[0].spec.scale" in why or "scale: was 2.0, and is 3.0" in why
    assert "study" in said("list")
    assert "study.yaml:1" not in said("plan", "study.yaml")


def test_status_says_where_the_file_has_changed_since(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY)

    def said(*words: str) -> str:
        assert main(["study", *words]) == 0
        return capsys.readouterr().out

    said("run", "study.yaml", "--set", "data.batch=4")
    assert "shown is the last run" not in said("status", "study.yaml")
    (small / "study.yaml").write_text(STUDY + "seeds: {sample: 2}\n")
    line = "shown is the last run; study.yaml has changed since (`glidepath study plan study.yaml{}` tells "
    line += "what is new)"
    assert said("status", "study.yaml").splitlines()[1] == line.format("")
    store = str(Path("runs", "studies", "study"))
    with_store = said("status", "study.yaml", "--store", store)
    assert with_store.splitlines()[1] == line.format(f" --store {shlex.quote(store)}")
    assert "shown is the last run" not in said("status", store)


def test_a_folder_of_results_where_a_file_was_to_be_is_refused_with_the_file_to_give(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = small / "study.yaml"
    file.write_text(STUDY)
    assert main(["study", "run", "study.yaml"]) == 0
    store = Path("runs", "studies", "study")
    copy = f"({store / 'study.yaml'} is a copy of it)"
    for words in (["plan"], ["show", "steps=1"], ["why", "steps=1"], ["report"], ["run"], ["retry"]):
        capsys.readouterr()
        assert main(["study", words[0], str(store), *words[1:]]) == 1
        assert f"{store} is a folder: give the study file, study.yaml {copy}\n" in capsys.readouterr().err
    file.unlink()
    assert main(["study", "plan", str(store)]) == 1
    assert f"{store} is a folder: give the study file {copy}\n" in capsys.readouterr().err
    assert main(["study", "plan", "images"]) == 1
    assert "images is a folder: give the study file\n" in capsys.readouterr().err


def test_retry_tries_again_what_failed_for_good(
    small: Path, unruly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = f"metrics: {{primary: {{bad: {{use: unruly, does: raise, times: 2, marker: {small}/marker}}}}}}\n"
    text = "\n".join(line for line in STUDY.splitlines() if not line.startswith("metrics")) + "\n" + bad
    (small / "study.yaml").write_text(text)
    assert main(["study", "run", "study.yaml"]) == 1
    capsys.readouterr()
    assert main(["study", "run", "study.yaml"]) == 1
    assert "`glidepath study retry study.yaml` tries again\n" in capsys.readouterr().out
    assert (small / "marker").read_bytes() == b"xx"
    assert main(["study", "retry", "study.yaml", "--class", "lost"]) == 1
    assert (small / "marker").read_bytes() == b"xx"
    assert main(["study", "retry", "study.yaml", "--class", "error"]) == 0


def test_commands_say_what_is_wrong(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / "study.yaml").write_text(STUDY)

    def complaint(words: Sequence[str]) -> str:
        assert main(["study", *words]) in (1, 2)
        return capsys.readouterr().err

    assert "no study has run" in complaint(["status", "study.yaml"])
    assert "no study runs" in complaint(["stop", "study.yaml"])
    assert "did you mean 'steps=1'?" in complaint(["show", "study.yaml", "stepps=1"])
    for command in ("run", "status"):
        told = complaint([command, "stduy.yaml"])
        assert "there is no file stduy.yaml" in told
        assert "did you mean 'study.yaml'?" in told
    assert "allowed: primary, secondary" in complaint(
        ["plan", "study.yaml", "--set", "metrics.primary.evaluations=null"]
    )
    (small / "runs").write_text("a file where a folder was to be")
    assert "cannot write" in complaint(["run", "study.yaml"])


def test_stages_that_did_not_run_wait_unless_something_before_them_failed(small: Path, unruly: None) -> None:
    run(small, STUDY, *ONLY, "metrics.primary.u={use: unruly, does: raise}")
    study, graph, store = open_study(small, STUDY, *ONLY, "metrics.primary.u={use: unruly, does: raise}")
    found = collect(study, graph, store).progress
    assert found is not None
    assert (found.done, found.waiting, found.all) == (3, 0, 5)
    study, graph, store = open_study(small, STUDY, "seeds.sample=2")
    found = collect(study, graph, store).progress
    assert found is not None
    assert (found.done, found.waiting, found.all) == (3, 6, 9)


def test_a_report_counts_what_was_cancelled_as_waiting(small: Path) -> None:
    study, graph, store = open_study(small, STUDY)
    cut_off = store.next_attempt(graph.trials[0].nodes["sample"][0])
    cut_off.mkdir(parents=True)
    write_json(cut_off / "failure.json", {"failure": "cancelled", "message": "it was told to stop"})
    results = collect(study, graph, store)
    assert results.failures == ()
    assert results.progress is not None
    assert (results.progress.waiting, results.progress.all) == (5, 5)


@pytest.mark.parametrize(
    ("label", "name", "title"),
    [
        ("right", "all right", "all right"),
        ("all-right", "all right", "all right"),
        ("seconds", "seconds per image", "seconds per image"),
        ("quality", "KID", "quality: KID"),
        ("rig", "all right", "rig: all right"),
    ],
)
def test_the_title_of_a_metric_says_nothing_twice(label: str, name: str, title: str) -> None:
    assert _title(label, name) == title
