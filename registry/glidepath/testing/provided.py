"""Which values parts may provide to one another: glidepath's own, and those of what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from glidepath.registry.catalogue import Catalogue
from glidepath.registry.fit import flat
from glidepath.registry.keys import KEYS
from glidepath.testing.part import Part


@lru_cache(maxsize=1)
def provided_keys(catalogue: Catalogue) -> frozenset[str]:
    """The keys of `Component.provides` that are known, or that an installed part gives for its example."""
    return frozenset(KEYS).union(*(_keys(Part(one, catalogue)) for one in catalogue.components()))


def _keys(part: Part) -> Iterator[str]:
    """Those of a part built from its example, and from its defaults."""
    parameters: list[Mapping[str, Any]] = [part.example, {}]
    for one in parameters:
        # a part that cannot be planned is the fault of another check, and maybe of another distribution
        with suppress(Exception):
            for planned in flat({"": part.plan(one)}):
                yield from planned.registered.component.provides(planned.config)
