"""`glidepath train`, from a spec to weights that sample."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.plugins.train.tiny import PARTS

from glidepath.core.events import Event
from glidepath.plugins.train.run.checkpoint import existing
from glidepath.plugins.train.run.display import TrainingDisplay
from glidepath.registry.assembly.build import assemble
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.folder_lock import lock_folder
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

pytestmark = pytest.mark.thorough

SPEC = (
    PARTS
    + """\
data: {use: captioned-folder, folder: images, size: 8}
train: {use: diffusion, steps: 6, batch: 2, log_every: 2, checkpoint_every: 4, probe_every: 6}
runtime: {device: cpu}
"""
)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec and its images, in the current folder."""
    (tmp_path / "images").mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (9, 12), colour).save(tmp_path / "images" / f"{colour}.png")
        (tmp_path / "images" / f"{colour}.txt").write_text(colour)
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return path


def train(*arguments: str) -> int:
    return main(["train", "tiny.yaml", *arguments])


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_spec_is_trained_and_its_weights_sample(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    out, err = capsys.readouterr()
    folder = Path("runs/tiny")
    assert out == f"{folder / 'weights.safetensors'}\n"
    names = {path.name for path in folder.iterdir() if not path.name.startswith("checkpoint-")}
    assert names == {
        ".lock",
        "dataset.jsonl",
        "events.jsonl",
        "heartbeat.json",
        "log.jsonl",
        "spec.yaml",
        "weights.safetensors",
    }
    (said,) = [line for line in err.splitlines() if line.startswith("sample with them: ")]
    words = shlex.split(said.removeprefix("sample with them: "))
    assert words[:2] == ["glidepath", "sample"]
    assert words[2] in ("red", "green")
    assert main([*words[1:], "--out", "a.png"]) == 0
    assert Path("a.png").exists()


def test_the_written_spec_stands_for_the_same_run_from_any_folder(
    spec: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts, its absolute paths; and training by it goes on with the run."""
    assert train("--out", "run", "--set", "train.learning_rate=1e-05", "--steps-now", "2") == 0
    written = (spec.parent / "run" / "spec.yaml").absolute()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    catalogue = load_catalogue()
    tree = make_plan(read_spec(written, catalogue=catalogue), catalogue).tree
    assert tree["train"]["learning_rate"] == 1e-5
    assert tree["data"]["folder"] == str(spec.parent / "images")
    assert tree["text_encoder"]["tokenizer"]["vocabulary"] == ["red", "green", "on", "left", "right"]
    assert main(["train", str(written), "--out", str(written.parent)]) == 0
    pipeline = assemble(written)
    weights = load_file(written.with_name("weights.safetensors"))
    loaded = pipeline.denoiser.state_dict()
    assert all(torch.equal(loaded[name], weights[f"denoiser.{name}"]) for name in loaded)


def test_training_in_pieces_is_training_in_one_go(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--out", "whole") == 0
    capsys.readouterr()
    for steps in (2, 4):
        assert train("--out", "pieces", "--steps-now", "2") == 0
        _, err = capsys.readouterr()
        assert f"stopped at step {steps} of 6" in err
        assert "glidepath train tiny.yaml --out pieces --steps-now 2" in err
    assert train("--out", "pieces") == 0
    assert "resuming from step 4 (checkpoint-00000004.safetensors)" in capsys.readouterr().err
    assert same_weights(Path("pieces"), Path("whole"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_after_the_step_with_a_checkpoint(
    spec: Path,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = TrainingDisplay.tell

    def interrupted(self: TrainingDisplay, event: Event) -> None:
        show(self, event)
        if event.name == "step" and event.step == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(TrainingDisplay, "tell", interrupted)
    assert train("--out", "run") == 130
    _, err = capsys.readouterr()
    assert "interrupted at step 3 of 6; a checkpoint is in run" in err
    assert "Resume with the same command:\n  glidepath train tiny.yaml --out run\n" in err
    assert [path.name for path in existing(Path("run"))] == ["checkpoint-00000003.safetensors"]
    monkeypatch.undo()
    monkeypatch.chdir(spec.parent)
    assert train("--out", "run") == 0
    assert train("--out", "whole") == 0
    assert same_weights(Path("run"), Path("whole"))


def test_a_run_is_stopped_from_elsewhere_and_goes_on_when_it_is_started_again(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show = TrainingDisplay.tell

    def asked(self: TrainingDisplay, event: Event) -> None:
        show(self, event)
        if event.name == "step" and event.step == 3:
            while not Path("run/heartbeat.json").exists():
                time.sleep(0.01)
            assert main(["runs", "run", "--stop"]) == 0

    monkeypatch.setattr(TrainingDisplay, "tell", asked)
    assert train("--out", "run") == 130
    out, err = capsys.readouterr()
    assert "run stops after its step, with a checkpoint" in out
    assert "stopped at step 3 of 6; a checkpoint is in run" in err
    assert main(["runs", "run", "--stop"]) == 1
    assert "run does not run: it is stopped" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(spec.parent)
    assert train("--out", "run") == 0


def test_a_run_is_sampled_from_before_it_is_done(spec: Path) -> None:
    """By its folder, which stands for its spec and the weights of its newest checkpoint."""
    assert train("--steps-now", "4") == 0
    assert main(["sample", "red", "--spec", "runs/tiny", "--out", "early.png"]) == 0
    assert train() == 0
    assert main(["sample", "red", "--spec", "runs/tiny", "--out", "late.png"]) == 0
    assert Path("early.png").read_bytes() != Path("late.png").read_bytes()


def test_a_finished_run_is_not_trained_again(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    Path("runs/tiny/weights.safetensors").unlink()
    capsys.readouterr()
    assert train() == 0
    assert "training was finished before" in capsys.readouterr().err
    assert Path("runs/tiny/weights.safetensors").exists()


def test_a_folder_of_another_spec_is_refused_and_left_as_it_was(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--steps-now", "1") == 0
    before = {path.name: path.read_bytes() for path in Path("runs/tiny").iterdir() if path.name != ".lock"}
    capsys.readouterr()
    assert train("--set", "train.batch=3", "--set", "denoiser.dropout=0.5") == 1
    err = capsys.readouterr().err
    assert "train.batch was 2, and is 3" in err
    assert "denoiser.dropout was 0.0, and is 0.5" in err
    after = {path.name: path.read_bytes() for path in Path("runs/tiny").iterdir() if path.name != ".lock"}
    assert after == before


def test_a_spec_without_data_or_train_says_what_is_missing(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--set", "data=null", "--set", "train=null") == 2
    err = capsys.readouterr().err
    assert "it has no 'data'" in err
    assert "it has no 'train'" in err
    assert "captioned-folder" in err
    assert "diffusion" in err
    assert not Path("runs").exists()


def test_a_dataset_of_another_size_than_the_denoisers_is_a_fault_of_the_spec(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--set", "data.size=16") == 2
    assert "pixels.size" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock_folder(Path("runs/tiny"), str):
        assert train() == 1
    who = f"process {os.getpid()}" if os.name == "posix" else "another process"
    said = f"glidepath: error: {who} is training into {Path('runs/tiny')}; stop it, or choose another\n"
    assert said in capsys.readouterr().err


def test_a_file_where_the_folder_was_to_be_is_refused(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("short.yaml").write_text("mine")
    assert train("--out", "short.yaml") == 1
    assert capsys.readouterr().err == "glidepath: error: --out is a folder, and short.yaml is a file\n"
    assert Path("short.yaml").read_text() == "mine"


def test_training_begins_from_scratch_by_the_seed(spec: Path) -> None:
    """The spec's weights are ignored, and networks are initialised alike each time."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)
        weights = ["--set", "weights=absent.safetensors"] if name == "b" else []
        assert train("--out", name, "--set", f"train.seed={seed}", *weights) == 0
    assert same_weights(Path("a"), Path("b"))
    assert not same_weights(Path("a"), Path("c"))


def test_training_can_begin_with_the_specs_weights(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--out", "first") == 0
    start = load_file("first/weights.safetensors")
    save_file({name: value + 1 for name, value in start.items()}, "start.safetensors")
    still = ["--set", "train.learning_rate=1e-30", "--set", "train.init_from_weights=true"]
    assert train("--out", "second", *still, "--set", "weights=start.safetensors") == 0
    found = load_file("second/weights.safetensors")
    for name, value in start.items():
        torch.testing.assert_close(found[name], value + 1)
    capsys.readouterr()
    assert train("--out", "third", "--set", "train.init_from_weights=true") == 2
    assert "this spec has none" in capsys.readouterr().err


def test_off_a_terminal_the_log_is_shown_line_by_line(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    _, err = capsys.readouterr()
    assert "step 2 of 6, denoise: loss " in err
    lines = [json.loads(line) for line in Path("runs/tiny/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]


def test_on_a_terminal_a_bar_shows_loss_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            shown.append(text)
            return len(text)

        def flush(self) -> None: ...

    monkeypatch.setattr("sys.stderr", Terminal())
    with TrainingDisplay() as display:
        at = Event(name="stage", step=100, total=200, stage="denoise")
        display.tell(at)
        display.tell(attrs.evolve(at, name="step", step=150))
        figures = {"loss": 0.125, "images_per_second": 12.5}
        display.tell(attrs.evolve(at, name="logged", step=150, figures=figures))
    text = "".join(shown)
    assert "denoise:" in text
    assert "150/200" in text
    assert "loss 0.1250, 12.5 images/s" in text


def test_leftovers_of_a_killed_writer_are_cleaned_up(spec: Path) -> None:
    folder = Path("runs/tiny")
    folder.mkdir(parents=True)
    (folder / ".checkpoint-00000004.safetensors.partial").write_bytes(b"half")
    assert train("--steps-now", "1") == 0
    assert list(folder.glob(".*.partial")) == []
