"""Scores of metrics from before they were renamed: a report takes them, and says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.study.graph import Graph, Node
from glidepath.registry import Catalogue, PartPlan, Unknown
from glidepath.registry.describe.fields import current, fields
from glidepath.registry.plan.parts import flat


@attrs.frozen
class Followed:
    """A graph whose measurements have results, where an earlier name of a metric has them.

    notes: what a reader of the report has to know of it.
    """

    graph: Graph
    notes: tuple[str, ...]


def followed(graph: Graph, store: Store, catalogue: Catalogue) -> Followed:
    """The graph with each measurement that has no result in place of which an earlier name has one.

    A metric is the same under an earlier name where it measured the same images and where all that its part
    says is the same in the names of today. The code that measured is then an older one: a rename is a change
    of the code, after which `run` measures anew.
    """
    wanted = [
        node for node in graph.nodes.values() if _is_renamed(node, catalogue) and not store.done(node.key)
    ]
    if not wanted:
        return Followed(graph, ())
    kept = _measured(store, catalogue)
    instead: dict[str, str] = {}
    notes: dict[str, None] = {}
    for node in wanted:
        for key, said in kept.get(node.said["upstream"]["sample"], ()):
            if said["today"] == node.said["metric"]["spec"] and said["reads"] == node.said["reads"]:
                instead[node.key] = key
                notes[_note(node, said["metric"])] = None
    return Followed(graph.with_keys(instead), tuple(notes))


def _is_renamed(node: Node, catalogue: Catalogue) -> bool:
    """Whether the metric of a measurement, or a parameter of it, had another name."""
    return node.metric is not None and any(
        part.registered.component.formerly or any(it.formerly for it in _fields(part, catalogue).values())
        for part in flat({"": node.metric.part})
    )


def _fields(part: PartPlan, catalogue: Catalogue) -> Mapping[str, Any]:
    config = catalogue.config_class(part.registered)
    return fields(config) if config is not None else {}


def _measured(store: Store, catalogue: Catalogue) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """The measurements of the store that have results, by the images that they measured.

    What a name stands for differs in each: `today` is the metric in the names that things have now.
    """
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for key, said in store.preimages():
        if said.get("stage") != "measure" or store.done(key) is None:
            continue
        today = _today(said["metric"]["spec"], "metric", catalogue)
        if today != said["metric"]["spec"]:
            found.setdefault(said["upstream"]["sample"], []).append((key, {**said, "today": today}))
    return found


def _today(tree: Any, kind: str, catalogue: Catalogue) -> Any:
    """A part as its spec was written out, in the names of today."""
    if not isinstance(tree, Mapping) or "use" not in tree:
        return tree
    try:
        registered = catalogue.look_up(kind, tree["use"])
        config = catalogue.config_class(registered)
    except Unknown:
        return tree
    known = fields(config) if config is not None else {}
    return {"use": registered.full_name, **dict(_parameters(tree, known, catalogue))}


def _parameters(
    tree: Mapping[str, Any], known: Mapping[str, Any], catalogue: Catalogue
) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if key == "use":
            continue
        name = current(known, key)
        slot = known[name].slot if name in known else None
        if slot is None:
            yield name, value
        elif slot.many and isinstance(value, list):
            yield name, [_today(one, slot.kind, catalogue) for one in value]
        else:
            yield name, _today(value, slot.kind, catalogue)


def _note(node: Node, then: Mapping[str, Any]) -> str:
    assert node.metric is not None
    versions = ", ".join(
        f"{plugin.partition('/')[0]} {code['version']}" for plugin, code in sorted(then["code"].items())
    )
    return (
        f"{node.metric.label} was measured by {then['spec']['use']} of {versions}, before it was renamed; "
        "what is installed has not measured it again"
    )
