"""The spec of a training run, as a file that samples with the trained weights and resumes the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glidepath.plugins.train.run.run import WEIGHTS
from glidepath.registry import yaml_block

SPEC = "spec.yaml"


def spec_text(tree: Mapping[str, Any], command: str, *, with_weights: bool = True) -> str:
    """YAML of a tree, with the weights that training will write beside it if they are the spec's."""
    whole = {**tree, "weights": WEIGHTS} if with_weights else tree
    return f"# Written by: {' '.join(command.split())}\n{yaml_block(whole)}\n"
