"""The plugin `shapes`: a captioned dataset, the preset of a small model trained on it, and its measurement.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs
from attrs.validators import ge, le

from glidepath.registry.component import Command, Component, Preset, doc
from glidepath.registry.hooks import hookimpl


@attrs.frozen(kw_only=True)
class ShapesConfig:
    """Procedural scenes of one or two flat shapes, with captions."""

    image_size: int = attrs.field(
        default=32, validator=ge(16), metadata=doc("height and width in pixels, at least 16")
    )
    two_objects: float = attrs.field(
        default=0.65, validator=[ge(0), le(1)], metadata=doc("share of scenes with two objects, from 0 to 1")
    )


@hookimpl
def components() -> Iterable[Component]:
    """The dataset."""
    return (
        Component(
            kind="dataset",
            name="shapes",
            target="glidepath.plugins.shapes.dataset:ShapesDataset",
            config=ShapesConfig,
            summary="scenes of one or two flat shapes: colour, size, background and relation, with captions",
            provides=lambda config: {"data.channels": 3, "data.size": config.image_size},
        ),
    )


@hookimpl
def presets() -> Iterable[Preset]:
    """The embedded model."""
    return (
        Preset(
            name="shapes",
            file=Path(__file__).with_name("shapes.yaml"),
            summary="a small model that comes with glidepath: one or two shapes, 32 x 32",
        ),
    )


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
