"""Builds wheels by the build backend itself: no network, no environment of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_BUILD = """
import os, sys
from hatchling.build import build_wheel
out, *projects = sys.argv[1:]
for project in projects:
    os.chdir(project)
    build_wheel(out)
"""


def build_wheels(projects: Sequence[Path], folder: Path) -> list[Path]:
    """The wheels of some projects, built into a folder; all that lie there, in the order of their names."""
    command = [sys.executable, "-c", _BUILD, str(folder), *map(str, projects)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return sorted(folder.glob("*.whl"))
