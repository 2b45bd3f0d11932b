"""The spec of a training run: as a file that samples and resumes, and as its weights carry it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from glidepath.registry import yaml_block

SPEC = "spec.yaml"


def spec_text(tree: Mapping[str, Any], command: str) -> str:
    """YAML of a tree, after the command that wrote it."""
    return f"# Written by: {' '.join(command.split())}\n{yaml_block(dict(tree))}\n"


def published(value: Any, located: Collection[str] = (), key: str = "") -> Any:
    """A tree, or a value of it, as it goes wherever weights go: of files the names, and no folders.

    located: keys that say where the dataset lies; they are left out. key: of the value.
    """
    if isinstance(value, Mapping):
        inner = {name: (it, f"{key}.{name}" if key else name) for name, it in value.items()}
        return {name: published(it, located, at) for name, (it, at) in inner.items() if at not in located}
    if isinstance(value, list | tuple):
        return [published(it, located, f"{key}[{index}]") for index, it in enumerate(value)]
    return PurePath(value).name if isinstance(value, str) and os.path.isabs(value) else value
