"""Variants of a spec side by side, on the same prompts and noise; and the same as the file of a study."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import reduce
from typing import Any

import attrs
import yaml

from glidepath.core import GlidepathError
from glidepath.plugins.page.asked import Asked
from glidepath.plugins.page.editing import steps
from glidepath.plugins.page.specs import Put, Specs
from glidepath.registry import Plan, SpecError, join_path, yaml_block, yaml_text

MOST_VARIANTS = 9
SEEDS = 10
"""How many seeds the file of a study has: enough for the sign-flip test to tell nine arms apart."""

DROP = "drop_unknown"
"""As in a study: parameters that another part does not have go."""

_MOST_TEXT = 4_000
_LARGEST = 1e15


@attrs.frozen
class Choice:
    """One of an axis: what it is called, and the values that it puts at paths of the spec, in their order."""

    label: str
    changes: Sequence[Put]

    def then(self, other: Choice) -> Choice:
        """Both, this one first."""
        label = ", ".join(filter(None, (self.label, other.label)))
        return Choice(label, (*self.changes, *other.changes))


@attrs.frozen
class Axis:
    """What is varied. name, given: as the file of a study has it."""

    name: str
    given: Any
    choices: Sequence[Choice]


@attrs.frozen
class Variant:
    """One spec of a comparison. label: of its choices.

    about: its sampler, steps and scales, and what differs from the first, beside the axes.
    """

    label: str
    plan: Plan
    about: str


def read_axes(text: str) -> list[Axis]:
    """The axes of a comparison, in a study's grammar: `PATH: [...]`, or `NAME: {...}`.

    Raises:
        GlidepathError: it is none, or has fewer than 2 or more than 9 variants.
    """
    if len(text) > _MOST_TEXT:
        raise GlidepathError(f"axes are a text of at most {_MOST_TEXT:,} characters")
    try:
        if any(isinstance(it, yaml.AliasEvent) for it in yaml.parse(text, yaml.SafeLoader)):
            raise GlidepathError("axes have no aliases (*NAME)")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GlidepathError(f"the axes are no YAML: {error}") from error
    axes = _axes(data)
    if len(_product(axes)) < 2:
        raise GlidepathError(_many(1))
    return axes


def _axes(data: Any) -> list[Axis]:
    if not isinstance(data, dict) or not data:
        raise GlidepathError(
            "axes are a mapping of paths to lists of values, such as sampler: [ddim, dpmpp-2m]"
        )
    return [_axis(str(name), given) for name, given in data.items()]


def _axis(name: str, given: Any) -> Axis:
    stated: Mapping[str, Any] = given if isinstance(given, dict) else {"at": name, "values": given}
    kinds = [key for key in ("values", "range", "zip", "cases") if key in stated]
    if len(kinds) != 1:
        raise GlidepathError(f"{name}: an axis has one of values, range, zip and cases")
    (kind,) = kinds
    own = {"zip": {"labels", DROP}, "cases": set()}.get(kind, {"at", DROP})
    if unknown := set(stated) - {kind} - own:
        raise GlidepathError(f"{name}: an axis of {kind} has no {sorted(map(str, unknown))[0]} on the page")
    choices = _cases(name, stated["cases"]) if kind == "cases" else _valued(name, kind, stated)
    if not choices:
        raise GlidepathError(f"{name}: the axis has no values")
    labels = [choice.label for choice in choices]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise GlidepathError(f"{name}: two values are called {twice[0]!r}; write labels: {{LABEL: VALUE}}")
    for change in (change for choice in choices for change in choice.changes):
        steps(change.path)
    return Axis(name, given, choices)


def _valued(name: str, kind: str, stated: Mapping[str, Any]) -> list[Choice]:
    """The choices of an axis whose values stand at one path, or at several at once."""
    drop = _drop(name, stated)
    if kind == "zip":
        return _zip(name, stated["zip"], stated.get("labels"), drop)
    values = _range(name, stated["range"]) if kind == "range" else stated["values"]
    if isinstance(values, dict):
        labelled = [(str(label), value) for label, value in values.items()]
    elif isinstance(values, list):
        labelled = [(_label(value), value) for value in values]
    else:
        raise GlidepathError(f"{name}: the values of an axis are a list, or a mapping of labels to values")
    at = str(stated.get("at", ""))
    return [Choice(f"{name} {label}", [Put(at, value, drop)]) for label, value in labelled]


def _drop(name: str, stated: Mapping[str, Any]) -> bool:
    """Whether parameters that another part does not have are left out."""
    if not isinstance(drop := stated.get(DROP, False), bool):
        raise GlidepathError(f"{name}: {DROP} is true or false")
    return drop


def _zip(name: str, columns: Any, labels: Any, drop: bool) -> list[Choice]:
    """Several paths that change together."""
    lists = [it for it in columns.values() if isinstance(it, list)] if isinstance(columns, dict) else []
    if not lists or len(lists) < len(columns) or len(set(map(len, lists))) > 1:
        raise GlidepathError(f"{name}: zip takes a mapping of paths to lists, equally long")
    rows = list(zip(*lists, strict=True))
    if labels is None:
        labels = ["+".join(map(_label, row)) for row in rows]
    if not isinstance(labels, list) or len(labels) != len(rows):
        raise GlidepathError(f"{name}: labels takes a list of {len(rows)}, a label for each row of the zip")
    paths = [str(path) for path in columns]
    return [
        Choice(f"{name} {_label(label)}", [Put(path, it, drop) for path, it in zip(paths, row, strict=True)])
        for label, row in zip(labels, rows, strict=True)
    ]


def _cases(name: str, cases: Any) -> list[Choice]:
    """Named sets of changes, each with axes of its own."""
    if not isinstance(cases, dict):
        raise GlidepathError(f"{name}: cases takes a mapping of names to changes (set, remove, axes)")
    found: list[Choice] = []
    for case, given in cases.items():
        if not isinstance(given, dict) or set(given) - {"set", "remove", "axes", DROP}:
            raise GlidepathError(f"{name}: the case {case} is a mapping of set, remove, axes and {DROP}")
        puts, removed = given.get("set", {}), given.get("remove", [])
        removed = removed if isinstance(removed, list) else [removed]
        if not isinstance(puts, dict) or not all(isinstance(it, str) for it in removed):
            raise GlidepathError(
                f"{name}: in the case {case} set is a mapping of paths to values, and remove names parts"
            )
        drop = _drop(f"{name} {case}", given)
        changes = [*(Put(path, None) for path in removed)]
        changes += [Put(str(path), it, drop) for path, it in puts.items()]
        start = Choice(f"{name} {case}", changes)
        inner = _product(_axes(given["axes"])) if "axes" in given else [Choice("", ())]
        found += [start.then(choice) for choice in inner]
    return found


def _range(name: str, given: Any) -> list[int | float]:
    """{from, to, step}, or {from, to, count, scale: linear | log}; both ends are values."""
    form = f"{name}: a range is {{from, to, step}}, or {{from, to, count, scale: linear | log}}"
    keys = set(given) if isinstance(given, dict) else set()
    scale = given.get("scale", "linear") if keys else ""
    if keys not in ({"from", "to", "step"}, {"from", "to", "count"}, {"from", "to", "count", "scale"}):
        raise GlidepathError(form)
    numbers = [given[key] for key in ("from", "to", "step", "count") if key in given]
    if not all(type(it) in (int, float) and abs(it) < _LARGEST for it in numbers):
        raise GlidepathError(f"{form}, of numbers")
    first, last, by = numbers
    ends = first > 0 and last > 0 if scale == "log" else scale == "linear"
    leads = by * (last - first) >= 0 and by != 0 if "step" in given else type(by) is int and by >= 2
    if not ends or not leads:
        raise GlidepathError(f"{form}; a step leads from its first value to its last, and log is above 0")
    count = math.floor(min((last - first) / by + 1e-9, 1e9)) + 1 if "step" in given else by
    if count > MOST_VARIANTS:
        raise GlidepathError(_many(count))
    if "step" in given:
        values = [first + index * by for index in range(count)]
    else:
        shares = [index / (count - 1) for index in range(count)]
        inner = [
            first ** (1 - it) * last**it if scale == "log" else first + it * (last - first) for it in shares
        ]
        values = [first, *inner[1:-1], last]
    whole = type(first) is int and type(last) is int
    return [_rounded(value, whole) for value in values]


def _rounded(value: int | float, whole: bool) -> int | float:
    """A number without the noise of binary fractions, as a study has it."""
    rounded = value if isinstance(value, int) else float(f"{value:.12g}")
    return int(rounded) if whole and float(rounded).is_integer() else rounded


def _label(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"use"}:
        return str(value["use"])
    return value if isinstance(value, str) else yaml_text(value)


def _product(axes: Sequence[Axis]) -> list[Choice]:
    """A choice of each axis, in every combination. Raises GlidepathError: there are too many."""
    count = math.prod(len(axis.choices) for axis in axes)
    if count > MOST_VARIANTS:
        raise GlidepathError(_many(count))
    rows = itertools.product(*(axis.choices for axis in axes))
    return [reduce(Choice.then, row) for row in rows]


def _many(count: int) -> str:
    made = "1 variant" if count == 1 else f"{count:,} variants"
    return f"these axes make {made}, and 2 to {MOST_VARIANTS} are set side by side"


def variants(specs: Specs, text: str, axes: Sequence[Axis], *, need_weights: bool = False) -> list[Variant]:
    """The spec of each combination of choices, as a study makes it: another part has its own defaults.

    Raises:
        GlidepathError: a spec has problems; it says which.
    """
    found: list[Variant] = []
    first: Mapping[str, Any] = {}
    choices = _product(axes)
    changes = [change for choice in choices for change in choice.changes]
    varied = {path for it in changes for path, _ in _leaves(it.value, it.path)}
    for choice in choices:
        try:
            plan = specs.plan(text, choice.changes, need_weights=need_weights)
        except SpecError as error:
            raise GlidepathError(f"{choice.label}: {error}") from error
        values = dict(_leaves(plan.tree, ""))
        first = first or values
        found.append(Variant(choice.label, plan, _about(values, first, varied)))
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The values of a resolved spec that take part in an image, by dotted path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if path or key not in ("data", "train", "weights"):
                yield from _leaves(inner, join_path(path, key))
    elif isinstance(value, Sequence) and any(isinstance(it, Mapping) for it in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


_SHOWN = re.compile(r"(?:stages\.[^.]+\.)?(?:sampler\.(?:use|steps)|guidance(?:\[\d+\])?\.scale)")


def _about(values: Mapping[str, Any], first: Mapping[str, Any], varied: Set[str]) -> str:
    told = []
    for path, value in values.items():
        own = "extends" in varied or {path, path.removesuffix(".use")} & varied
        differs = not own and first.get(path, value) != value
        if differs or (_SHOWN.fullmatch(path) and not own):
            there = f" ({_short(first[path])} in the first)" if differs else ""
            told.append(f"{path.removesuffix('.use')} {_short(value)}{there}")
    return ", ".join(told)


def _short(value: Any) -> str:
    """A value, a part without its distribution."""
    return value.rpartition("/")[2] if isinstance(value, str) else _label(value)


def study(specs: Specs, asked: Asked, axes: Sequence[Axis], name: str = "comparison") -> str:
    """The file of a study that makes the same comparison: `glidepath study run` runs it.

    The base is what the text says, on presets by their names and files of the server by theirs. It draws from
    as many seeds as can show a difference. What the images cost is measured; comments say what is for its
    reader to add.

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
    seeds = [asked.seed + index for index in range(SEEDS)]
    arms = [{"axes": {axis.name: axis.given for axis in axes}}]
    metrics = {
        "primary": {"seconds": "seconds-per-image"},
        "secondary": {"evaluations": "network-evaluations"},
    }
    return "\n".join(
        [
            yaml_block({"study": {"name": name}, "base": base, "arms": arms}),
            *_SEEDS_TOLD,
            yaml_block({"seeds": {"sample": seeds}}),
            *_PROMPTS_TOLD,
            yaml_block({"data": data}),
            *_METRICS_TOLD,
            yaml_block({"metrics": metrics}) + "\n",
        ]
    )


_SEEDS_TOLD = (
    "# The first seed is that of the page. Each seed with each prompt is one unit that the arms are compared",
    "# by: more of them show smaller differences, and cost more. `glidepath study plan` tells both.",
)
_PROMPTS_TOLD = (
    "# What is concluded holds for these prompts: write as many as stand for what you want to know of.",
)
_METRICS_TOLD = (
    "# These tell what images cost, not how good they are: add under `primary` what judges them for you.",
    "# `glidepath list metric` names what there is.",
)
