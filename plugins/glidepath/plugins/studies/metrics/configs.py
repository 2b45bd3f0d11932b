"""The parameters of metrics. Imports no torch; imported where one is used, not where they are listed."""

from __future__ import annotations

import ast
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, min_len

from glidepath.registry import doc, part, read_bytes

_MOST_CODE = 2**23


@attrs.frozen(kw_only=True)
class ClipScoreConfig:
    """The cosine of image and prompt, as a CLIP sees them that no arm is guided by."""

    clip: Any = attrs.field(
        metadata=part("clip", "compares image and prompt; another than guides an arm; give it weights")
    )


@attrs.frozen(kw_only=True)
class DiversityConfig:
    """Distances between images of one prompt, by features."""

    features: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "a Python file of yours that defines features(images): [N, 3, H, W] uint8 to [N, D] numbers; "
            "none: the probe that comes with glidepath. Its contents are part of the key"
        ),
    )

    @features.validator
    def _defines_features(self, _attribute: object, value: Path | None) -> None:
        if value is not None and "features" not in defined(value):
            raise ValueError("the file does not define features(images)")


@attrs.frozen(kw_only=True)
class FeatureConfig(DiversityConfig):
    """A comparison with real images, by features."""

    images: int = attrs.field(
        default=2048,
        validator=ge(2),
        metadata=doc(
            "real images of the spec's dataset that are compared with, held-out ones where it holds some "
            "out; part of what a value means"
        ),
    )
    seed: int = attrs.field(
        default=1_000_003,
        validator=ge(0),
        metadata=doc("of the real images; another than that of training, so that none was trained on"),
    )


@attrs.frozen(kw_only=True)
class NeighbourConfig(FeatureConfig):
    """A share of one set within the support of another."""

    neighbours: int = attrs.field(
        default=3, validator=ge(1), metadata=doc("k: the ball around a point reaches its k-th neighbour")
    )


@attrs.frozen(kw_only=True)
class PythonConfig:
    """A Python file of your own, which is run with your rights."""

    file: Path = attrs.field(
        metadata=doc(
            "defines direction, perhaps name and unit, and per_prompt(images, prompts) or whole_set(drawn), "
            "as a metric of a plugin does; its contents are part of the key"
        )
    )

    @file.validator
    def _defines_a_metric(self, _attribute: object, value: Path) -> None:
        if not {"per_prompt", "whole_set"} & defined(value):
            raise ValueError("the file defines neither per_prompt(images, prompts) nor whole_set(drawn)")


@attrs.frozen(kw_only=True)
class CommandConfig:
    """A command that scores a folder of images, in an environment of its own, with your rights."""

    run: tuple[str, ...] = attrs.field(
        validator=min_len(1),
        metadata=doc("the program and its first arguments, such as the Python of another environment"),
    )
    file: Path | None = attrs.field(
        default=None,
        metadata=doc("a script, the argument after those of `run`; its contents are part of the key"),
    )
    name: str = attrs.field(validator=min_len(1), metadata=doc("of what it measures"))
    direction: Literal["higher", "lower"] = attrs.field(metadata=doc("what is better"))
    unit: str = attrs.field(default="", metadata=doc("of the score"))
    whole_set: bool = attrs.field(
        default=False, metadata=doc("one number for all images of a trial, in place of one for each")
    )
    timeout: float = attrs.field(
        default=3600.0, validator=gt(0), metadata=doc("seconds within which it has to end")
    )

    @file.validator
    def _there(self, _attribute: object, value: Path | None) -> None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")


def defined(file: Path) -> frozenset[str]:
    """The names that a Python file defines at its top; it is read, and not run.

    Raises:
        ValueError: it cannot be read, or is no Python.
    """
    try:
        if not file.is_file():
            raise ValueError(f"there is no file {file}")
        state = file.stat()
        return _defined(os.fspath(file), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror or error}") from error
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"the file is no Python: {error}") from error


@lru_cache
def _defined(file: str, _changed: int, _size: int) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.parse(read_bytes(file, _MOST_CODE)).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(it.id for it in node.targets if isinstance(it, ast.Name))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names.update(alias.asname or alias.name for alias in node.names)
    return frozenset(names)
