"""What happens to a run is told to its listeners, in order, and written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.train.tiny import Colours, Heard, log_of, make_run, train
from torch import Tensor

from glidepath.core import EVENTS, Event
from glidepath.plugins.train.run.log import HISTORY, LOG, Log


def history_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


def test_a_run_tells_what_happens_to_it_in_order(tmp_path: Path) -> None:
    heard = Heard()
    weights = train(
        make_run(tmp_path, listeners=[heard]),
        contrastive_steps=2,
        steps=3,
        warmup_steps=1,
        log_every=9,
        probe_every=9,
        checkpoint_every=4,
    )
    told = [(event.name, event.step, event.stage) for event in heard.events]
    assert told == [
        ("started", 0, ""),
        ("stage", 0, "contrast"),
        ("step", 1, "contrast"),
        ("step", 2, "contrast"),
        ("logged", 2, "contrast"),
        ("checkpoint", 2, "contrast"),
        ("stage-done", 2, "contrast"),
        ("stage", 2, "denoise"),
        ("step", 3, "denoise"),
        ("step", 4, "denoise"),
        ("checkpoint", 4, "denoise"),
        ("step", 5, "denoise"),
        ("logged", 5, "denoise"),
        ("checkpoint", 5, "denoise"),
        ("stage-done", 5, "denoise"),
        ("done", 5, "denoise"),
    ]
    assert {event.total for event in heard.events} == {5}
    assert {event.name for event in heard.events} <= EVENTS.keys()
    assert heard.events[-1].files == {"weights": weights}


def test_who_does_not_want_steps_is_told_of_all_else(tmp_path: Path) -> None:
    all_of_it, rest = Heard(), Heard()
    rest.wants_steps = False
    train(make_run(tmp_path, listeners=[all_of_it, rest]))
    assert rest.events == [event for event in all_of_it.events if event.name != "step"]


def test_an_error_is_told_with_where_it_came(tmp_path: Path) -> None:
    class Gone(Colours):
        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            if step == 3:
                raise OSError("the disk went away")
            return super().batch(seed, step, size)

    heard = Heard()
    with pytest.raises(OSError, match="went away"):
        train(make_run(tmp_path, dataset=Gone(), listeners=[heard]))
    last = heard.events[-1]
    assert (last.name, last.step, last.total) == ("error", 3, 12)
    assert "OSError: the disk went away" in last.message
    assert "a checkpoint of step 3 is in" in last.message
    assert [line["name"] for line in history_of(tmp_path)][-2:] == ["checkpoint", "error"]


def test_the_history_goes_on_where_a_kill_cut_it_short(tmp_path: Path) -> None:
    train(make_run(tmp_path), stop_after=2)
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"time": 1, "na')
    train(make_run(tmp_path))
    lines = (tmp_path / HISTORY).read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines if not line.endswith("na")][-1] == "done"
    assert sum(line.endswith("na") for line in lines) == 1


def test_what_cannot_be_written_waits_for_the_next_event(tmp_path: Path) -> None:
    """A mount that is away for a while costs no line."""
    log = Log(tmp_path / "run")
    log.tell(Event(name="started", total=9))
    (tmp_path / "run").rename(tmp_path / "away")
    log.tell(Event(name="logged", step=1, stage="denoise", figures={"loss": 1.0}))
    (tmp_path / "away").rename(tmp_path / "run")
    log.tell(Event(name="logged", step=2, stage="denoise", figures={"loss": 0.5}))
    assert [line["loss"] for line in log_of(tmp_path / "run")] == [1.0, 0.5]
    assert LOG in {path.name for path in (tmp_path / "run").iterdir()}


def test_the_end_has_the_figures_that_were_logged_last(tmp_path: Path) -> None:
    heard = Heard()
    train(make_run(tmp_path, listeners=[heard]))
    logged = [event.figures for event in heard.events if event.name == "logged"]
    (done,) = [event for event in heard.events if event.name == "done"]
    assert done.figures == logged[-1]
    assert "loss" in done.figures


def test_that_captions_are_not_read_from_a_cache_is_told(tmp_path: Path) -> None:
    heard = Heard()
    train(make_run(tmp_path / "run", listeners=[heard]), cache=tmp_path, steps=1, warmup_steps=1)
    (said,) = [event.message for event in heard.events if event.name == "warning"]
    assert said.startswith(
        "train.cache: embeddings of captions are not read from it, as the text encoder learns"
    )
