"""How long commands take that a person waits for: wall time with the start of the interpreter.

    python benchmarks/startup.py [RUNS]

Prints the median and the fastest of 20 runs, each in a fresh process, and the processor time; and what `list`
takes beside 0 to 200 plugins, each a distribution of its own: the sampler that `glidepath new-plugin` writes.
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
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from glidepath.plugins.scaffold.package import new_plugin, write
from glidepath.registry import load_catalogue

COMMANDS = {
    "python alone": ["-c", "pass"],
    "glidepath --version": ["-m", "glidepath.registry.cli", "--version"],
    "glidepath list": ["-m", "glidepath.registry.cli", "list"],
    "glidepath plugins": ["-m", "glidepath.registry.cli", "plugins"],
    "glidepath show ddim": ["-m", "glidepath.registry.cli", "show", "ddim"],
    "glidepath check shapes": ["-m", "glidepath.registry.cli", "check", "shapes"],
    "glidepath check sdxl": ["-m", "glidepath.registry.cli", "check", "sdxl"],
    "glidepath plan shapes --quick": ["-m", "glidepath.registry.cli", "plan", "shapes", "--quick"],
}
LINES = {
    "completing a command": "glidepath sam",
    "completing a part": "glidepath show dd",
    "completing an option": "glidepath sample --see",
}
COUNTS = (0, 50, 100, 200)

_NAME = "specimen"
"""Of the plugin that the others are made from."""


def main(runs: int) -> None:
    """Time each command."""
    print(f"{'':34}{'median':>10}{'fastest':>10}{'CPU':>10}{'least CPU':>11}   ms, of {runs} runs")
    for name, arguments in COMMANDS.items():
        _report(name, arguments, runs)
    for name, line in LINES.items():
        asked = {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SHELL": "bash",
            "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull,
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        }
        _report(name, ["-m", "glidepath.registry.cli"], runs, asked)
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            write_plugins(Path(folder), count)
            _report(
                f"glidepath list, {count} plugins", COMMANDS["glidepath list"], runs, {"PYTHONPATH": folder}
            )


def write_plugins(folder: Path, count: int) -> None:
    """Make distributions as pip would leave them, each with the sampler that `new-plugin` writes."""
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / _NAME
        write(new_plugin(_NAME, "sampler", load_catalogue()), package)
        files = {file.name: file.read_text(encoding="utf-8") for file in (package / _NAME).iterdir()}
        readme = (package / "README.md").read_text(encoding="utf-8")
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requires = [
        *project["dependencies"],
        *(f"{it}; extra == 'test'" for it in project["optional-dependencies"]["test"]),
    ]
    headers = [
        "Metadata-Version: 2.4",
        f"Name: {_NAME}",
        "Version: 1.0",
        *(f"Requires-Dist: {it}" for it in requires),
    ]
    for index in range(count):
        name = f"made{index:04}"
        _write_all(folder / name, files, name)
        about = {
            "METADATA": "\n".join([*headers, "", readme]),
            "entry_points.txt": f"[glidepath.plugins]\n{_NAME} = {_NAME}.plugin\n",
            "RECORD": "",
        }
        _write_all(folder / f"{name}-1.0.dist-info", about, name)


def _write_all(folder: Path, files: Mapping[str, str], name: str) -> None:
    """Write files into a new folder, with another name in the place of the one that stands in them."""
    folder.mkdir()
    for file, text in files.items():
        text = text.replace(_NAME, name).replace(_NAME.capitalize(), name.capitalize())
        (folder / file).write_text(text, encoding="utf-8")


def _report(
    name: str, arguments: Sequence[str], runs: int, variables: Mapping[str, str] | None = None
) -> None:
    _seconds(arguments, variables or {})  # compiles what was never imported before
    wall, cpu = zip(*(_seconds(arguments, variables or {}) for _ in range(runs)), strict=True)
    print(
        f"{name:34}{statistics.median(wall) * 1e3:10.0f}{min(wall) * 1e3:10.0f}"
        f"{statistics.median(cpu) * 1e3:10.0f}{min(cpu) * 1e3:11.0f}"
    )


def _seconds(arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[float, float]:
    """Wall time, and the CPU time of the process: what a busy machine changes less."""
    start, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, env={**environ, **variables}
    )
    wall, after = time.perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
