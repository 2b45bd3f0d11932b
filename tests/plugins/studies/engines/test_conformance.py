"""The trial of the kind `engine`, by which the conformance kit tries engines of other plugins too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glidepath.core.errors import GlidepathError
from glidepath.plugins.studies.engines import ray_engine
from glidepath.plugins.studies.engines.configs import RayConfig
from glidepath.plugins.studies.engines.conformance import EngineTrial
from glidepath.plugins.studies.engines.in_process import InProcessEngine
from glidepath.plugins.studies.engines.ray_engine import RayEngine
from glidepath.plugins.studies.interface import Ended, Task
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


class Ray:
    """In the place of the package: what it knows of a task and of its machines."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

    class LocalRayletDiedError(exceptions.RayError):
        pass

    def __init__(self, alive: bool, fails: str) -> None:
        self.alive, self.fails = alive, fails

    def init(self, **_options: object) -> None: ...

    def remote(self, **_options: object) -> Any:
        return lambda _work: SimpleNamespace(remote=lambda *_order: object())

    def wait(self, refs: list[object], **_options: object) -> tuple[list[object], list[object]]:
        self._fail("wait")
        return refs, []

    def get(self, _ref: object) -> int:
        self._fail("get")
        return 0

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": self.alive}]

    def cluster_resources(self) -> dict[str, float]:
        self._fail("room")
        return {"CPU": 2.0}

    def shutdown(self) -> None: ...

    def cancel(self, _ref: object, **_options: object) -> None: ...

    def _fail(self, where: str) -> None:
        if where == self.fails:
            raise Ray.LocalRayletDiedError("the raylet is gone")


@pytest.mark.parametrize(
    ("alive", "fails", "ended"),
    [
        (True, "", Ended("a", 0)),
        (True, "get", Ended("a", -9, "Ray says LocalRayletDiedError")),
        (False, "get", None),
        (True, "wait", None),
        (True, "room", None),
    ],
)
def test_ray_that_dies_is_named(
    alive: bool, fails: str, ended: Ended | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "needed", lambda *_words, **_more: Ray(alive, fails))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "RAY_BACKEND_LOG_LEVEL"):
        monkeypatch.setenv(name, "")
    engine = RayEngine(RayConfig())
    task = Task("a", tmp_path / "order.json")
    engine.submit(task)

    def used() -> Sequence[Ended]:
        return engine.wait(0.0) if engine.room(task) else ()

    if ended is not None:
        assert used() == [ended]
    else:
        with pytest.raises(GlidepathError, match=r"Ray has died .*`glidepath study retry --class lost`"):
            used()
    engine.close()
