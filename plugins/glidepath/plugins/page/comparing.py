"""Variants of a spec side by side, on the same prompts and noise; and the same as the file of a study."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import yaml

from glidepath.core import GlidepathError
from glidepath.plugins.page.asked import Asked
from glidepath.plugins.page.editing import steps
from glidepath.plugins.page.specs import Specs
from glidepath.registry import yaml_block, yaml_text

MOST_VARIANTS = 9
_MOST_TEXT = 4_000


@attrs.frozen
class Axis:
    """What is varied: a path of the spec, and its values by their labels. name: as a study calls it."""

    name: str
    path: str
    values: Mapping[str, Any]


@attrs.frozen
class Variant:
    """One spec of a comparison. label: the values of its axes."""

    label: str
    text: str


def read_axes(text: str) -> list[Axis]:
    """The axes of a comparison, in a study's grammar: `PATH: [...]`, or `NAME: {at: PATH, values: [...]}`.

    Raises:
        GlidepathError: it is none, or has fewer than 2 or more than 9 variants.
    """
    example = "such as sampler: [ddim, dpmpp-2m]"
    if len(text) > _MOST_TEXT:
        raise GlidepathError(f"axes are a text of at most {_MOST_TEXT:,} characters")
    try:
        if any(isinstance(it, yaml.AliasEvent) for it in yaml.parse(text, yaml.SafeLoader)):
            raise GlidepathError("axes have no aliases (*NAME)")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GlidepathError(f"the axes are no YAML: {error}") from error
    if not isinstance(data, dict) or not data:
        raise GlidepathError(f"axes are a mapping of paths to lists of values, {example}")
    axes = [_axis(str(name), given) for name, given in data.items()]
    count = math.prod(len(axis.values) for axis in axes)
    if not 2 <= count <= MOST_VARIANTS:
        raise GlidepathError(
            f"these axes make {count} variants, and 2 to {MOST_VARIANTS} are set side by side"
        )
    return axes


def _axis(name: str, given: Any) -> Axis:
    path, values = name, given
    if isinstance(given, dict):
        if unknown := set(given) - {"at", "values"}:
            raise GlidepathError(
                f"an axis of the page has at and values, and no {sorted(map(str, unknown))[0]}"
            )
        path, values = str(given.get("at", "")), given.get("values")
    if isinstance(values, dict):
        labelled = {str(label): value for label, value in values.items()}
    elif isinstance(values, list):
        labelled = {_label(value): value for value in values}
    else:
        raise GlidepathError(f"{name}: the values of an axis are a list, or a mapping of labels to values")
    if not labelled:
        raise GlidepathError(f"{name}: the axis has no values")
    steps(path)
    return Axis(name, path, labelled)


def _label(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"use"}:
        return str(value["use"])
    return value if isinstance(value, str) else yaml_text(value)


def variants(specs: Specs, text: str, axes: Sequence[Axis]) -> list[Variant]:
    """The spec of each combination of values. Raises as `Specs.edit` does."""
    found = []
    for choice in itertools.product(*(axis.values.items() for axis in axes)):
        changed = text
        for axis, (_, value) in zip(axes, choice, strict=True):
            changed = specs.edit(changed, axis.path, value)
        told = (f"{axis.name} {label}" for axis, (label, _) in zip(axes, choice, strict=True))
        found.append(Variant(", ".join(told), changed))
    return found


def study(specs: Specs, asked: Asked, axes: Sequence[Axis], name: str = "comparison") -> str:
    """The file of a study that makes the same comparison: `glidepath study run` runs it.

    The base is what the text says, on presets by their names and files of the server by theirs. What the
    images cost is measured; what else is to be judged is for its reader to add.

    Raises:
        GlidepathError: a study draws no such images.
    """
    if asked.pictures:
        raise GlidepathError("a study draws from prompts alone, and this comparison starts from a picture")
    if asked.labels:
        raise GlidepathError("a study of the page draws from prompts, and this model from classes")
    base = yaml.safe_load(asked.text) or {}
    specs.plan(asked.text)
    data: dict[str, Any] = {"prompts": list(asked.prompts)}
    if asked.count > 1:
        data["per_prompt"] = asked.count
    if asked.negative:
        data["negative"] = asked.negative
    if asked.size:
        data["size"] = f"{asked.size[1]}x{asked.size[0]}"
    document = {
        "study": {"name": name},
        "base": base,
        "arms": [{"axes": {axis.name: _written(axis) for axis in axes}}],
        "seeds": {"sample": [asked.seed]},
        "data": data,
        "metrics": {
            "primary": {"seconds": "seconds-per-image"},
            "secondary": {"evaluations": "network-evaluations"},
        },
    }
    return yaml_block(document) + "\n"


def _written(axis: Axis) -> Any:
    """An axis as a study has it."""
    plain = {_label(value): value for value in axis.values.values()} == dict(axis.values)
    values = list(axis.values.values()) if plain else dict(axis.values)
    return values if axis.name == axis.path and plain else {"at": axis.path, "values": values}
