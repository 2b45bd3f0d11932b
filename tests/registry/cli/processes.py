"""Another Python beside a plugin, and the source of a second plugin with a part of the same name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]

OTHER = """
@hookimpl
def components():
    return [Component(kind="sampler", name="ddim", target="other.x:Y", summary="another")]
"""


def environment(site: Any) -> dict[str, str]:
    """The environment of a process with the distributions of a site."""
    folders = [*site.path, *(str(ROOT / name) for name in ("core", "registry", "plugins"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def python(site: Any, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Another Python, with the same distributions."""
    environ = environment(site) | settings.pop("environ", {})
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run([sys.executable, *arguments], env=environ, text=True, timeout=120, **settings)
