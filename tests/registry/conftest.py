"""Commands as a person runs them, and ways to read specs against a made-up catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import Spec, parse_spec
from glidepath.registry.text.problems import Problem, SpecError

from .made_up import BASE, make_catalogue


class Glidepath(Protocol):
    def __call__(self, *arguments: str) -> tuple[int, str, str]: ...


@pytest.fixture
def glidepath(capsys: pytest.CaptureFixture[str]) -> Glidepath:
    """Run a command: (status, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def glidepath_here(glidepath: Glidepath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Glidepath:
    """The same, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return glidepath


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    file = tmp_path_factory.mktemp("preset") / "base.yaml"
    file.write_text(BASE)
    return make_catalogue(file)


class Read(Protocol):
    def __call__(self, text: str, *overrides: str, **options: Any) -> Spec: ...


@pytest.fixture
def read(catalogue: Catalogue) -> Read:
    """Read a spec from a text called "s.yaml"; what is wrong with the reading is raised."""

    def read(text: str, *overrides: str, **options: Any) -> Spec:
        spec = parse_spec(text, "s.yaml", overrides, catalogue=catalogue, **options)
        if spec.problems:
            make_plan(spec, catalogue)
        return spec

    return read


class ToPlan(Protocol):
    def __call__(self, text: str, *overrides: str, **options: Any) -> Plan: ...


@pytest.fixture
def plan(read: Read, catalogue: Catalogue) -> ToPlan:
    """The plan of a text."""
    return lambda text, *overrides, **options: make_plan(read(text, *overrides, **options), catalogue)


class Problems(Protocol):
    def __call__(self, text: str, *overrides: str, **options: Any) -> tuple[Problem, ...]: ...


@pytest.fixture
def faults(plan: ToPlan) -> Problems:
    """Every fault of a text."""

    def faults(text: str, *overrides: str, **options: Any) -> tuple[Problem, ...]:
        with pytest.raises(SpecError) as caught:
            plan(text, *overrides, **options)
        return caught.value.problems

    return faults


@pytest.fixture
def fault(faults: Problems) -> Callable[..., Problem]:
    """The only fault of a text."""

    def fault(text: str, *overrides: str, **options: Any) -> Problem:
        problems = faults(text, *overrides, **options)
        assert len(problems) == 1, "\n".join(problem.render() for problem in problems)
        return problems[0]

    return fault
