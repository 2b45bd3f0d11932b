"""What this plugin supplies: the command `new-plugin`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, hookimpl


@hookimpl
def components() -> Iterable[Component]:
    """None: what it writes supplies some."""
    return ()


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath new-plugin`."""
    return (
        Command(
            name="new-plugin",
            target="glidepath.plugins.scaffold.command:main",
            summary="write a plugin package of your own, complete and working",
        ),
    )
