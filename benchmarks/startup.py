"""How long commands take that a person waits for: wall time with the start of the interpreter.

    python benchmarks/startup.py [RUNS]

Prints the median and the fastest of 20 runs, each in a fresh process, and the median CPU time. glidepath must
be installed, so that its plugins are found.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python alone": ["-c", "pass"],
    "glidepath --version": ["-m", "glidepath.registry.cli", "--version"],
    "glidepath list": ["-m", "glidepath.registry.cli", "list"],
    "glidepath plugins": ["-m", "glidepath.registry.cli", "plugins"],
    "glidepath show ddim": ["-m", "glidepath.registry.cli", "show", "ddim"],
    "glidepath check shapes": ["-m", "glidepath.registry.cli", "check", "shapes"],
    "glidepath plan shapes --quick": ["-m", "glidepath.registry.cli", "plan", "shapes", "--quick"],
}


def main(runs: int) -> None:
    """Time each command."""
    print(f"{'':30}{'median':>10}{'fastest':>10}{'CPU':>10}   ms, of {runs} runs")
    for name, arguments in COMMANDS.items():
        _seconds(arguments)  # compiles what was never imported before
        wall, cpu = zip(*(_seconds(arguments) for _ in range(runs)), strict=True)
        print(
            f"{name:30}{statistics.median(wall) * 1e3:10.0f}{min(wall) * 1e3:10.0f}"
            f"{statistics.median(cpu) * 1e3:10.0f}"
        )


def _seconds(arguments: list[str]) -> tuple[float, float]:
    """Wall time, and the CPU time of the process: what a busy machine does not change."""
    start, before = time.perf_counter(), os.times()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environ)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
