"""A job that hangs is left behind: the others are done, and it is known where it stands."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from functools import partial

import pytest

from glidepath.registry.discovery.patience import Done, Hanging, run_each


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What the jobs that hang wait for, so that none outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def values(outcomes: list[Done[int] | Hanging]) -> list[object]:
    return [it.value if isinstance(it, Done) else "hangs" for it in outcomes]


@pytest.mark.parametrize("seconds", [0, 30])
def test_outcomes_come_in_the_order_of_the_jobs(seconds: float) -> None:
    assert values(run_each([partial(pow, 2, power) for power in range(5)], seconds)) == [1, 2, 4, 8, 16]
    assert run_each([], seconds) == []


@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_job_raises_is_its_outcome(seconds: float, error: BaseException) -> None:
    def raising() -> int:
        raise error

    first, second = run_each([raising, lambda: 7], seconds)
    assert first == Done(error=error)
    assert second == Done(7)


def test_jobs_that_hang_are_left_and_the_others_are_done(release: threading.Event) -> None:
    def hang() -> int:
        release.wait(60)
        return 0

    outcomes = run_each([lambda: 1, hang, lambda: 2, hang, lambda: 3], 0.2)
    assert values(outcomes) == [1, "hangs", 2, "hangs", 3]


def test_no_job_runs_twice_and_one_that_wakes_late_does_not_go_on(release: threading.Event) -> None:
    done: list[int] = []

    def hang() -> int:
        release.wait(60)
        return 0

    (hanging, _) = run_each([hang, partial(done.append, 1)], 0.2)
    assert isinstance(hanging, Hanging)
    release.set()
    hanging.thread.join(30)
    assert not hanging.thread.is_alive()
    assert done == [1]


def test_where_a_job_hangs_is_known(release: threading.Event) -> None:
    def hang_here() -> int:
        release.wait(60)
        return 0

    (hanging,) = run_each([hang_here], 0.2)
    assert isinstance(hanging, Hanging)
    assert "hang_here" in [frame.f_code.co_name for frame, _ in traceback.walk_stack(hanging.frame)]


def test_a_thread_that_hangs_does_not_keep_the_process(release: threading.Event) -> None:
    (hanging,) = run_each([partial(release.wait, 60)], 0.1)
    assert isinstance(hanging, Hanging)
    assert hanging.thread.daemon


def test_without_a_limit_jobs_run_in_the_calling_thread() -> None:
    assert run_each([threading.get_ident], 0) == [Done(threading.get_ident())]
    assert run_each([threading.get_ident], 30) != [Done(threading.get_ident())]
