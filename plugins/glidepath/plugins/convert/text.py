"""A tree of plain values as the text of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glidepath.registry import yaml_text


def spec_text(tree: Mapping[str, Any], comments: Sequence[str]) -> str:
    """YAML of a tree, under lines of comment."""
    head = [f"# {' '.join(line.split())}" for line in comments]
    return "\n".join([*head, *_lines(tree, "")]) + "\n"


def _lines(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in tree.items():
        name = f"{indent}{yaml_text(key)}:"
        if isinstance(value, Mapping) and set(value) == {"use"}:
            yield f"{name} {yaml_text(value['use'])}"
        elif isinstance(value, Mapping) and value:
            yield name
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield name
            for item in value:
                first, *rest = _lines(item, indent + "    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            yield f"{name} {yaml_text(value)}"
