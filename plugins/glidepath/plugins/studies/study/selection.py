"""Which arms a study leaves out: `exclude` those that match, `where` those that do not; with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from glidepath.plugins.studies.study.drafts import Draft, label_of
from glidepath.registry import (
    Broken,
    ListNode,
    MappingNode,
    Node,
    Problems,
    Scalar,
    Value,
    describe_node,
    join_path,
    quoted,
    yaml_text,
)


@attrs.frozen
class Excluded:
    """An arm that is left out, and why."""

    name: str
    reason: str


@attrs.frozen(eq=False)
class _Rule:
    """values: by axis, those that match. keep: arms that match stay, and no others that have these axes."""

    values: Mapping[str, Sequence[Value]]
    reason: str
    keep: bool

    def leaves_out(self, draft: Draft) -> bool:
        if not self.values.keys() <= draft.factors.keys():
            return False
        matches = all(_among(draft.factors[axis], values) for axis, values in self.values.items())
        return matches != self.keep


def select(
    drafts: Sequence[Draft], where: Node | None, exclude: Node | None, problems: Problems
) -> tuple[list[Draft], list[Excluded]]:
    """The arms that stay, and those that do not. An arm without the axes of a rule is not touched by it."""
    if where is None and exclude is None:
        return list(drafts), []
    seen: dict[str, dict[tuple[bool, Value], Value]] = {}
    for draft in drafts:
        for axis, value in draft.factors.items():
            seen.setdefault(axis, {})[isinstance(value, bool), value] = value
    axes = {axis: tuple(values.values()) for axis, values in seen.items()}
    rules = [*_rules(where, "where", axes, problems), *_rules(exclude, "exclude", axes, problems)]
    kept, excluded = [], []
    for draft in drafts:
        reason = next((rule.reason for rule in rules if rule.leaves_out(draft)), None)
        if reason is None:
            kept.append(draft)
        else:
            excluded.append(Excluded(draft.name, reason))
    if drafts and not kept and not len(problems):
        node = where or exclude
        problems.add(
            "no arm is left", node.place if node else None, hint="where and exclude leave out all of them"
        )
    return kept, excluded


def _rules(
    node: Node | None, key: str, axes: Mapping[str, Sequence[Value]], problems: Problems
) -> list[_Rule]:
    items = node.items if isinstance(node, ListNode) else () if node is None else (node,)
    rules = []
    for index, item in enumerate(items):
        path = f"{key}[{index}]"
        if isinstance(item, Broken):
            continue
        when = item.get("when") if isinstance(item, MappingNode) else None
        reason = item.get("reason") if isinstance(item, MappingNode) else None
        if not isinstance(when, MappingNode) or not isinstance(reason, Scalar) or not reason.is_text:
            hint = f"such as {key}: [{{when: {{sampler: ddpm}}, reason: too slow}}]"
            what = f"{key} takes a list of {{when: {{AXIS: VALUE}}, reason: TEXT}}"
            problems.add(what, item.place, path, hint)
            continue
        before = len(problems)
        values = {}
        for axis, entry in when.items.items():
            below = join_path(join_path(path, "when"), axis)
            if axis not in axes:
                problems.add(f"no arm has an axis {quoted(axis)}", entry.key, below, "", axes, (axis, axes))
                continue
            listed = entry.node.items if isinstance(entry.node, ListNode) else (entry.node,)
            values[axis] = [label_of(one) for one in listed]
            for one in listed:
                if not _among(label_of(one), axes[axis]):
                    known = [yaml_text(value) for value in axes[axis]]
                    text = one.text if isinstance(one, Scalar) else describe_node(one)
                    problems.add(f"no arm has {axis} {text}", one.place, below, "", known, (text, known))
        if len(problems) == before:
            rules.append(_Rule(values, reason.text, keep=key == "where"))
    return rules


def _among(value: Value, values: Sequence[Value]) -> bool:
    """Whether a label is one of some; true is not 1, and 2 is 2.0."""
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)
