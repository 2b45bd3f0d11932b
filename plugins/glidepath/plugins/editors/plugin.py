"""What this plugin supplies: the commands `schema` and `completion`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, hookimpl

_HERE = "glidepath.plugins.editors"


@hookimpl
def components() -> Iterable[Component]:
    """None: nothing here takes part in an image."""
    return ()


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath schema` and `glidepath completion`."""
    return (
        Command(
            name="schema",
            target=f"{_HERE}.schema:main",
            summary="a JSON Schema of specs, with which editors complete and check them",
        ),
        Command(
            name="completion",
            target=f"{_HERE}.completion:main",
            summary="what makes a shell complete commands, options, presets and parts",
        ),
    )
