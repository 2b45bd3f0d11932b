"""How parts are found, described, checked and assembled.

The names below are imported when they are first used, so that `import glidepath.registry` costs nothing and
imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glidepath.registry.assembly.build import assemble
    from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
    from glidepath.registry.describe.component import (
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
    from glidepath.registry.discovery.scan import PluginRecord
    from glidepath.registry.describe.hooks import hookimpl
    from glidepath.registry.describe.markdown import parameter_table
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.plan.planner import make_plan
    from glidepath.registry.text.problems import Problem, SpecError
    from glidepath.registry.discovery.registered import Registered
    from glidepath.registry.spec.spec import Spec, parse_spec, read_spec
    from glidepath.registry.discovery.unknown import Unknown

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
    "assembly.build": ("assemble",),
    "discovery.catalogue": ("Catalogue", "load_catalogue"),
    "describe.component": (
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
    "discovery.scan": ("PluginRecord",),
    "describe.hooks": ("hookimpl",),
    "describe.markdown": ("parameter_table",),
    "plan.plan": ("Plan",),
    "plan.planner": ("make_plan",),
    "text.problems": ("Problem", "SpecError"),
    "discovery.registered": ("Registered",),
    "spec.spec": ("Spec", "parse_spec", "read_spec"),
    "discovery.unknown": ("Unknown",),
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
