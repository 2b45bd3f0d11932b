"""The hooks that a plugin may implement, as pluggy specifications.

A plugin's entry point (group `glidepath.plugins`) is a module with functions marked `@hookimpl`. They return
data; none runs while an image is made. Each plugin is called by itself, so that one failure costs one plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pluggy

from glidepath.registry.describe.component import Command, Component, Kind, Preset

PROJECT = "glidepath"
GROUP = "glidepath.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def components() -> Iterable[Component]:
    """The parts that the plugin supplies. The only hook that every plugin must implement."""
    return ()


@hookspec
def kinds() -> Iterable[Kind]:
    """Kinds of part that the plugin adds."""
    return ()


@hookspec
def presets() -> Iterable[Preset]:
    """Specs that ship with the plugin."""
    return ()


@hookspec
def commands() -> Iterable[Command]:
    """Commands that the plugin adds to `glidepath`; imported when they run."""
    return ()


@hookspec
def spec_of(path: Path) -> Mapping[str, Any] | None:
    """The spec that a folder of another program's stands for, such as a pipeline that diffusers saved.

    It is asked where `extends`, or a command, names a folder, or a file of safetensors. It returns data as a
    YAML spec would have it: parts by their full names, files relative to the folder, or to that of the file.
    None: it is not of this plugin's kind. It runs no code from the folder. A GlidepathError that it raises
    becomes a problem of the spec.
    """


@hookspec
def checks(kind: str) -> Iterable[Callable[[Any], None] | type]:
    """Conformance checks for parts of `kind`, whoever supplies the part; `glidepath test-plugin` runs them.

    Each is a function that takes a freshly built part and raises AssertionError; it is named for the
    function. For a kind that the plugin adds, a class derived from `glidepath.testing.Trial` may be among
    them: it says how such a part is used, and all checks of any use then apply to it.
    """
    return ()


@hookspec
def on_assemble(plan: Any) -> None:
    """Called with a `glidepath.registry.Plan` before anything of it is built.

    For a cascade it is called once for each stage, with the plan of that stage. Raise to refuse.
    """


@hookspec
def on_built(pipeline: Any, plan: Any) -> None:
    """Called with a `glidepath.core.Pipeline` that was built, and its plan, before it makes anything.

    For a cascade it is called once for each stage.
    """
