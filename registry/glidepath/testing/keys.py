"""Which values parts may provide to one another: glidepath's own, and those of what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from glidepath.registry.describe.keys import KEYS
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import Registered
from glidepath.registry.plan.part_planner import plan_part


@lru_cache(maxsize=1)
def provided_keys(catalogue: Catalogue) -> frozenset[str]:
    """The keys of `Component.provides` that are known, or that an installed part gives."""
    return frozenset(KEYS).union(*(_provided(part, catalogue) for part in catalogue.components()))


def _provided(part: Registered, catalogue: Catalogue) -> Iterator[str]:
    """What a part provides under its defaults, and under the parameters of its example.

    Parameters that are refused provide nothing, and neither does a part that raises: other checks tell of
    both.
    """
    component = part.component
    examples: list[Mapping[str, Any]] = [{}]
    if isinstance(component.example, Mapping):
        examples.append(component.example)
    for example in examples:
        try:
            yield from plan_part(component.kind, part.full_name, example, catalogue).provided()
        except Exception:
            continue
