"""The log of a training run: JSON lines, each with its step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glidepath.registry import write_text


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def truncate(path: Path, step: int) -> None:
    """Drop what was logged after `step`, as those steps are done again, and a line that a kill cut short."""
    if path.exists():
        kept = [
            line
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            if _step(line) <= step
        ]
        write_text(path, "".join(line + "\n" for line in kept))


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
