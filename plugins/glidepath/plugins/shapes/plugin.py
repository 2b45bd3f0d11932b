"""The plugin `shapes`: a captioned dataset, the preset of a small model trained on it, and its measurement.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from glidepath.registry import Command, Component, Preset, hookimpl

PROMPTS = (
    "a red circle",
    "a large blue star on a white background",
    "a green square above a yellow ring",
    "a small purple cross",
    "a cyan triangle to the left of a red star",
)
"""Some that the metric can judge, for who tries it."""


@hookimpl
def components() -> Iterable[Component]:
    """The dataset, and a metric of images of it."""
    return (
        Component(
            kind="dataset",
            name="shapes",
            target="glidepath.plugins.shapes.dataset:ShapesDataset",
            config="glidepath.plugins.shapes.configs:ShapesConfig",
            summary="scenes of one or two flat shapes: colour, size, background and relation, with captions",
            provides=lambda config: {
                "data.channels": 3,
                "data.size": config.image_size,
                "data.facts": True,
            },
        ),
        Component(
            kind="metric",
            name="shapes-accuracy",
            target="glidepath.plugins.shapes.accuracy:ShapesAccuracy",
            config="glidepath.plugins.shapes.configs:AccuracyConfig",
            summary="the share of images of shapes that show what their prompts say, read from the pixels",
            provides=lambda _config: {"metric.prompts": PROMPTS},
        ),
    )


@hookimpl
def presets() -> Iterable[Preset]:
    """The embedded models."""
    summaries = {
        "shapes": "a small model that comes with glidepath: one or two shapes, 32 x 32",
        "shapes-clip": "the model shapes, steered by a noised CLIP of its own",
        "shapes-clip-training": "how the CLIP of shapes-clip is trained: for `glidepath train`",
        "shapes-upsample": "doubles each side of what shapes draws: 32 x 32 to 64 x 64",
        "shapes-64": "the cascade of shapes and shapes-upsample: 64 x 64",
    }
    return [
        Preset(name=name, file=Path(__file__).with_name(f"{name}.yaml"), summary=summary)
        for name, summary in summaries.items()
    ]


@hookimpl
def commands() -> Iterable[Command]:
    """The measurement."""
    return (
        Command(
            name="measure-shapes",
            target="glidepath.plugins.shapes.measure:main",
            summary="how often images of a shapes model show what their prompts say",
        ),
    )
