"""What a trial ran on: system, architecture, processor, cores; and as the one line of a report."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

#: Of Linux: tells the processor's model where the architecture has a name for it.
_CPUINFO: Final = Path("/proc/cpuinfo")
#: How an architecture is written, by how systems call it.
_ARCHITECTURES: Final = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "ARM64", "arm64": "ARM64"}
_SYSTEMS: Final = {"Darwin": "macOS"}


def machine() -> dict[str, Any]:
    """What the machine is: system, architecture, number of cores, and the processor's model or None.

    It says nothing of whose it is, or of its name.
    """
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "processor": _model(),
    }


def machine_name(environment: Mapping[str, Any]) -> str:
    """What an attempt ran on, for a report: the GPU, or processor, cores and system; "" if unknown."""
    if environment.get("gpu"):
        return str(environment["gpu"])
    if not environment.get("system"):
        return ""
    architecture = str(environment.get("machine") or "")
    processor = f"{_ARCHITECTURES.get(architecture.lower(), architecture)} CPU".strip()
    model, cores = environment.get("processor"), environment.get("cores")
    told = [
        f"{processor} ({model})" if model else processor,
        f"{cores} core{'' if cores == 1 else 's'}" if cores else "",
        _SYSTEMS.get(str(environment["system"]), str(environment["system"])),
    ]
    return ", ".join(it for it in told if it)


def _model() -> str | None:
    """The processor's model, where the system tells it and it says more than the architecture."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    model = " ".join((found.group(1) if found else platform.processor()).split())
    return None if model in ("", "unknown", platform.machine()) else model
