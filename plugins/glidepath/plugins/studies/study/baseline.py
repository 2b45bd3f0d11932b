"""Which arm of a study is its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glidepath.plugins.studies.study.arms import ArmPlan, short
from glidepath.plugins.studies.study.drafts import Draft
from glidepath.registry import (
    Broken,
    Document,
    MappingNode,
    Node,
    Problems,
    Scalar,
    Value,
    describe_node,
    join_path,
    node_value,
    quoted,
    yaml_text,
)


def find_baseline(document: Document, drafts: Sequence[Draft], arms: Sequence[ArmPlan]) -> ArmPlan | None:
    """The arm that the others are compared with: the one that is named, else the first.

    drafts: of all arms. One whose spec has problems is no arm, and may be named all the same.
    """
    node = document.node("baseline")
    of_name = {name: arm for arm in arms for name in (arm.name, *arm.also)}
    found = drafts[0] if node is None and drafts else _stated(node, drafts, of_name, document.problems)
    return of_name.get(short(found.name)) if found is not None else None


def _stated(
    node: Node | None, drafts: Sequence[Draft], arms: Mapping[str, ArmPlan], problems: Problems
) -> Draft | None:
    """The draft of the baseline; None after a problem, and where there are no drafts."""
    names = {short(draft.name): draft for draft in drafts}
    if not drafts or node is None or isinstance(node, Broken):
        return None
    if isinstance(node, Scalar) and node.is_text:
        if node.text not in names:
            what = f"no arm is called {quoted(node.text)}"
            problems.add(what, node.place, "baseline", "", names, (node.text, names))
        return names.get(node.text)
    if not isinstance(node, MappingNode):
        what = f"baseline takes the name of an arm, or values of its axes, and this is {describe_node(node)}"
        problems.add(what, node.place, "baseline", allowed=names)
        return None
    wanted = {key: node_value(entry.node) for key, entry in node.items.items()}
    found = [draft for draft in drafts if _has(draft.factors, wanted)]
    if len({id(arms.get(short(draft.name), draft)) for draft in found}) == 1:
        return found[0]
    axes = tuple(dict.fromkeys(key for draft in drafts for key in draft.factors))
    unknown = [key for key in wanted if key not in axes]
    for key in unknown:
        what = f"no arm has an axis {quoted(key)}"
        problems.add(what, node.items[key].key, join_path("baseline", key), "", axes, (key, axes))
    if not unknown:
        said = " and ".join(f"{key} {yaml_text(value)}" for key, value in wanted.items())
        what = f"{len(found)} arms have {said}" if found else f"no arm has {said}"
        hint = "the baseline is one arm: give its name, or the value of each of its axes"
        allowed = [short(draft.name) for draft in found] or list(names)
        problems.add(what, node.place, "baseline", hint, allowed)
    return None


def _has(factors: Mapping[str, Value], wanted: Mapping[str, Any]) -> bool:
    return all(key in factors and factors[key] == value for key, value in wanted.items())
