"""The spec of a training run, as a file that samples with the trained weights and resumes the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glidepath.registry import yaml_block

SPEC = "spec.yaml"


def spec_text(tree: Mapping[str, Any], command: str) -> str:
    """YAML of a tree, after the command that wrote it."""
    return f"# Written by: {' '.join(command.split())}\n{yaml_block(dict(tree))}\n"
