"""Checkpoint files: whole or not at all, and the newest one that can be read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.plugins.train.tiny import log_of, make_run, train

from glidepath.plugins.train.run import checkpoint as checkpoints
from glidepath.plugins.train.run.checkpoint import (
    CheckpointError,
    DamagedCheckpoint,
    TrainingCheckpoint,
    existing,
    load,
    newest,
    save,
)


def checkpoint_of(step: int) -> TrainingCheckpoint:
    return TrainingCheckpoint(
        step,
        {"model.a": torch.arange(100.0) + step, "ema.a": torch.zeros(2)},
        {"spec": {}, "stage": "x", "unlogged": []},
    )


@pytest.mark.parametrize("folder", ["runs", os.fsdecode(b"caf\xe9")])
def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path, folder: str) -> None:
    tensors = {
        "model.half": torch.randn(3, 2).half(),
        "model.strided": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "optimizer.step": torch.tensor(7.0),
        "ema.count": torch.tensor(3),
    }
    meta = {"spec": {"a": [1, 0.1, None, "ü"]}, "stage": "denoise", "unlogged": [0.1]}
    (tmp_path / folder).mkdir()
    found = load(save(tmp_path / folder, TrainingCheckpoint(7, tensors, meta), keep=1))
    assert (found.step, found.meta) == (7, meta)
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())
    assert found.group("model").keys() == {"half", "strided"}


def test_the_newest_of_several_is_taken(tmp_path: Path) -> None:
    for step in (99_999_999, 3, 100_000_000):  # by number, not by name
        save(tmp_path, checkpoint_of(step), keep=3)
    found = newest(tmp_path)
    assert found is not None
    assert found.checkpoint.step == 100_000_000


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "absent") is None


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint_of(5), keep=2)
    for name in (
        ".checkpoint-00000009.safetensors.partial",
        "checkpoint-00000009.safetensors.damaged",
        "checkpoint-9.safetensors",
        "checkpoint-00000009.safetensors.bak",
        "my-checkpoint-00000009.safetensors",
    ):
        shutil.copy(path, tmp_path / name)
    found = newest(tmp_path)
    assert found is not None
    assert found.path == path


def truncate(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def truncate_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"\xff" * 500)


def described(step: str, meta: str) -> Callable[[Path], None]:
    header = {"format": checkpoints.FORMAT, "step": step, "meta": meta}
    return lambda path: save_file({"a": torch.zeros(1)}, path, header)


DAMAGES = [truncate, truncate_header, empty, garble, described("9", "{")]
METAS = [
    "null",
    "[]",
    "{}",
    '{"spec": 3, "stage": "a", "unlogged": []}',
    '{"spec": {}, "stage": "a"}',
    9999 * "[",
]


@pytest.mark.parametrize(
    "damage",
    [
        *DAMAGES,
        described("x", '{"spec": {}, "stage": "a", "unlogged": []}'),
        *(described("9", it) for it in METAS),
    ],
)
def test_a_damaged_checkpoint_is_recognised(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint_of(5), keep=2)
    damage(path)
    with pytest.raises(DamagedCheckpoint, match=path.name):
        load(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_goes_on_from_the_newest_checkpoint_that_is_sound_and_says_so(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    train(make_run(tmp_path / "whole"), keep=9)
    train(make_run(tmp_path / "run"), keep=9)
    (tmp_path / "run" / "weights.safetensors").unlink()
    damage(existing(tmp_path / "run")[-1])
    train(make_run(tmp_path / "run"), keep=9)
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    (resumed,) = [line for line in log_of(tmp_path / "run") if "loss" not in line]
    assert resumed["resumed_from"] == "checkpoint-00000010.safetensors"
    assert "checkpoint-00000012.safetensors" in resumed["damaged"][0]


def test_a_damaged_checkpoint_is_kept_aside_and_takes_no_sound_ones_place(tmp_path: Path) -> None:
    train(make_run(tmp_path), keep=2)
    truncate(existing(tmp_path)[-1])
    train(make_run(tmp_path), stop_after=11, keep=1)
    assert [path.name for path in existing(tmp_path)] == ["checkpoint-00000011.safetensors"]
    assert (tmp_path / "checkpoint-00000012.safetensors.damaged").exists()


def test_when_all_checkpoints_are_damaged_a_run_does_not_begin_anew_by_itself(tmp_path: Path) -> None:
    train(make_run(tmp_path), keep=9)
    for path in existing(tmp_path):
        truncate(path)
    with pytest.raises(CheckpointError) as raised:
        train(make_run(tmp_path))
    assert all(path.name in str(raised.value) for path in existing(tmp_path))


def test_a_file_of_another_kind_under_a_checkpoints_name_is_refused(tmp_path: Path) -> None:
    """It may be of a newer version: to go back to an older one in silence would throw its steps away."""
    save(tmp_path, checkpoint_of(5), keep=2)
    path = tmp_path / "checkpoint-00000009.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"format": "glidepath-checkpoint-2"})
    with pytest.raises(CheckpointError, match="'glidepath-checkpoint-2'"):
        newest(tmp_path)
    assert path.exists()


def test_a_full_disk_ends_training_with_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(make_run(tmp_path), stop_after=5)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(CheckpointError, match=r"cannot write .*checkpoint-00000010.safetensors: no space"):
        train(make_run(tmp_path))
    assert [load(path).step for path in existing(tmp_path)] == [5]


def test_a_checkpoint_of_other_tensors_does_not_fit(tmp_path: Path) -> None:
    train(make_run(tmp_path), stop_after=5)
    [path] = existing(tmp_path)
    sound = load(path)
    for name in (
        "model.denoiser.first.weight",
        "ema.denoiser.first.bias",
        "optimizer.denoiser.first.weight.exp_avg",
    ):
        for tensors in (
            {key: value for key, value in sound.tensors.items() if key != name},
            {**sound.tensors, name: torch.zeros(7)},
        ):
            save(tmp_path, attrs.evolve(sound, tensors=tensors), keep=1)
            with pytest.raises(CheckpointError, match="checkpoint of step 5 does not fit"):
                train(make_run(tmp_path))
