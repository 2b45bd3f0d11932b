"""Ctrl-C and SIGTERM while training."""

from __future__ import annotations

import signal
import threading

import pytest

from glidepath.plugins.train.interrupt import interruptible

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_the_first_signal_asks_to_stop_and_interrupts_nothing(number: signal.Signals) -> None:
    with interruptible() as asked:
        assert not asked()
        signal.raise_signal(number)
        assert asked()


def test_the_second_signal_acts_as_it_would_have_before() -> None:
    # a process that was started in the background ignores SIGINT
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with interruptible():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@BOTH
def test_the_handlers_of_before_are_back_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with interruptible():
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    answers: list[bool] = []

    def inside() -> None:
        with interruptible() as asked:
            answers.extend([asked(), signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert answers == [False, True]
