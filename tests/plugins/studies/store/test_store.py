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
    attempt(store, KEY, "0002", {"seconds": 2.5})
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
    for key, stage in ((KEY, "sample"), (OTHER, "measure")):
        attempt(store, key, "0001", {"seconds": 2.0, "scores": [1.0, None] if stage == "measure" else None})
    nodes = {"sample": KEY, "measure right": OTHER}
    write_json(folder / GRAPH, {"trials": [{"arm": "a", "train": 0, "sample": 0, "nodes": nodes}]})
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
    trials = [
        {"arm": arm, "train": 0, "sample": 0, "nodes": {"sample": key}}
        for arm, key in (("a", KEY), ("b", OTHER))
    ]
    write_json(tmp_path / GRAPH, {"trials": trials})
    summary = read_summary(store)
    assert summary.by_stage() == {"sample": {"waiting": 2}}
    assert summary.by_arm() == {"a": (0, 0, 1), "b": (0, 0, 1)}
    assert summary.failures() == []
    attempt(store, KEY, "0002", {"failure": "error", "message": "broken"}, FAILURE)
    attempt(store, KEY, "0003", {"failure": "cancelled", "message": "stopped"}, FAILURE)
    summary = read_summary(store)
    assert summary.by_stage() == {"sample": {"failed": 1, "waiting": 1}}
    assert summary.by_arm() == {"a": (0, 1, 1), "b": (0, 0, 1)}
    assert summary.failures() == [("sample", KEY, "error", "broken", 2)]


def test_failures_are_those_that_nothing_has_mended(tmp_path: Path) -> None:
    store = filled(tmp_path)
    third = "ef" + "2" * 62
    attempt(store, third, "0001", {"failure": "lost", "message": "gone"}, FAILURE)
    attempt(store, third, "0002", {"failure": "error", "message": "broken"}, FAILURE)
    nodes = {"train": third, "sample": KEY, "measure right": OTHER}
    write_json(tmp_path / GRAPH, {"trials": [{"arm": "a", "train": 0, "sample": 0, "nodes": nodes}]})
    attempt(store, KEY, "0002", {"failure": "error", "message": "was done before"}, FAILURE)
    summary = read_summary(store)
    assert summary.failures() == [("train", third, "error", "broken", 2)]
