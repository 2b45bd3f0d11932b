"""Parameters as a table of Markdown: for the reference, and for the README of a plugin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from glidepath.registry.describe.parameters import REQUIRED, parameters
from glidepath.registry.text.yaml_text import yaml_text


def parameter_table(config: type[Any] | None) -> str:
    """A row for each parameter of a config class: its name, type and limits, default, and meaning.

    What `glidepath show --markdown` prints.
    """
    described = parameters(config)
    if not described:
        return "It has no parameters."
    return markdown_table(
        ("parameter", "type", "default", "meaning"),
        [
            (
                f"`{parameter.name}`",
                f"{parameter.type} {parameter.limits}".rstrip(),
                "*required*" if parameter.default is REQUIRED else f"`{yaml_text(parameter.default)}`",
                parameter.doc,
            )
            for parameter in described
        ],
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; vertical bars in its cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
