"""What a person sees of a study that is interrupted."""

from __future__ import annotations

import signal

import pytest

from glidepath.plugins.studies.commands.display import interrupts


def test_the_first_interrupt_lets_what_runs_finish_the_second_kills_it_the_third_is_as_ever(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # a process that was started in the background ignores SIGINT
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts() as counted:
            for number, said in (
                (1, "\nstopping when what runs is finished; once more kills it\n"),
                (2, "\nkilling what runs\n"),
            ):
                signal.raise_signal(signal.SIGINT)
                assert counted() == number
                assert capfd.readouterr().err == said
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
