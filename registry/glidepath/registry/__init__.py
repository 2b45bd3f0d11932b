"""How parts are found, described, checked and assembled.

The names below are imported when they are first used, so that `import glidepath.registry` costs nothing and
imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glidepath.registry.assembly import assemble
    from glidepath.registry.catalogue import Catalogue, load_catalogue
    from glidepath.registry.component import (
        API_VERSION,
        Command,
        Component,
        Extra,
        Kind,
        Need,
        Preset,
        doc,
        part,
        parts,
    )
    from glidepath.registry.discovery import PluginRecord
    from glidepath.registry.hooks import hookimpl
    from glidepath.registry.markdown import parameter_table
    from glidepath.registry.plan import Plan
    from glidepath.registry.planner import make_plan
    from glidepath.registry.problems import Problem, SpecError
    from glidepath.registry.registered import Registered
    from glidepath.registry.spec import Spec, parse_spec, read_spec
    from glidepath.registry.unknown import Unknown

__all__ = [
    "API_VERSION",
    "Catalogue",
    "Command",
    "Component",
    "Extra",
    "Kind",
    "Need",
    "Plan",
    "PluginRecord",
    "Preset",
    "Problem",
    "Registered",
    "Spec",
    "SpecError",
    "Unknown",
    "assemble",
    "doc",
    "hookimpl",
    "load_catalogue",
    "make_plan",
    "parameter_table",
    "parse_spec",
    "part",
    "parts",
    "read_spec",
]

_HOMES = {
    "assembly": ("assemble",),
    "catalogue": ("Catalogue", "load_catalogue"),
    "component": (
        "API_VERSION",
        "Command",
        "Component",
        "Extra",
        "Kind",
        "Need",
        "Preset",
        "doc",
        "part",
        "parts",
    ),
    "discovery": ("PluginRecord",),
    "hooks": ("hookimpl",),
    "markdown": ("parameter_table",),
    "plan": ("Plan",),
    "planner": ("make_plan",),
    "problems": ("Problem", "SpecError"),
    "registered": ("Registered",),
    "spec": ("Spec", "parse_spec", "read_spec"),
    "unknown": ("Unknown",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
