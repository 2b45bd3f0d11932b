"""What this plugin supplies: the commands for authors of plugins. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, hookimpl


@hookimpl
def components() -> Iterable[Component]:
    """None: what it writes supplies some."""
    return ()


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath new-plugin`, `glidepath test-plugin`."""
    return (
        Command(
            name="new-plugin",
            target="glidepath.plugins.scaffold.new:main",
            summary="write a plugin package of your own, complete and working",
        ),
        Command(
            name="test-plugin",
            target="glidepath.plugins.scaffold.kit:main",
            summary="whether the parts of an installed plugin keep their contracts",
        ),
    )
