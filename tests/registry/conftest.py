"""Distributions on sys.path, as pip leaves them, and ways to read specs against a made-up catalogue."""

from __future__ import annotations

import importlib
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import Spec, parse_spec
from glidepath.registry.text.problems import Problem, SpecError

from .made_up import BASE, make_catalogue

ROOT = Path(__file__).parents[2]
HEAD = """\
import attrs
from glidepath.registry import Command, Component, Extra, Kind, Need, Preset, doc, hookimpl, part, parts
"""


class Site:
    """A folder of sys.path that holds distributions. glidepath's own plugins hide behind an empty one."""

    head = HEAD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = [str(folder)]
        self.add("glidepath-diffusion", "9.9")

    def bundle(self) -> None:
        """Let glidepath's own plugins come forth, as pyproject.toml declares them."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.add("glidepath-diffusion", "9.9", entries=project["entry-points"]["glidepath.plugins"])

    def add(
        self,
        distribution: str,
        version: str = "1.0",
        *,
        entries: Mapping[str, str] | None = None,
        text: str | bytes = "",
        modules: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Path:
        """Install a distribution; returns its metadata folder.

        entries: of the group glidepath.plugins. text: the whole of entry_points.txt instead.
        modules: source by path below the folder, such as "acme/plugin.py".
        """
        folder = folder or self.folder
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        if entries is not None:
            lines = (f"{name} = {value}" for name, value in entries.items())
            text = "\n".join(["[glidepath.plugins]", *lines, ""])
        if text:
            content = text if isinstance(text, bytes) else text.encode()
            (info / "entry_points.txt").write_bytes(content)
        for name, source in (modules or {}).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source), encoding="utf-8")
        importlib.invalidate_caches()
        return info

    def plugin(self, distribution: str, source: str, *, name: str = "", version: str = "1.0") -> Path:
        """Install a distribution with one plugin, a package called for it, and return its module's file.

        source: what follows the imports that every plugin has.
        """
        package = distribution.replace("-", "_")
        module = f"{package}/plugin.py"
        self.add(
            distribution,
            version,
            entries={name or distribution: f"{package}.plugin"},
            modules={f"{package}/__init__.py": "", module: HEAD + source},
        )
        return self.folder / module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty place for distributions, first on sys.path; its modules are forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    for variable in ("GLIDEPATH_PLUGINS", "GLIDEPATH_DISABLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


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
