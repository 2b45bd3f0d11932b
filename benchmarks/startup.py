"""How long commands take that a person waits for: wall time with the start of the interpreter.

    python benchmarks/startup.py [RUNS]

Prints the median and the fastest of 20 runs, each in a fresh process, and the processor time; and what `list`
takes beside 0 to 200 plugins that this makes, each a distribution of its own with one part.
glidepath must be installed, so that its plugins are found. On a machine that is busy with other things, the
least processor time comes closest to the truth.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

COMMANDS = {
    "python alone": ["-c", "pass"],
    "glidepath --version": ["-m", "glidepath.registry.cli", "--version"],
    "glidepath list": ["-m", "glidepath.registry.cli", "list"],
    "glidepath plugins": ["-m", "glidepath.registry.cli", "plugins"],
    "glidepath show ddim": ["-m", "glidepath.registry.cli", "show", "ddim"],
    "glidepath check shapes": ["-m", "glidepath.registry.cli", "check", "shapes"],
    "glidepath plan shapes --quick": ["-m", "glidepath.registry.cli", "plan", "shapes", "--quick"],
    "completing a command": ["-m", "glidepath.registry.cli", "completion", "bash", "--", "sam"],
    "completing a part": ["-m", "glidepath.registry.cli", "completion", "bash", "--", "show", "dd"],
    "completing an option": ["-m", "glidepath.registry.cli", "completion", "bash", "--", "sample", "--see"],
}
COUNTS = (0, 50, 100, 200)

_PLUGIN = '''\
"""A sampler."""

import attrs
from attrs.validators import ge, gt

from glidepath.registry import Component, doc, hookimpl


@attrs.frozen(kw_only=True)
class Config:
    """What it takes."""

    steps: int = attrs.field(default=50, validator=gt(0), metadata=doc("how many steps"))
    eta: float = attrs.field(default=0.0, validator=ge(0), metadata=doc("how much noise is drawn anew"))
    spacing: str = attrs.field(default="even", metadata=doc("where the steps are"))


@hookimpl
def components():
    return [
        Component(
            kind="sampler",
            name="NAME",
            target="NAME.samplers:Sampler",
            config=Config,
            summary="one of many",
        )
    ]
'''


def main(runs: int) -> None:
    """Time each command."""
    print(f"{'':34}{'median':>10}{'fastest':>10}{'CPU':>10}{'least CPU':>11}   ms, of {runs} runs")
    for name, arguments in COMMANDS.items():
        _report(name, arguments, runs)
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            write_plugins(Path(folder), count)
            _report(f"glidepath list, {count} plugins", COMMANDS["glidepath list"], runs, folder)


def write_plugins(folder: Path, count: int) -> None:
    """Make distributions as pip would leave them, each with a plugin that supplies one sampler."""
    for index in range(count):
        name = f"made{index:04}"
        info = folder / f"{name}-1.{index}.dist-info"
        info.mkdir()
        requires = "Requires-Dist: attrs\nRequires-Dist: glidepath>=0.1,<1\nRequires-Dist: torch\n"
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.{index}\n{requires}\nOne of many.\n"
        )
        (info / "entry_points.txt").write_text(f"[glidepath.plugins]\n{name} = {name}.plugin\n")
        (info / "RECORD").write_text("")
        package = folder / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "samplers.py").write_text("class Sampler: ...\n")
        (package / "plugin.py").write_text(_PLUGIN.replace("NAME", name))


def _report(name: str, arguments: Sequence[str], runs: int, folder: str = "") -> None:
    _seconds(arguments, folder)  # compiles what was never imported before
    wall, cpu = zip(*(_seconds(arguments, folder) for _ in range(runs)), strict=True)
    print(
        f"{name:34}{statistics.median(wall) * 1e3:10.0f}{min(wall) * 1e3:10.0f}"
        f"{statistics.median(cpu) * 1e3:10.0f}{min(cpu) * 1e3:11.0f}"
    )


def _seconds(arguments: Sequence[str], folder: str) -> tuple[float, float]:
    """Wall time, and the CPU time of the process: what a busy machine changes less."""
    start, before = time.perf_counter(), os.times()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if folder:
        environ["PYTHONPATH"] = folder
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environ)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
