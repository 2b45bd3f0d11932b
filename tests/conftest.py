"""Settings of the whole suite; and made-up distributions on sys.path, as pip would leave them."""

from __future__ import annotations

import os
from pathlib import Path

# One thread, in the processes that tests start too: the tensors are small, and the workers fill the cores.
# It is read once, when torch is imported. Whoever wants to see the suite on several threads sets it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

# No deadline: the first call of a torch function is slow. Derandomised: a run of the suite is repeatable.
# The other profile is for `pytest -m "thorough or hypothesis" --hypothesis-profile=thorough`.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("quick")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No worker processes where only files or single tests are asked for: to start them takes longer."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return 0 if named and not any(Path(argument).is_dir() for argument in config.args) else None


ROOT = Path(__file__).parents[1]
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
        if not (info / "METADATA").exists():
            (info / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n", encoding="utf-8")
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
    # compiled files are known by second and size: one module written twice in a test would be read once
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
