"""Which arm of a study is its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glidepath.plugins.studies.study.arms import ArmPlan
from glidepath.registry import (
    Broken,
    Document,
    MappingNode,
    Problems,
    Scalar,
    Value,
    describe_node,
    join_path,
    node_value,
    quoted,
    yaml_text,
)


def find_baseline(document: Document, arms: Sequence[ArmPlan]) -> ArmPlan | None:
    """The arm that the others are compared with: the one that is named, else the first."""
    node, problems = document.node("baseline"), document.problems
    if not arms:
        return None
    if node is None:
        return arms[0]
    names = [arm.name for arm in arms]
    if isinstance(node, Scalar) and node.is_text:
        for arm in arms:
            if node.text in (arm.name, *arm.also):
                return arm
        what = f"no arm is called {quoted(node.text)}"
        problems.add(what, node.place, "baseline", "", names, (node.text, names))
        return None
    if isinstance(node, MappingNode):
        wanted = {key: node_value(entry.node) for key, entry in node.items.items()}
        found = [
            arm for arm in arms if any(_has(factors, wanted) for factors in (arm.factors, *arm.also_factors))
        ]
        if len(found) == 1:
            return found[0]
        _no_baseline(node, wanted, found, arms, problems)
        return None
    if not isinstance(node, Broken):
        what = f"baseline takes the name of an arm, or values of its axes, and this is {describe_node(node)}"
        problems.add(what, node.place, "baseline", allowed=names)
    return None


def _no_baseline(
    node: MappingNode,
    wanted: Mapping[str, Any],
    found: Sequence[ArmPlan],
    arms: Sequence[ArmPlan],
    problems: Problems,
) -> None:
    """Say why values of axes name no arm, or several."""
    axes = tuple(dict.fromkeys(key for arm in arms for key in arm.factors))
    unknown = [key for key in wanted if key not in axes]
    for key in unknown:
        what = f"no arm has an axis {quoted(key)}"
        problems.add(what, node.items[key].key, join_path("baseline", key), "", axes, (key, axes))
    if not unknown:
        said = " and ".join(f"{key} {yaml_text(value)}" for key, value in wanted.items())
        what = f"{len(found)} arms have {said}" if found else f"no arm has {said}"
        hint = "the baseline is one arm: give its name, or the value of each of its axes"
        problems.add(what, node.place, "baseline", hint, [arm.name for arm in found or arms])


def _has(factors: Mapping[str, Value], wanted: Mapping[str, Any]) -> bool:
    return all(key in factors and factors[key] == value for key, value in wanted.items())
