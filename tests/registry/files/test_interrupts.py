"""Ctrl-C and SIGTERM while something is to end in good order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from glidepath.registry.files.interrupts import count_interrupts, exit_status, sigterm_as_interrupt

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def _not_in_the_background() -> Iterator[None]:
    """A process that was started in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@BOTH
def test_a_signal_is_counted_and_interrupts_nothing(number: signal.Signals) -> None:
    with count_interrupts("stopping") as counted:
        assert counted() == 0
        signal.raise_signal(number)
        assert counted() == 1


@pytest.mark.parametrize("texts", [("stopping",), ("stopping", "killing"), ("a", "b", "c")])
def test_after_as_many_as_there_are_texts_the_next_acts_as_it_would_have_before(
    texts: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with count_interrupts(*texts) as counted:
        for _ in texts:
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert counted() == len(texts)
    assert capfd.readouterr().err.split() == list(texts)


@BOTH
def test_the_handlers_of_before_are_back_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with count_interrupts("stopping"):
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_a_signal_that_comes_while_another_is_handled_is_counted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    written = os.write

    def write(descriptor: int, text: bytes) -> int:
        monkeypatch.setattr(os, "write", written)
        signal.raise_signal(signal.SIGTERM)
        return written(descriptor, text)

    monkeypatch.setattr(os, "write", write)
    with count_interrupts("first", "second") as counted:
        signal.raise_signal(signal.SIGINT)
        assert counted() == 2
    assert sorted(capfd.readouterr().err.split()) == ["first", "second"]


def test_a_reader_of_the_standard_error_that_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `glidepath train 2>&1 | tee log`, where Ctrl-C ends `tee` too."""

    def gone(_descriptor: int, _text: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", gone)
    with count_interrupts("stopping") as counted:
        signal.raise_signal(signal.SIGINT)
        assert counted() == 1


def test_a_handler_that_is_not_pythons_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    found = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda it: None if it == signal.SIGTERM else found(it))
    before = found(signal.SIGTERM)
    with count_interrupts("stopping") as counted:
        assert found(signal.SIGTERM) is before
        signal.raise_signal(signal.SIGINT)
        assert counted() == 1


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    answers: list[object] = []

    def inside() -> None:
        with count_interrupts("stopping") as counted:
            answers.extend([counted(), signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert answers == [0, True]


def test_sigterm_interrupts_as_ctrl_c_does() -> None:
    with sigterm_as_interrupt():
        with pytest.raises(KeyboardInterrupt) as raised:
            signal.raise_signal(signal.SIGTERM)
        assert exit_status(raised.value) == 143
        with count_interrupts("stopping") as counted:
            signal.raise_signal(signal.SIGTERM)
            assert counted() == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert exit_status(KeyboardInterrupt()) == 130


def test_a_process_that_has_its_own_way_with_sigterm_keeps_it() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with sigterm_as_interrupt():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
