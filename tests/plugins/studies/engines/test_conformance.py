"""The trial of the kind `engine`, by which the conformance kit tries engines of other plugins too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from glidepath.plugins.studies.engines.conformance import EngineTrial
from glidepath.plugins.studies.engines.in_process import InProcessEngine
from glidepath.plugins.studies.interface import Ended
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.testing import Suite
from glidepath.testing.part import Part


def trial() -> EngineTrial:
    known = load_catalogue()
    [registered] = [it for it in known.components("engine") if it.component.name == "in-process"]
    return EngineTrial(Part(registered, known))


@pytest.mark.parametrize("name", ["in-process", pytest.param("local", marks=pytest.mark.slow)])
def test_our_engines_pass_the_kit(name: str) -> None:
    suite = Suite("glidepath-diffusion")
    outcomes = [suite.run(case) for id, case in suite.cases.items() if id.startswith(f"engine/{name}:")]
    assert [it for it in outcomes if it.status == "failed"] == []
    assert {it.id.rpartition(":")[2] for it in outcomes if it.status == "ok"} >= {
        "builds",
        "shapes",
        "dtypes",
        "same-seed",
        "no-state",
        "threads",
        "batch-independence",
    }


class Wrong(InProcessEngine):
    """An engine that a function spoils: what `wait` found goes through it."""

    def __init__(self, spoil: Callable[[Sequence[Ended]], Any]) -> None:
        super().__init__()
        self._spoil = spoil

    def wait(self, seconds: float) -> Any:
        return self._spoil(super().wait(seconds))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ended: [Ended(it.id, 0) for it in ended], "were told to have ended with"),
        (lambda ended: [*ended, *ended], "the end of one task is told twice"),
        (lambda ended: [it.id for it in ended], "must return Ended"),
        (lambda ended: ended or [Ended("row-0", 0)], "with nothing running, wait returns"),
    ],
)
def test_an_engine_that_tells_wrongly_how_tasks_ended_fails(
    spoil: Callable[[Sequence[Ended]], Any], said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        trial().require_shapes(Wrong(spoil))


def test_engines_are_closed_when_the_trial_is_over() -> None:
    closed = []

    class Watched(InProcessEngine):
        def close(self) -> None:
            closed.append(True)

    one = trial()
    one.use(Watched(), (0, 1))
    assert not closed
    del one
    assert closed
