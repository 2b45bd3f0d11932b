"""The plugin `emoji`: captioned art of real things, a judge of such images, and a small model of them.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from glidepath.registry import Command, Component, Preset, hookimpl

_HERE = "glidepath.plugins.emoji"

PROMPTS = (
    "a red apple, 3d",
    "an astronaut, flat",
    "a purple heart, noto",
    "a waving hand, dark skin tone, 3d",
)
"""Some that the metrics can judge, for who tries them."""


@hookimpl
def components() -> Iterable[Component]:
    """The dataset, and metrics of images like its own."""
    return (
        Component(
            kind="dataset",
            name="emoji",
            target=f"{_HERE}.dataset:EmojiDataset",
            config=f"{_HERE}.configs:EmojiConfig",
            summary="emoji in three styles and five skin tones, with captions from their names and keywords",
            provides=lambda config: {"data.channels": 3, "data.size": config.size, "data.facts": True},
            example="it reads a table of pictures, which the command emoji-table makes",
        ),
        *_metrics(),
    )


def _metrics() -> Iterable[Component]:
    """What the judge says of images, for studies."""
    for name, target, config, what in (
        ("emoji-object", "ObjectRight", f"{_HERE}.configs:ObjectConfig", "object"),
        ("emoji-style", "StyleRight", None, "style"),
        ("emoji-tone", "ToneRight", None, "skin tone"),
    ):
        yield Component(
            kind="metric",
            name=name,
            target=f"{_HERE}.metrics:{target}",
            config=config,
            summary=f"the share of images of emoji that show the {what} of their prompts, by a trained judge",
            provides=lambda _config: {"metric.prompts": PROMPTS},
        )


@hookimpl
def presets() -> Iterable[Preset]:
    """The embedded model, and what is made of it."""
    summaries = {
        "emoji": "a small model that comes with glidepath: real things in three styles, 32 x 32",
        "emoji-clip": "emoji, guided by a CLIP that reads noisy images in place of classifier-free",
        "emoji-clip-training": "how the CLIP of emoji-clip was trained",
        "emoji-upsample": "doubles each side of what emoji draws: 32 x 32 to 64 x 64",
        "emoji-64": "the cascade of emoji and emoji-upsample: 64 x 64",
    }
    return [
        Preset(
            name=name,
            file=Path(__file__).with_name(f"{name}.yaml"),
            summary=summary,
            default=name == "emoji",
        )
        for name, summary in summaries.items()
    ]


@hookimpl
def commands() -> Iterable[Command]:
    """The table, the judge, the measurement."""
    return (
        Command(
            name="emoji-table",
            target=f"{_HERE}.table_command:main",
            summary="make the table of captioned emoji from the packages that they come in",
        ),
        Command(
            name="emoji-judge",
            target=f"{_HERE}.judge_command:main",
            summary="train the network that judges images of emoji",
        ),
        Command(
            name="measure-emoji",
            target=f"{_HERE}.measure_command:main",
            summary="how often images of a model of emoji show what their prompts say",
        ),
    )
