"""The spec of a training run, as a file that samples with the trained weights and resumes the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glidepath.plugins.train.run.run import WEIGHTS
from glidepath.registry import yaml_text

SPEC = "spec.yaml"


def spec_text(tree: Mapping[str, Any], command: str, *, with_weights: bool = True) -> str:
    """YAML of a tree, with the weights that training will write beside it if they are the spec's."""
    whole = {**tree, "weights": WEIGHTS} if with_weights else tree
    lines = [f"# Written by: {' '.join(command.split())}", *_block(whole, "")]
    return "\n".join(lines) + "\n"


def _block(mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{yaml_text(key)}:"
            yield from _block(value, indent + "  ")
        else:
            yield f"{indent}{yaml_text(key)}: {yaml_text(value)}"
