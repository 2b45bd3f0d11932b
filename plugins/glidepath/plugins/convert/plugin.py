"""What this plugin supplies: the command `convert`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, hookimpl


@hookimpl
def components() -> Iterable[Component]:
    """None: a converted checkpoint runs with the parts of other plugins."""
    return ()


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath convert`."""
    return (
        Command(
            name="convert",
            target="glidepath.plugins.convert.command:main",
            summary="make safetensors and a spec of a checkpoint of GLIDE or of ADM",
            makes_weights="from a published checkpoint",
            weights_of=("adm-unet", "adm-classifier", "transformer", "noised-clip"),
        ),
    )
