"""Which checkpoints are kept, that they are what was to be written, and what a disk that refuses costs."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from tests.plugins.train.tiny import Heard, make_run, train

from glidepath.plugins.train.run import checkpoint as checkpoints
from glidepath.plugins.train.run import keeping
from glidepath.plugins.train.run.checkpoint import (
    CheckpointError,
    TrainingCheckpoint,
    existing,
    load,
    save,
)
from glidepath.plugins.train.run.keeping import Room, patiently
from glidepath.registry import assemble, load_catalogue, make_plan, read_spec

Usage = namedtuple("Usage", "total used free")


def made(step: int, **figures: float) -> TrainingCheckpoint:
    meta = {"spec": {}, "stage": "denoise", "unlogged": [], "figures": figures}
    return TrainingCheckpoint(step, {"model.x": torch.full((3,), float(step))}, meta)


def test_the_best_by_a_figure_is_kept_besides_the_newest(tmp_path: Path) -> None:
    for step, error in enumerate([0.5, 0.3, 0.4, 0.35, 0.6]):
        save(tmp_path, made(step, own_caption=error), keep=2, best="own_caption")
    assert [load(path).step for path in existing(tmp_path)] == [1, 3, 4]


def test_one_of_every_so_many_hours_is_kept_besides_the_newest(tmp_path: Path) -> None:
    for step in range(8):
        path = save(tmp_path, made(step), keep=1, hours=2.0)
        os.utime(path, (step * 3600.0, step * 3600.0))
    assert [load(path).step for path in existing(tmp_path)] == [0, 2, 4, 6, 7]


def test_a_file_that_is_not_what_was_written_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, made(1), keep=2)
    write = checkpoints.write_tensors

    def spoilt(path: Path, *arguments: Any) -> None:
        write(path, *arguments)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(checkpoints, "write_tensors", spoilt)
    with pytest.raises(CheckpointError, match=r"not what was to be there: .*model.x.* differ"):
        save(tmp_path, made(2), keep=2)
    assert [load(path).step for path in existing(tmp_path)] == [1]


def test_what_was_written_is_compared_bit_for_bit(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([0.0, float("nan")]), "b": torch.arange(3), "c": torch.zeros(2).bfloat16()}
    save(tmp_path, attrs.evolve(made(1), tensors=tensors), keep=1)
    assert len(existing(tmp_path)) == 1


def test_a_disk_that_refuses_is_tried_again_and_a_person_is_told_once() -> None:
    said: list[str] = []
    attempts = 0

    def write() -> Path:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise CheckpointError("no space left on device")
        return Path("x")

    def sleep(_seconds: float) -> None:
        moments[0] += 4.0

    moments = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping.time, "monotonic", lambda: moments[0])
        assert patiently(write, 600.0, said.append, lambda: False, sleep) == Path("x")
        assert attempts == 4
        assert said == [
            "no space left on device; it is tried again for 600 seconds: make room, or bring it back"
        ]
        attempts = -1000
        began = moments[0]
        with pytest.raises(CheckpointError, match="no space"):
            patiently(write, 600.0, said.append, lambda: False, sleep)
        assert 600 <= moments[0] - began <= 620
        with pytest.raises(CheckpointError, match="no space"):  # who is told to stop does not wait
            patiently(write, 600.0, said.append, lambda: True, sleep)


def test_a_run_goes_on_when_its_folder_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step is lost, and the weights are those of a run that nothing disturbed."""
    write, refused = checkpoints.write_tensors, [0]

    def sometimes(path: Path, *arguments: Any) -> None:
        if path.parent.name == "disturbed" and refused[0] < 3:
            refused[0] += 1
            raise checkpoints.CannotWrite(f"cannot write {path}: Stale file handle")
        write(path, *arguments)

    monkeypatch.setattr(checkpoints, "write_tensors", sometimes)
    monkeypatch.setattr(keeping, "_PAUSE", 0.0)
    heard = Heard()
    train(make_run(tmp_path / "disturbed", listeners=[heard]), patience=60.0)
    train(make_run(tmp_path / "calm"))
    (told,) = [event for event in heard.events if event.name == "unwritable"]
    assert told.step == 5
    assert "Stale file handle" in told.message
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("disturbed", "calm"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_disk_that_fills_is_told_of_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, free["bytes"]))
    room = Room(tmp_path)
    (tmp_path / "x").write_bytes(b"0" * 1000)
    room.written(tmp_path / "x")
    assert room.lacks() == ""
    free["bytes"] = 1999
    assert "soon none can be written" in room.lacks()
    assert room.lacks() == ""  # once
    free["bytes"] = 10**9
    assert room.lacks() == ""
    free["bytes"] = 0
    assert room.lacks()
    heard = Heard()
    train(make_run(tmp_path / "run", listeners=[heard]))
    (told,) = [event for event in heard.events if event.name == "disk-low"]
    assert told.step == 5


def test_a_run_is_sampled_from_while_it_trains(tmp_path: Path) -> None:
    """Its folder is a spec; its weights are the averages of the newest checkpoint."""
    folder = tmp_path / "run"
    train(make_run(folder), stop_after=7)
    weights = load_file(folder / "weights.safetensors")
    assert weights.keys() == load(existing(folder)[-1]).group("ema").keys()
    newest = load(existing(folder)[-1])
    assert newest.step == 7
    assert all(torch.equal(weights[name], value) for name, value in newest.group("ema").items())


def test_the_folder_of_a_run_is_a_spec(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spec.yaml").write_text("extends: shapes\nsampler: {steps: 7}\n")
    (folder / "events.jsonl").touch()
    catalogue = load_catalogue()
    plan = make_plan(read_spec(folder, catalogue=catalogue), catalogue)
    assert plan.tree["sampler"]["steps"] == 7
    assert assemble(str(folder)).sampler.steps == 7
