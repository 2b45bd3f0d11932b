"""Devices that cannot be here, told without importing torch: of any other, only torch knows."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry.text.problems import Problem
from glidepath.registry.text.tree import MappingNode

if TYPE_CHECKING:
    from glidepath.registry.plan.plan import Plan

_BUILT_FOR = re.compile(r"^(?:cuda|hip)\b[^=\n]*=\s*(.+?)\s*$", re.MULTILINE)


def absent_device(plan: Plan) -> Problem | None:
    """A warning of a plan whose `runtime.device` this machine certainly does not have; None for any other."""
    device = plan.runtime.device
    why = _why_not(device.partition(":")[0])
    if not why:
        return None
    runtime = plan.spec.root.get("runtime")
    node = runtime.get("device") if isinstance(runtime, MappingNode) else None
    return Problem(
        what=f"the device {device} is not here: {why}",
        place=node.place if node is not None else None,
        path="runtime.device",
        hint="`glidepath sample` will refuse; auto takes what is there, and --device names another",
    )


def _why_not(family: str) -> str:
    if family == "mps" and sys.platform != "darwin":
        return "it is of macOS"
    if family == "cuda" and _without_cuda():
        return "the torch that is installed is built without CUDA"
    return ""


def _without_cuda() -> bool:
    """Whether torch is installed in a build that knows no CUDA, nor ROCm, which goes by that name too."""
    try:
        spec = find_spec("torch")
        if spec is None or spec.origin is None:
            return False
        said = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except (ImportError, OSError, ValueError):
        return False
    built = _BUILT_FOR.findall(said)
    return bool(built) and all(value == "None" for value in built)
