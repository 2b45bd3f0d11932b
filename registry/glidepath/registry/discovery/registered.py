"""What a plugin supplies, and where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from glidepath.registry.describe.component import Component, Extra
from glidepath.registry.discovery.modules import is_importable
from glidepath.registry.discovery.scan import PluginRecord
from glidepath.registry.discovery.unknown import Unknown


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


@attrs.frozen(kw_only=True)
class Registered:
    """A component and where it comes from.

    plugin: the name of the entry point. file: the plugin's module.
    """

    component: Component
    distribution: str
    version: str
    plugin: str
    file: str

    @property
    def full_name(self) -> str:
        """The name that no other component of its kind has: "distribution/name"."""
        return f"{self.distribution}/{self.component.name}"


@attrs.frozen
class Supplied(Generic[N]):
    """A preset or a command, and the plugin that it comes from."""

    item: N
    record: PluginRecord

    @property
    def full_name(self) -> str:
        """The name that nothing else of its sort has: "distribution/name"."""
        return f"{self.record.distribution}/{self.item.name}"


def hindrance(registered: Registered) -> Unknown | None:
    """Why a component cannot be used here though nothing is wrong with it: modules that are not installed."""
    missing = [extra for extra in registered.component.requires if not is_importable(extra.module)]
    if not missing:
        return None
    return Unknown(
        f"{registered.full_name} {registered.version} needs {_and(extra.module for extra in missing)}, "
        f"which {'is' if len(missing) == 1 else 'are'} not installed",
        "; ".join(_how_to_install(extra) for extra in missing),
    )


def by_spelling(supplied: Sequence[Supplied[N]]) -> dict[str, N]:
    """Presets or commands by their own names, where those are unique, else by their full ones."""
    namesakes = Counter(it.item.name for it in supplied)
    return {it.item.name if namesakes[it.item.name] == 1 else it.full_name: it.item for it in supplied}


def _how_to_install(extra: Extra) -> str:
    return extra.install if " " in extra.install else f"pip install {extra.install}"


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
