"""What this plugin supplies: the command `page`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, hookimpl

_HERE = "glidepath.plugins.page"


@hookimpl
def components() -> Iterable[Component]:
    """None: nothing here takes part in an image."""
    return ()


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath page`."""
    return (
        Command(
            name="page",
            target=f"{_HERE}.command:main",
            summary="a page in the browser: mix parts, make images, compare them, watch studies and runs",
        ),
    )
