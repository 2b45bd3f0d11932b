"""Each planted fault is told at a local server within 10 seconds, and leaves a checkpoint from before it.

Those of disks are in test_disk.py; runs that are stopped, killed, or gone with their machine in
alerts/test_command.py.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.alerts.servers import Posts
from tests.plugins.train.tiny import Colours, make_run, train
from torch import Tensor

from glidepath.core import Event, Listener
from glidepath.plugins.alerts.webhook import WebhookAlert
from glidepath.plugins.train.data.batches import WorkerLost
from glidepath.plugins.train.run.checkpoint import newest
from glidepath.plugins.train.run.run import TrainingDiverged

LONG: dict[str, Any] = {"steps": 40, "checkpoint_every": 10, "log_every": 4, "probe_every": 100}


class Faulty(Colours):
    """One batch is multiplied by a number, or never comes."""

    def __init__(self, at: int, by: float | None) -> None:
        self.at, self.by = at, by

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        images, captions = super().batch(seed, step, size)
        if step == self.at:
            if self.by is None:
                time.sleep(600)
            else:
                images = images * self.by
        return images, captions

    def names(self, seed: int, step: int, size: int) -> list[str]:
        return [f"{step}-{row}.png" for row in range(size)]


def require_checkpoint(folder: Path, step: int) -> None:
    found = newest(folder)
    assert found is not None
    assert (found.checkpoint.step, found.damaged) == (step, {})
    assert all(bool(value.isfinite().all()) for value in found.checkpoint.tensors.values())


def test_a_loss_that_is_no_number(tmp_path: Path, posts: Posts, alert: WebhookAlert) -> None:
    folder = tmp_path / "run"
    with pytest.raises(TrainingDiverged):
        train(make_run(folder, dataset=Faulty(25, math.nan), listeners=[alert]), **LONG)
    told = posts.wait(lambda it: it["condition"] == "nan", 10)
    assert "the loss of step 26" in told["body"]
    assert "25-0.png" in told["body"]
    require_checkpoint(folder, 20)


def test_a_spike_that_training_goes_back_from(tmp_path: Path, posts: Posts, alert: WebhookAlert) -> None:
    class Spiked(Listener):
        """At the spike the checkpoint from before it is the newest."""

        def tell(self, event: Event) -> None:
            if "rewound_to" in event.details:
                require_checkpoint(folder, 20)
                found.append(event.details["rewound_to"])

    found: list[int] = []
    folder = tmp_path / "run"
    run = make_run(folder, dataset=Faulty(25, 1e4), listeners=[alert, Spiked()])
    assert train(run, on_spike="rewind", **LONG) is not None
    told = posts.wait(lambda it: it["condition"] == "spike", 10)
    assert "25-0.png" in told["body"]
    assert found == [20]
    require_checkpoint(folder, 40)


@pytest.mark.thorough  # a process imports torch
def test_a_worker_that_is_stuck(
    tmp_path: Path, posts: Posts, alert: WebhookAlert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[4])  # the process imports this file
    folder = tmp_path / "run"
    with pytest.raises(WorkerLost):
        train(
            make_run(folder, dataset=Faulty(25, None), listeners=[alert]),
            workers=1,
            worker_timeout=3.0,
            **LONG,
        )
    told = posts.wait(lambda it: it["condition"] == "crashed", 10)
    assert "step 26: no batch has come for 3 s (train.worker_timeout)" in told["body"]
    require_checkpoint(folder, 25)
