"""What is told, how often, and when it is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from glidepath.core import EVENTS, Event
from glidepath.plugins.alerts.configs import OF_EVENT, AlertConfig
from glidepath.plugins.alerts.message import Message, Undelivered
from glidepath.plugins.alerts.outbox import Outbox
from glidepath.plugins.alerts.rules import Rules


def values(*losses: float, **watched: Any) -> list[str]:
    """The titles that a series of losses, a step apart, gives under one watch."""
    rules = Rules(AlertConfig(when=({"metric": "loss", **watched},)), "x")
    events = [
        Event(name="logged", step=step, total=99, figures={"loss": it}) for step, it in enumerate(losses)
    ]
    return [message.title.removeprefix("x ") for event in events for message in rules.of(event)]


def test_conditions_are_those_of_events() -> None:
    assert OF_EVENT.keys() <= EVENTS.keys()


def test_a_figure_past_a_bound_is_told() -> None:
    assert values(1.0, 2.0, 2.1, above=2.0) == ["has a loss above 2"]
    assert values(1.0, 0.4, below=0.5) == ["has a loss below 0.5"]
    assert values(1.0, 2.0, below=0.5, above=3.0) == []


def test_a_plateau_is_a_lowest_value_that_is_old() -> None:
    assert values(3, 2, 1, 1.1, 1.2, plateau=3) == []
    assert values(3, 2, 1, 1.1, 1.2, 1.3, plateau=3) == ["has found no lower loss in 3 steps"]
    assert values(3, 2, 1, 1.1, 1.2, 0.9, plateau=3) == []


def test_a_drift_is_a_mean_above_the_lowest_mean() -> None:
    assert values(*[1.0] * 10, *[1.15] * 10, drift=0.2) == []
    told = values(*[1.0] * 10, *[1.39] * 10, drift=0.2)
    # the mean of 10 passes 1.2 with the sixth value of 1.39
    assert told == ["has a loss that rises: by 20% above its lowest mean"] * 5


def test_each_step_that_is_asked_for_is_told_once_and_not_again_after_a_resumption() -> None:
    rules = Rules(AlertConfig(steps=(100, 50), tell=()), "x")
    events = [
        Event(name="started", step=60, total=200),
        Event(name="logged", step=90, total=200),
        Event(name="logged", step=120, total=200),
        Event(name="logged", step=150, total=200),
    ]
    assert [message.title for event in events for message in rules.of(event)] == ["x has done 100 steps"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def outbox(clock: Clock, sent: list[Message], failures: int = 0, **config: Any) -> Outbox:
    left = failures

    def send(message: Message) -> None:
        nonlocal left
        if left:
            left -= 1
            raise Undelivered("no")
        sent.append(message)

    return Outbox(AlertConfig(**config), send, clock=clock)


def test_the_same_is_told_once_in_a_while() -> None:
    clock, sent = Clock(), list[Message]()
    box = outbox(clock, sent, quiet=100.0)
    for clock.now in (0.0, 50.0, 99.0, 101.0):
        box.add(Message(condition="spike", key="spike", title=str(clock.now)))
        box.work()
    assert [message.title for message in sent] == ["0.0", "101.0"]


def test_there_is_a_most_in_an_hour_and_what_ends_a_run_is_told_all_the_same() -> None:
    clock, sent = Clock(), list[Message]()
    box = outbox(clock, sent, most=3)
    for index in range(10):
        box.add(Message(condition="metric", key=str(index), title=str(index)))
    box.add(Message(condition="crashed", key="crashed", title="crashed"))
    box.work()
    assert [message.title for message in sent] == ["0", "1", "2", "crashed"]
    assert sent[-1].body == "7 other messages were held back: at most 3 in an hour"
    clock.now = 3601.0
    box.add(Message(condition="metric", key="later", title="later"))
    box.work()
    assert sent[-1].title == "later"


def test_pauses_between_attempts_double_up_to_a_minute_and_end() -> None:
    clock, sent = Clock(), list[Message]()
    box = outbox(clock, sent, failures=10**6, patience=300.0)
    box.add(Message(condition="done", key="done", title="done"))
    tried = []
    while not box.is_empty:
        attempts = box._waiting[0].tried
        box.work()
        if box.is_empty or box._waiting[0].tried != attempts:
            tried.append(clock.now)
        clock.now += 0.5
        assert clock.now < 400
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert sent == []
    assert box.failed == 1


@pytest.mark.parametrize("failures", [1, 3])
def test_a_message_arrives_once(failures: int) -> None:
    clock, sent = Clock(), list[Message]()
    box = outbox(clock, sent, failures=failures)
    box.add(Message(condition="done", key="done", title="done"))
    for clock.now in range(60):
        box.work()
    assert len(sent) == 1
