"""Why a node has a result, runs again, or failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from glidepath.plugins.studies.store.store import LOG, Store
from glidepath.plugins.studies.study.cache_keys import differences
from glidepath.plugins.studies.study.graph import Node
from glidepath.registry import shorten, yaml_text

_MOST = 12
_DIGEST = re.compile(r"[0-9a-f]{64}")


def explain(node: Node, store: Store) -> dict[str, Any]:
    """What is known of a node: its state, and sentences that say why.

    One without a result is held against the nearest one of its stage that has one: what differs is what broke
    the hit.
    """
    done = store.done(node.key)
    failed = store.counted(node.key)
    state = "done" if done else failed[-1].state if failed else "not run yet"
    return {
        "key": node.key,
        "stage": node.stage,
        "label": node.label,
        "state": state,
        "why": list(_why(node, store)),
    }


def _why(node: Node, store: Store) -> Iterator[str]:
    done = store.done(node.key)
    if done is not None:
        yield f"attempt {done.number} took {done.seconds:.2f} s: {done.folder}"
        return
    for attempt in store.counted(node.key):
        yield f"attempt {attempt.number}: {attempt.state}: {attempt.message}"
        yield f"its log: {attempt.folder / LOG}"
    nearest = _nearest(node, store)
    if nearest is None:
        yield f"no {node.stage} has a result yet"
        return
    key, found = nearest
    yield f"the nearest that has a result, {key[:12]}, differs in"
    for path, now, then in found[:_MOST]:
        yield f"  {path}: was {_text(then)}, and is {_text(now)}"
    if len(found) > _MOST:
        yield f"  and {len(found) - _MOST} more"


def _nearest(node: Node, store: Store) -> tuple[str, list[tuple[str, Any, Any]]] | None:
    """The node of the stage that has a result and the fewest differences."""
    best: tuple[str, list[tuple[str, Any, Any]]] | None = None
    for key, said in store.preimages():
        if said.get("stage") != node.stage or key == node.key or store.done(key) is None:
            continue
        found = differences(dict(node.preimage), dict(said))
        if best is None or len(found) < len(best[1]):
            best = (key, found)
    return best


def _text(value: Any) -> str:
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:12]}..."
    return "absent" if value is None else shorten(yaml_text(value), 70)
