"""What trackers keep is what training told them: read back with each package's own reader."""

from __future__ import annotations

import csv
import json
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from glidepath.core import Event, Subject
from glidepath.plugins.trackers.configs import (
    CsvConfig,
    MlflowConfig,
    TensorBoardConfig,
    TrackioConfig,
    WandbConfig,
)
from glidepath.plugins.trackers.csv_file import CsvTracker
from glidepath.plugins.trackers.tracker import Tracker
from glidepath.registry import main

LOSSES = {50: 1.0, 100: 0.75, 150: 0.5}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """The folder of a run with a sheet of samples and weights."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/x")
    folder.mkdir(parents=True)
    Image.new("RGB", (4, 2), "red").save(folder / "sheet.png")
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "spec.yaml").write_text("train: {steps: 150}\n")
    return Subject(kind="run", name="runs/x", folder=folder, spec={"train": {"steps": 150}})


def events(run: Subject, losses: dict[int, float], begin: int = 0) -> Iterable[Event]:
    yield Event(name="started", step=begin, total=150)
    for step, loss in losses.items():
        yield Event(name="step", step=step)
        yield Event(name="logged", step=step, total=150, figures={"loss": loss, "images_per_second": 9.0})
    yield Event(name="samples", step=150, files={"samples": run.folder / "sheet.png"})
    yield Event(name="done", step=150, files={"weights": run.folder / "weights.safetensors"})


def tell(tracker: Tracker, run: Subject, told: Iterable[Event]) -> None:
    tracker.open(run)
    for event in told:
        tracker.tell(event)
    tracker.close(30.0)


def table(run: Subject) -> list[dict[str, str]]:
    with (run.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_for_each_step_and_a_column_for_each_figure(run: Subject) -> None:
    more = [
        *list(events(run, LOSSES))[:-1],
        Event(name="logged", step=200, figures={"loss": 0.4, "own_caption": 0.25}),
    ]
    tell(CsvTracker(CsvConfig()), run, more)
    rows = table(run)
    assert [(int(row["step"]), float(row["loss"])) for row in rows] == [*LOSSES.items(), (200, 0.4)]
    assert [row["own_caption"] for row in rows] == ["", "", "", "0.25"]
    assert rows[-1]["images_per_second"] == ""


def test_csv_of_a_run_that_goes_on_is_that_of_one_that_nothing_stopped(run: Subject) -> None:
    tell(CsvTracker(CsvConfig()), run, events(run, {50: 1.0, 100: 9.0}))
    tell(CsvTracker(CsvConfig()), run, events(run, {100: 0.75, 150: 0.5}, begin=50))
    assert [(int(row["step"]), float(row["loss"])) for row in table(run)] == [*LOSSES.items()]


def test_csv_leads_to_no_other_folder() -> None:
    for name in ("../x.csv", "/x.csv", "a/b.csv", "", ".."):
        with pytest.raises(ValueError, match="without any folder"):
            CsvConfig(file=name)


def test_figures_of_a_study_stand_under_their_arm(run: Subject) -> None:
    told = [
        Event(name="started"),
        Event(name="trial-done", step=1, stage="scale-3", figures={"seconds": 0.5}),
    ]
    tell(CsvTracker(CsvConfig()), run, told)
    assert table(run) == [{"step": "1", "scale-3/seconds": "0.5"}]


def test_tensorboard_keeps_scalars_sheets_and_the_spec(run: Subject) -> None:
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from glidepath.plugins.trackers.tensorboard_files import TensorBoardTracker

    tell(TensorBoardTracker(TensorBoardConfig()), run, events(run, {50: 1.0, 100: 9.0, 125: 9.0}))
    tell(TensorBoardTracker(TensorBoardConfig()), run, events(run, {100: 0.75, 150: 0.5}, begin=50))
    found = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert {event.step: event.value for event in found.Scalars("loss")} == LOSSES
    image = found.Images("samples")[-1]
    assert (image.step, image.width, image.height) == (150, 4, 2)
    assert "spec.yaml/text_summary" in found.Tags()["tensors"]


def test_mlflow_keeps_metrics_and_artifacts_of_one_run(
    run: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs more than mlflow-skinny
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")

    from glidepath.plugins.trackers.mlflow_run import MlflowTracker

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    config = MlflowConfig(keep_weights=True)
    tell(MlflowTracker(config), run, list(events(run, {50: 1.0}))[:-1])
    tell(MlflowTracker(config), run, events(run, {100: 0.75, 150: 0.5}, begin=50))
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("glidepath")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == LOSSES
    names = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert {"spec.json", "spec.yaml", "samples", "weights.safetensors"} <= names


def records(data: bytes) -> Iterable[bytes]:
    """The records of a .wandb file: a header of 7 bytes, then the log format of LevelDB.

    Blocks of 32 KiB hold pieces: a checksum, a length and a type (whole, first, middle, last) before each.
    """
    at, parts = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, sort = struct.unpack("<IHB", data[at : at + 7])
        piece = data[at + 7 : at + 7 + length]
        at += 7 + length
        parts = piece if sort in (1, 2) else parts + piece
        if sort in (1, 4):
            yield parts


def test_wandb_keeps_figures_offline(run: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    from wandb.proto import wandb_internal_pb2

    from glidepath.plugins.trackers.wandb_run import WandbTracker

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    tell(WandbTracker(WandbConfig(mode="offline", keep_weights=True)), run, events(run, LOSSES))
    (file,) = run.folder.glob("wandb/offline-run-*/run-*.wandb")
    end = time.monotonic() + 60
    kinds: list[str] = []
    while "exit" not in kinds and time.monotonic() < end:  # a process of W&B writes it
        time.sleep(0.2)
        found = [wandb_internal_pb2.Record.FromString(data) for data in records(file.read_bytes())]
        kinds = [record.WhichOneof("record_type") for record in found]
    lines = [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.HasField("history")
    ]
    assert {line["step"]: line["loss"] for line in lines if "loss" in line} == LOSSES
    assert any(name.startswith("samples") for line in lines for name in line)
    artifacts = {record.artifact.name for record in found if record.HasField("artifact")}
    assert "runs-x-weights" in artifacts
    assert any("spec" in str(record.run.config) for record in found if record.HasField("run"))
    kept = b"".join(path.read_bytes() for path in run.folder.rglob("*") if path.is_file())
    assert b"0" * 40 not in kept


def test_trackio_keeps_figures(run: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="the extra [trackio] is not installed")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    from glidepath.plugins.trackers.trackio_run import TrackioTracker

    tell(TrackioTracker(TrackioConfig(project="tried")), run, events(run, LOSSES))
    from trackio.sqlite_storage import SQLiteStorage

    logs: list[dict[str, Any]] = SQLiteStorage.get_logs("tried", "runs-x")
    assert {line["step"]: line["loss"] for line in logs if "loss" in line} == LOSSES


def test_a_run_is_handed_to_a_tracker_afterwards(run: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"step": step, "stage": "denoise", "loss": loss} for step, loss in LOSSES.items()]
    resumed = {"step": 100, "resumed_from": "checkpoint-00000100.safetensors"}
    text = "".join(json.dumps(line) + "\n" for line in [*lines[:2], resumed, lines[2]])
    (run.folder / "log.jsonl").write_text(text + '{"step": 1')
    assert main(["track", "runs/x", "--to", "csv", "--set", "file=mine.csv"]) == 0
    assert "3 lines of runs/x were handed to csv" in capsys.readouterr().err
    with (run.folder / "mine.csv").open(newline="") as file:
        assert {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)} == LOSSES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "--to", "csv"], "runs is no folder of a run: there is no log.jsonl, events.jsonl or"),
        (["runs/x", "--to", "csv"], "runs/x has nothing to hand over yet: the first figures come after"),
        (["runs/x", "--to", "cvs"], "csv"),
        (["runs/x", "--to", "csv", "--set", "fiel=a"], "file"),
        (["runs/x", "--to", "csv", "--set", "a"], "KEY=VALUE"),
    ],
)
def test_what_cannot_be_handed_on_is_told(
    run: Subject, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.folder / "events.jsonl").write_text('{"name": "started"}\n')
    assert main(["track", *arguments]) != 0
    assert said in capsys.readouterr().err
