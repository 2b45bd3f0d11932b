"""Keys of `Component.provides` and `Component.needs` that seem to be misspelt.

One that nobody needs is silent, and so is one that is needed with `optional=True` and that nobody provides.
Plugins may agree upon keys between themselves: a key is odd only where it is nearly one that others use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from glidepath.registry.describe.keys import KEYS
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.registered import Registered
from glidepath.registry.plan.contracts import BEFORE
from glidepath.registry.plan.planner import plan_part

_ALIKE = 0.85
"""Of difflib. A letter more, less or moved is above it, and no two keys of glidepath's own are."""


@attrs.frozen
class OddKey:
    """A key of a part that is nearly another one, which others need or provide."""

    part: Registered
    side: Literal["provides", "needs"]
    key: str
    near: str

    def __str__(self) -> str:
        component = self.part.component
        others = "needs" if self.side == "provides" else "provides"
        return (
            f"{component.kind} {component.name!r} {self.side} {self.key!r}, which no part {others} that is "
            f"installed; did you mean {self.near!r}?"
        )


@attrs.frozen
class StatedKeys:
    """The keys that a part provides and needs."""

    provides: frozenset[str]
    needs: frozenset[str]


def odd_keys(catalogue: Catalogue) -> Iterator[OddKey]:
    """The keys of all installed parts that seem to be misspelt."""
    stated = [(part, stated_keys(part, catalogue)) for part in catalogue.components()]
    needed = set(KEYS).union(*({key.removeprefix(BEFORE) for key in keys.needs} for _, keys in stated))
    provided = set(KEYS).union(*(keys.provides for _, keys in stated))
    provided |= {BEFORE + key for key in provided}
    for part, keys in stated:
        for key in sorted(keys.provides - needed):
            if near := _near(key, needed):
                yield OddKey(part, "provides", key, near)
        for key in sorted(keys.needs - provided):
            if near := _near(key, provided):
                yield OddKey(part, "needs", key, near)


def stated_keys(part: Registered, catalogue: Catalogue) -> StatedKeys:
    """What a part says of itself under the parameters of its example, and under its defaults.

    Parameters that are refused say nothing, and neither does a part that raises: other checks tell of both.
    """
    component = part.component
    examples: list[Mapping[str, Any]] = [{}]
    if not isinstance(component.example, str):
        examples.append(component.example)
    provides: set[str] = set()
    needs: set[str] = set()
    for example in examples:
        try:
            config = plan_part(component.kind, part.full_name, example, catalogue).config
            provides.update(component.provides(config))
            needs.update(component.needs(config))
        except Exception:
            continue
    return StatedKeys(*(frozenset(key for key in keys if isinstance(key, str)) for keys in (provides, needs)))


def _near(key: str, known: set[str]) -> str:
    from difflib import get_close_matches  # most plugins spell every key right

    near = get_close_matches(key, sorted(known), n=1, cutoff=_ALIKE)
    return near[0] if near else ""
