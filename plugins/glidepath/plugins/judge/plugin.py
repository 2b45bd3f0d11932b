"""What this plugin supplies: the command `judge`, and the metric `judged`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, hookimpl

_HERE = "glidepath.plugins.judge"


@hookimpl
def components() -> Iterable[Component]:
    """What people said of pictures, as a metric of studies."""
    return (
        Component(
            kind="metric",
            name="judged",
            target=f"{_HERE}.metric:Judged",
            config=f"{_HERE}.configs:JudgedConfig",
            summary="what raters of a judgement said of pictures: the share of comparisons won, or ratings",
            example="it reads a judgement of yours, and none comes with it",
        ),
    )


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath judge`."""
    return (
        Command(
            name="judge",
            target=f"{_HERE}.command:main",
            summary="have people compare pictures blindly, and analyse what they say",
        ),
    )
