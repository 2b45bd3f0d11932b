"""`glidepath alert`, and runs of `glidepath train` that are told of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.plugins.alerts.servers import Posts, webhook
from tests.plugins.train.tiny import PARTS

from glidepath.plugins.alerts.configs import WebhookConfig
from glidepath.plugins.alerts.switch import HEARTBEAT, Switch, watch_all
from glidepath.plugins.alerts.webhook import WebhookAlert
from glidepath.registry import main

SPEC = (
    PARTS
    + """\
data: {use: captioned-folder, folder: images, size: 8}
train: {use: diffusion, steps: 6, batch: 2, log_every: 2, checkpoint_every: 4, probe_every: 6}
alerts: [{use: webhook, tell: [crashed, done, stopped, stage-done]}]
runtime: {device: cpu}
"""
)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "images").mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "images" / f"{colour}.png")
        (tmp_path / "images" / f"{colour}.txt").write_text(colour)
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return path


def test_alert_test_sends_a_message_and_says_so(
    spec: Path, posts: Posts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alert", "test", "tiny.yaml"]) == 0
    assert capsys.readouterr().out == "alerts[0] (WebhookAlert): delivered\n"
    assert [message["title"] for _, message in posts.taken] == ["glidepath: a test"]


def test_alert_test_says_what_failed_and_no_address(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with webhook(refuse=9) as server:
        monkeypatch.setenv("GLIDEPATH_WEBHOOK", server.url)
        assert main(["alert", "test", "tiny.yaml"]) == 1
    out, err = capsys.readouterr()
    assert err == "alerts[0] (WebhookAlert): the webhook answered with status 503\n"
    monkeypatch.delenv("GLIDEPATH_WEBHOOK")
    assert main(["alert", "test", "tiny.yaml"]) == 1
    err += capsys.readouterr().err
    assert "GLIDEPATH_WEBHOOK, which is not set" in err
    assert "s3cr3t" not in out + err


def test_a_spec_without_alerts_is_told_how_to_write_some(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alert", "test", "tiny.yaml", "--set", "alerts=null"]) == 1
    assert "alerts: [{use: webhook}]" in capsys.readouterr().err


def test_a_run_is_not_begun_without_the_address_of_its_alerts(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GLIDEPATH_WEBHOOK", raising=False)
    assert main(["train", "tiny.yaml"]) == 1
    assert "GLIDEPATH_WEBHOOK, which is not set" in capsys.readouterr().err
    assert not Path("runs/tiny/spec.yaml").exists()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def beat(folder: Path, **changes: Any) -> None:
    values = {"state": "running", "step": 5, "total": 9, "stage": "denoise", "idle": 0.1, "beat": 1}
    (folder / HEARTBEAT).write_text(json.dumps(values | changes))


def test_a_heart_that_stops_is_told_of_within_a_minute(tmp_path: Path, posts: Posts) -> None:
    clock = Clock()
    alert = WebhookAlert(WebhookConfig())
    switch = Switch(tmp_path, [alert], 40.0, clock)
    for number in range(20):
        clock.now += 15
        beat(tmp_path, beat=number)
        assert switch.look() == ""
    last = clock.now
    while not posts.taken:
        clock.now += 2
        switch.look()
        assert clock.now - last <= 60
    assert switch.is_over
    ((_, message),) = posts.taken
    assert message["condition"] == "crashed"
    assert "its machine is gone" in message["body"]
    assert message["step"] == 5


def test_a_run_that_ends_is_no_run_that_is_gone(tmp_path: Path, posts: Posts) -> None:
    clock = Clock()
    switch = Switch(tmp_path, [WebhookAlert(WebhookConfig())], 40.0, clock)
    beat(tmp_path, state="done")
    assert switch.look() == "done"
    clock.now = 1000.0
    switch.look()
    assert posts.taken == []
    assert watch_all([switch], print) == 0


def test_a_process_that_lives_and_does_nothing_is_stuck(tmp_path: Path, posts: Posts) -> None:
    switch = Switch(tmp_path, [WebhookAlert(WebhookConfig(stuck_after=60.0))], 40.0, Clock())
    beat(tmp_path, idle=61.0)
    assert switch.look() == "stuck"
    assert [message["condition"] for _, message in posts.taken] == ["stuck"]


@pytest.mark.thorough
def test_a_run_tells_its_stages_and_its_end(spec: Path, posts: Posts) -> None:
    assert main(["train", "tiny.yaml"]) == 0
    assert {message["condition"] for _, message in posts.taken} == {"stage-done", "done"}
    assert json.loads(Path("runs/tiny", HEARTBEAT).read_text())["state"] == "done"
    kept = b"".join(path.read_bytes() for path in Path("runs/tiny").iterdir())
    assert b"GLIDEPATH_WEBHOOK" in kept
    assert b"s3cr3t" not in kept


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_a_run_that_is_killed_is_told_of_and_goes_on_from_its_checkpoint(spec: Path, posts: Posts) -> None:
    """By the process beside it within 10 seconds; by the switch, as if its machine were gone, within 60."""
    command = [sys.executable, "-c", "import sys; from glidepath.registry import main; sys.exit(main())"]
    endless = ["train", "tiny.yaml", "--set", "train.steps=1000000", "--set", "train.checkpoint_every=10"]
    run = subprocess.Popen([*command, *endless])
    processes = [run]
    try:
        folder, end = Path("runs/tiny"), time.monotonic() + 600
        while not (list(folder.glob("checkpoint-*")) and (folder / HEARTBEAT).exists()):
            assert time.monotonic() < end
            assert run.poll() is None
            time.sleep(0.1)
        watch = [*command, "alert", "watch", "runs/tiny", "--after", "17"]
        watching = subprocess.Popen(watch, stdout=subprocess.PIPE, text=True)
        processes.append(watching)
        assert watching.stdout is not None
        assert watching.stdout.readline() == "watching runs/tiny\n"
        os.kill(run.pid, signal.SIGKILL)
        killed = time.monotonic()
        run.wait()
        first = posts.wait(lambda it: it["condition"] == "crashed", 10)
        assert "killed" in first["body"]
        posts.wait(lambda it: "its machine is gone" in it["body"], 60 - (time.monotonic() - killed))
        assert watching.stdout.read() == "runs/tiny: gone\n"
        assert watching.wait(20) == 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert main([*endless, "--steps-now", "1"]) == 0


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGTERM")
def test_a_run_that_a_scheduler_stops_says_so_and_leaves_a_checkpoint(spec: Path, posts: Posts) -> None:
    command = [sys.executable, "-c", "import sys; from glidepath.registry import main; sys.exit(main())"]
    run = subprocess.Popen([*command, "train", "tiny.yaml", "--set", "train.steps=1000000"])
    try:
        folder, end = Path("runs/tiny"), time.monotonic() + 600
        while not list(folder.glob("checkpoint-*")):
            assert time.monotonic() < end
            assert run.poll() is None
            time.sleep(0.1)
        run.terminate()
        assert run.wait(120) == 130
    finally:
        run.kill()
    message = posts.wait(lambda it: it["condition"] == "stopped", 10)
    newest = max(int(path.stem.partition("-")[2]) for path in folder.glob("checkpoint-*"))
    assert message["step"] == newest
    assert json.loads((folder / HEARTBEAT).read_text())["state"] == "stopped"


@pytest.mark.thorough
def test_a_batch_that_spoils_training_is_told_with_its_files(spec: Path, posts: Posts) -> None:
    """The learning rate is such that the loss soon is no number."""
    changes = ["train.learning_rate=1e20", "train.warmup_steps=1", "train.gradient_clip=0", "train.steps=40"]
    told = "alerts=[{use: webhook, tell: [nan, spike]}]"
    settings = [word for change in (*changes, told) for word in ("--set", change)]
    assert main(["train", "tiny.yaml", *settings]) == 1
    message = posts.wait(lambda it: it["condition"] == "nan", 10)
    assert "training diverged" in message["body"]
    batch = message["details"]["batches"][-1]
    assert {Path(name).name for name in batch["names"]} <= {"red.png", "green.png"}
    assert set(batch["captions"]) <= {"red", "green"}
    assert "png: " in message["body"]
