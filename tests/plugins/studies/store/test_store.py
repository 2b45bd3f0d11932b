"""The folder of a study: what is read from it, whatever happened to it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from glidepath.plugins.studies.run.exporting import write_csv
from glidepath.plugins.studies.store.files import StoreError, lock_study, read_json, write_json
from glidepath.plugins.studies.store.store import ALIVE, FAILURE, GRAPH, RESULT, Store
from glidepath.plugins.studies.store.summary import read_summary
from glidepath.registry.files.folder_lock import FolderInUse, lock_file
from glidepath.registry.files.writing import CannotWrite

KEY, OTHER = "ab" + "0" * 62, "cd" + "1" * 62


DRAWN = {"images": 2, "draw_seconds": 1.0, "evaluations": 2.0, "peak_bytes": 1}
JUDGED = {"scores": [1.0, None], "name": "right", "direction": "higher", "unit": ""}


def write_graph(folder: Path, *trials: dict[str, object], **more: object) -> None:
    whole = {"study": "s", "arms": [], "train_seeds": [], "sample_seeds": [7], "prompts": ["a", "b"]}
    found = [{"train": 0, "sample": 0, **it} for it in trials]
    write_json(folder / GRAPH, {**whole, "trials": found, **more})


def attempt(store: Store, key: str, name: str, said: object, file: str = RESULT) -> Path:
    folder = store.node(key) / "attempts" / name
    folder.mkdir(parents=True)
    if said is not None:
        write_json(folder / file, said)
    return folder


def test_a_node_is_done_once_an_attempt_has_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.attempts(KEY) == []
    attempt(store, KEY, "0001", {"failure": "lost", "message": "gone"}, FAILURE)
    assert store.done(KEY) is None
    attempt(store, KEY, "0002", {"seconds": 2.5, "stage": "train"})
    done = store.done(KEY)
    assert done is not None
    assert (done.number, done.seconds) == (2, 2.5)
    assert [it.state for it in store.attempts(KEY)] == ["lost", "done"]
    assert store.next_attempt(KEY).name == "0003"


def test_a_result_that_is_not_whole_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (attempt(store, KEY, "0001", None) / RESULT).write_text('{"seconds": 2')
    assert [it.state for it in store.attempts(KEY)] == ["running"]


def test_failures_count_until_they_are_forgiven(tmp_path: Path) -> None:
    store = Store(tmp_path)
    attempt(store, KEY, "0001", {"failure": "error", "message": "no"}, FAILURE)
    assert [it.state for it in store.counted(KEY)] == ["error"]
    store.forgive(KEY)
    assert store.counted(KEY) == []
    attempt(store, KEY, "0002", {"failure": "oom", "message": "no"}, FAILURE)
    assert [it.state for it in store.counted(KEY)] == ["oom"]


def test_what_a_dead_run_left_is_cancelled_and_no_failure_of_the_trial(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = attempt(store, KEY, "0001", None)
    (folder / ALIVE).touch()
    [closed] = store.close_unfinished()
    assert closed.state == "cancelled"
    assert [it.state for it in store.attempts(KEY)] == ["cancelled"]


def test_a_process_that_still_works_is_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = attempt(store, KEY, "0001", None)
    held = lock_file(folder / ALIVE)
    assert held is not None
    with pytest.raises(StoreError, match="still works"):
        store.close_unfinished(patience=0.2)
    os.close(held)
    assert len(store.close_unfinished(patience=0.2)) == 1


def test_a_folder_has_one_driver(tmp_path: Path) -> None:
    refused = pytest.raises(FolderInUse, match=r"^another process runs the study in")
    with lock_study(tmp_path), refused, lock_study(tmp_path):
        pass
    with lock_study(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="cannot write"), lock_study(tmp_path / "file" / "study"):
        pass
    with pytest.raises(CannotWrite, match="cannot write"):
        write_json(tmp_path / "file" / "x.json", {})
    with pytest.raises(CannotWrite, match="cannot write"):
        lock_file(tmp_path / "file" / ALIVE)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {("a", "b"): 1})
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_is_told_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match=r"^cannot write .*x\.json: No space left on device$"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def filled(folder: Path) -> Store:
    store = Store(folder)
    for key, stage, said in ((KEY, "sample", DRAWN), (OTHER, "measure", JUDGED)):
        attempt(store, key, "0001", {"seconds": 2.0, "stage": stage, **said})
    write_graph(folder, {"arm": "a", "nodes": {"sample": KEY, "measure right": OTHER}})
    return store


def test_the_summary_counts_nodes_steps_and_scores(tmp_path: Path) -> None:
    summary = read_summary(filled(tmp_path))
    assert summary.by_stage() == {"sample": {"done": 1}, "measure": {"done": 1}}
    assert summary.by_arm() == {"a": (2, 0, 2)}
    assert summary.mean_seconds() == {"sample": 2.0, "measure": 2.0}
    assert list(summary.scores()) == [("a", 0, 0, "right", 0, 1.0), ("a", 0, 0, "right", 1, None)]


def test_scores_are_written_as_csv(tmp_path: Path) -> None:
    file = io.StringIO()
    assert write_csv(read_summary(filled(tmp_path)), file) == 2
    assert file.getvalue().splitlines() == [
        "arm,train_seed,sample_seed,metric,prompt,value",
        "a,0,0,right,0,1.0",
        "a,0,0,right,1,",
    ]


def test_what_was_cancelled_waits_and_is_no_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in (KEY, OTHER):
        attempt(store, key, "0001", {"failure": "cancelled", "message": "stopped"}, FAILURE)
    trials = [{"arm": arm, "nodes": {"sample": [key]}} for arm, key in (("a", KEY), ("b", OTHER))]
    write_graph(tmp_path, *trials)
    summary = read_summary(store)
    assert summary.by_stage() == {"sample": {"waiting": 2}}
    assert summary.by_arm() == {"a": (0, 0, 1), "b": (0, 0, 1)}
    assert summary.failures() == []
    attempt(store, KEY, "0002", {"failure": "error", "message": "broken"}, FAILURE)
    attempt(store, KEY, "0003", {"failure": "cancelled", "message": "stopped"}, FAILURE)
    summary = read_summary(store)
    assert summary.by_stage() == {"sample": {"failed": 1, "waiting": 1}}
    assert summary.by_arm() == {"a": (0, 1, 1), "b": (0, 0, 1)}
    assert summary.failures() == [("sample", KEY, "error", "broken", 2, ("a",))]
    assert summary.failures()[0].told == f"sample of a ({KEY[:12]}): error after 2 attempts: broken"


def test_failures_are_those_that_nothing_has_mended(tmp_path: Path) -> None:
    store = filled(tmp_path)
    third = "ef" + "2" * 62
    attempt(store, third, "0001", {"failure": "lost", "message": "gone"}, FAILURE)
    attempt(store, third, "0002", {"failure": "error", "message": "broken"}, FAILURE)
    nodes = {"train": third, "sample": KEY, "measure right": OTHER}
    write_graph(tmp_path, {"arm": "a", "nodes": nodes})
    attempt(store, KEY, "0002", {"failure": "error", "message": "was done before"}, FAILURE)
    summary = read_summary(store)
    assert summary.failures() == [("train", third, "error", "broken", 2, ("a",))]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"seconds": "2", "stage": "measure", **JUDGED},
        {"seconds": 2, "stage": "measure", **JUDGED, "scores": ["good"]},
        {"seconds": 2, "stage": "measure", **JUDGED, "scores": [10**400]},
        {"seconds": 2, "stage": "measure", **JUDGED, "direction": "up"},
        {"seconds": 2, "stage": "measure", "name": "right", "direction": "higher", "unit": ""},
        {"seconds": 2, "stage": ["measure"], **JUDGED},
        {"seconds": 2, "stage": "sample", **DRAWN, "peak_bytes": None},
        {"seconds": 2, "stage": "train", "files": {"weights.safetensors": 9}},
        {"seconds": 2, "stage": "train", "files": ["x"]},
        [1],
    ],
)
def test_a_result_that_is_damaged_is_none(tmp_path: Path, said: object) -> None:
    store = Store(tmp_path)
    attempt(store, KEY, "0001", said)
    assert [it.state for it in store.attempts(KEY)] == ["running"]


@pytest.mark.parametrize(
    ("trial", "more"),
    [
        ({"arm": "a", "nodes": {"sample": "../../../x"}}, {}),
        ({"arm": "a", "nodes": []}, {}),
        ({"arm": "a", "nodes": {"sample": [KEY]}, "train": 3}, {}),
        ({"arm": 3, "nodes": {"sample": [KEY]}}, {}),
        ({"arm": "a", "nodes": {"sample": [KEY]}}, {"prompts": [1]}),
        ({"arm": "a", "nodes": {"sample": [KEY]}}, {"batches": [{"prompts": [0, 2], "at": [0, 1]}]}),
        ({"arm": "a", "nodes": {"sample": [KEY]}}, {"file": 3}),
    ],
)
def test_a_graph_that_is_damaged_is_told(
    tmp_path: Path, trial: dict[str, object], more: dict[str, object]
) -> None:
    write_graph(tmp_path, trial, **more)
    with pytest.raises(StoreError, match=r"graph\.json is damaged: `glidepath study run` writes it anew"):
        read_summary(Store(tmp_path))
    assert list(Store(tmp_path).batches()) == []


@pytest.mark.parametrize("text", ["[1]", "[" * 100_000, "NaN", "{}", '{"attempts": "x"}', ""])
def test_what_is_forgiven_is_nothing_where_that_is_damaged(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    attempt(store, KEY, "0001", {"failure": ["x"], "message": 3, "seconds": "x"}, FAILURE)
    (store.node(KEY) / "forgiven.json").write_text(text)
    (found,) = store.counted(KEY)
    assert (found.state, found.message, found.seconds) == ("error", "3", 0.0)


def test_folders_of_other_names_are_no_attempts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("\u00b2", "x", "0" * 200):
        attempt(store, KEY, name, {"seconds": 1, "stage": "train"})
    store.node(OTHER).mkdir(parents=True)
    (store.node(OTHER) / "attempts").write_text("")
    assert store.attempts(KEY) == store.attempts(OTHER) == []


def test_more_scores_than_prompts_are_told(tmp_path: Path) -> None:
    store = filled(tmp_path)
    folder = store.node(OTHER) / "attempts" / "0001"
    write_json(folder / RESULT, {"seconds": 2, "stage": "measure", **JUDGED, "scores": [1.0] * 3})
    with pytest.raises(StoreError, match=r"result\.json has 3 scores for 2 prompts"):
        list(read_summary(store).scores())


def test_several_studies_of_one_folder_keep_their_own_graphs(tmp_path: Path) -> None:
    first, second = Store(tmp_path).of("one"), Store(tmp_path).of("two")
    assert first.folder == tmp_path  # nothing has run yet, so either may be the first
    write_graph(tmp_path, study="one")
    second = Store(tmp_path).of("two")
    assert (second.root, second.folder) == (tmp_path, tmp_path / "others" / "two")
    second.folder.mkdir(parents=True)
    batches = [{"prompts": [0, 1], "at": [5, 3]}]
    write_graph(second.folder, study="two", batches=batches)
    assert second.node(KEY) == first.node(KEY)
    assert list(second.batches()) == [{"a": 5, "b": 3}, {"a": 0, "b": 1}]
    assert Store(second.folder).root == tmp_path
