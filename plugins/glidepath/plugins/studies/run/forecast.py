"""What is left of a study costs: seconds and bytes, by what equal work has taken, here or in a probe.

Nodes that cost alike are one class: those of a stage whose parts differ in nothing but numbers with a
fraction, such as a guidance scale, and seeds. 0 and 1 stand for themselves in a `sample`: there a guidance
may have nothing to do. In a `train` no such number changes what a step takes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.plugins.studies.store.store import Attempt
from glidepath.plugins.studies.study.cache_keys import digest
from glidepath.plugins.studies.study.graph import STAGES, Graph, Node, Stage

Classes = Mapping[str, str]
"""The class of each node, by key."""


@attrs.frozen
class Toll:
    """What one node takes. data: bytes that it leaves in the store."""

    seconds: float
    data: int


@attrs.frozen(kw_only=True)
class Forecast:
    """What is left.

    seconds: of all processes together; by_stage: of each stage; None where nothing is known.
    wall: seconds until the end, with so many slots. data: bytes. assumed: nodes whose class is not known, and
    that are taken for the mean of their stage.
    """

    seconds: float | None
    wall: float | None
    data: int | None
    by_stage: Mapping[Stage, float | None]
    assumed: int


def classes_of(graph: Graph) -> Classes:
    """The class of each node."""
    seen: dict[tuple[Any, ...], str] = {}
    coarse: dict[tuple[str, bool], str] = {}
    found = {}
    for key, node in graph.nodes.items():
        reads = node.reads
        whole = (node.stage, *reads.items(), id(node.metric) if node.metric else 0)
        if whole not in seen:
            exact = node.stage == "sample"
            said = node.preimage["reads"]
            for slot, name in reads.items():
                if (name, exact) not in coarse:
                    value = said[slot]
                    spec = value.get("spec", value) if isinstance(value, Mapping) else value
                    coarse[name, exact] = digest(_coarse(spec, exact))
            metric = node.preimage.get("metric")
            seen[whole] = digest(
                [node.stage, {slot: coarse[name, exact] for slot, name in reads.items()}, metric]
            )
        found[key] = seen[whole]
    return found


def _coarse(value: Any, exact: bool) -> Any:
    """A value without what costs nothing: fractions, and where weights come from."""
    if isinstance(value, float) and not (exact and value in (0.0, 1.0)):
        return "number"
    if isinstance(value, Mapping):
        return {key: _coarse(inner, exact) for key, inner in value.items() if key != "weights"}
    if isinstance(value, list | tuple):
        return [_coarse(inner, exact) for inner in value]
    return value


def waiting(graph: Graph, done: Collection[str], classes: Classes) -> list[tuple[str, Sequence[Node]]]:
    """The nodes without a result by class: those first that a probe tells most of.

    One class of each stage comes before the second of any, the larger one first.
    """
    groups: dict[str, list[Node]] = {}
    for key, node in graph.nodes.items():
        if key not in done:
            groups.setdefault(classes[key], []).append(node)
    by_stage: dict[Stage, list[tuple[str, list[Node]]]] = {stage: [] for stage in STAGES}
    for name, nodes in sorted(groups.items(), key=lambda it: -len(it[1])):
        by_stage[nodes[0].stage].append((name, nodes))
    ranks = max(map(len, by_stage.values()), default=0)
    # what is measured has to be drawn first, so that the order of the stages is kept
    return [it[rank] for rank in range(ranks) for it in by_stage.values() if rank < len(it)]


def spent(done: Mapping[str, Attempt], classes: Classes) -> dict[str, Toll]:
    """What the nodes that have a result took, on average for each class."""
    found: dict[str, list[Attempt]] = {}
    for key, attempt in done.items():
        found.setdefault(classes[key], []).append(attempt)
    return {
        name: Toll(
            sum(it.seconds for it in attempts) / len(attempts),
            sum(_size(it.folder) for it in attempts[:_MOST_WEIGHED]) // len(attempts[:_MOST_WEIGHED]),
        )
        for name, attempts in found.items()
    }


_MOST_WEIGHED = 8


def forecast(
    graph: Graph, done: Collection[str], classes: Classes, tolls: Mapping[str, Toll], slots: int
) -> Forecast:
    """What the nodes without a result will take, by the tolls of their classes."""
    known: dict[Stage, list[Toll]] = {stage: [] for stage in STAGES}
    for key, name in {classes[key]: key for key in graph.nodes}.items():
        if key in tolls:
            known[graph.nodes[name].stage].append(tolls[key])
    seconds: dict[Stage, float | None] = {}
    data: float | None = 0.0
    assumed = 0
    for stage in STAGES:
        left = [key for key, node in graph.nodes.items() if node.stage == stage and key not in done]
        if not left:
            continue
        if not known[stage]:
            seconds[stage], data = None, None
            continue
        count = len(known[stage])
        mean = Toll(
            sum(it.seconds for it in known[stage]) / count, sum(it.data for it in known[stage]) // count
        )
        assumed += sum(classes[key] not in tolls for key in left)
        each = [tolls.get(classes[key], mean) for key in left]
        seconds[stage] = sum(it.seconds for it in each)
        data = None if data is None else data + sum(it.data for it in each)
    stated = [it for it in seconds.values() if it is not None]
    total = sum(stated) if len(stated) == len(seconds) else None
    return Forecast(
        seconds=total,
        wall=None if total is None else total / max(1, slots),
        data=None if data is None else int(data),
        by_stage=seconds,
        assumed=assumed,
    )


def _size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return 0
