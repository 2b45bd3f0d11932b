"""Results from before the code changed, which `study report --as-measured` takes, with a note."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.store.summary import listed
from glidepath.plugins.studies.study.cache_keys import digest
from glidepath.plugins.studies.study.graph import Graph, Node, upstream_keys

_MOST_NAMED = 6


@attrs.frozen(eq=False)
class AsMeasured:
    """A graph with the keys under which results were found. notes: what a reader of the report must know."""

    graph: Graph
    notes: tuple[str, ...]


def as_measured(graph: Graph, store: Store) -> AsMeasured:
    """The graph with the results of the last run, where nothing but the code behind them has changed since.

    A result counts if all that the spec says of its stage is as it was, and if what the stage before it made
    counts too. Its notes name the code that has changed; there are none where no result had to be taken.
    """
    last = {
        (trial["arm"], trial["train"], trial["sample"]): trial["nodes"]
        for trial in (store.graph()["trials"] if store.has_run() else ())
    }
    instead: dict[str, str] = {}
    changed: dict[str, str] = {}
    for trial in graph.trials:
        nodes = last.get((trial.arm, trial.train, trial.sample), {})
        pairs = [
            (key, then)
            for step, keys in trial.nodes.items()
            for key, then in zip(keys, listed(nodes.get(step, ())), strict=False)
        ]
        for key, then in pairs:
            if key in instead or then == key:
                continue
            preimage = store.preimage(then)
            if preimage is not None and _is_same(graph.nodes[key], preimage, instead) and store.done(then):
                instead[key] = then
                changed.update(_changed(graph.nodes[key].preimage, preimage))
    return AsMeasured(graph.with_keys(instead), (_note(changed),) if instead else ())


def _is_same(node: Node, then: Mapping[str, Any], instead: Mapping[str, str]) -> bool:
    """Whether a result is of this node but for the code, and of results that are taken as well."""
    before = upstream_keys([attrs.evolve(it, key=instead.get(it.key, it.key)) for it in node.upstream])
    now, earlier = _without_code(node.preimage), _without_code(then)
    # what was read then, and is not read any more, made no difference
    earlier["reads"] = {slot: value for slot, value in earlier["reads"].items() if slot in now["reads"]}
    if isinstance(now.get("runtime"), Mapping) and isinstance(earlier.get("runtime"), Mapping):
        # early keys say nothing of threads
        now["runtime"] = {key: it for key, it in now["runtime"].items() if key in earlier["runtime"]}
    return then.get("upstream") == before and digest(now) == digest(earlier)


def _without_code(preimage: Mapping[str, Any]) -> dict[str, Any]:
    """What a preimage says of the spec, the seeds, the data and the precision."""
    kept = {
        key: value for key, value in preimage.items() if key not in ("code", "version", "upstream", "reads")
    }
    kept["reads"] = {slot: _spec(value) for slot, value in preimage["reads"].items()}
    if "metric" in kept:
        kept["metric"] = _spec(kept["metric"])
    return kept


def _spec(described: Any) -> Any:
    return described["spec"] if isinstance(described, Mapping) and "spec" in described else described


def _changed(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each piece of code that is another one now, and how it is told."""
    before, today = dict(_code(then)), dict(_code(now))
    for name, code in before.items():
        if (other := today.get(name)) != code:
            version = other["version"] if other else "absent"
            yield (
                name,
                f"{name} ({code['version']}{'' if version == code['version'] else f', now {version}'})",
            )


def _code(preimage: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield from preimage.get("code", {}).items()
    for value in (*preimage["reads"].values(), preimage.get("metric")):
        if isinstance(value, Mapping):
            yield from value.get("code", {}).items()


def _note(changed: Mapping[str, str]) -> str:
    names = sorted(changed.values())
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    of = f" of {', '.join(names[:_MOST_NAMED])}{more}" if names else ""
    return f"this was measured before the code{of} changed; what is installed has not measured it again"
