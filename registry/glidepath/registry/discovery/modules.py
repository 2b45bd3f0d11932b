"""Modules found without being imported: whether one is there, and whether a name in it can be."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from glidepath.registry.text.problems import did_you_mean

_MAKES_NAMES = re.compile(r"\bimport\s+\*|\b__getattr__\b|\bglobals\(\)|\bvars\(\)|\bexec\(|\bsetattr\(")
"""What gives a module names that its text does not show."""

_DEFINED = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)


def is_importable(module: str) -> bool:
    """Whether a module is installed."""
    return module in sys.modules or _spec(module) is not None


def target_problem(target: str) -> str:
    """Why nothing can be imported from "package.module:Class", "" when it seems that it can.

    A name counts as absent where the text of the module does not have the word. Compiled modules, and those
    that make names as they run, are believed.
    """
    module, _, name = target.partition(":")
    first = name.partition(".")[0]
    loaded = sys.modules.get(module)
    if loaded is not None and hasattr(loaded, first):
        return ""
    spec = _spec(module)
    if spec is None and loaded is None:
        return f"there is no module {module}"
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return ""
    text = _text(spec.origin)
    if re.search(rf"\b{re.escape(first)}\b", text) or _MAKES_NAMES.search(text):
        return ""
    near = did_you_mean(first, _DEFINED.findall(text))
    return f"{spec.origin} has no {first}" + (f"; {near}" if near else "")


def _spec(module: str) -> ModuleSpec | None:
    """How a module would be imported; neither it nor its parents are."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
        for index, _ in enumerate(rest):
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = ".".join([top, *rest[: index + 1]])
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError):
        return None
    return spec


@cache
def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "__getattr__"  # not readable here: believed
