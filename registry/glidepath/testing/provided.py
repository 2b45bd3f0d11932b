"""Which values parts may provide to one another: glidepath's own, and those of what is installed."""

from __future__ import annotations

from functools import lru_cache

from glidepath.registry.describe.keys import KEYS
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.key_spelling import stated_keys


@lru_cache(maxsize=1)
def provided_keys(catalogue: Catalogue) -> frozenset[str]:
    """The keys of `Component.provides` that are known, or that an installed part gives for its example."""
    stated = (stated_keys(part, catalogue) for part in catalogue.components())
    return frozenset(KEYS).union(*(keys.provides for keys in stated))
