"""What plugins supply and where it comes from, and what is raised over a name that stands for none of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.describe.component import Component, Extra
from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.modules import is_importable
from glidepath.registry.discovery.plugin_record import PluginRecord
from glidepath.registry.text.problems import with_names


class NotFound(GlidepathError):
    """A name that stands for nothing that can be used.

    what: the problem, without its place.
    hint: what may be meant, or what would help.
    allowed: the names that serve.
    """

    def __init__(self, what: str, hint: str = "", allowed: Sequence[str] = ()) -> None:
        self.what = what
        self.hint = hint
        self.allowed = tuple(allowed)
        super().__init__(with_names(what, hint, allowed))


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
    def name(self) -> str:
        """The component's own name."""
        return self.component.name

    @property
    def full_name(self) -> str:
        """The name that no other component of its kind has: "distribution/name"."""
        return f"{self.distribution}/{self.name}"


@attrs.frozen
class Supplied(Generic[N]):
    """A preset or a command, and the plugin that it comes from."""

    item: N
    record: PluginRecord

    @property
    def name(self) -> str:
        """The preset's or command's own name."""
        return self.item.name

    @property
    def distribution(self) -> str:
        """The distribution of its plugin."""
        return self.record.distribution

    @property
    def full_name(self) -> str:
        """The name that nothing else of its sort has: "distribution/name"."""
        return f"{self.distribution}/{self.name}"


def missing_extras(registered: Registered) -> NotFound | None:
    """Why a component cannot be used here though nothing is wrong with it: modules that are not installed."""
    missing = [extra for extra in registered.component.requires if not is_importable(extra.module)]
    if not missing:
        return None
    return NotFound(
        f"{registered.full_name} {registered.version} needs {_and(extra.module for extra in missing)}, "
        f"which {'is' if len(missing) == 1 else 'are'} not installed",
        "; ".join(_how_to_install(extra) for extra in missing),
    )


class _Entry(_Named, Protocol):
    @property
    def distribution(self) -> str: ...
    @property
    def full_name(self) -> str: ...


E = TypeVar("E", bound=_Entry)


def choose(entries: Iterable[E], what: str, name: str, own: str) -> E | None:
    """The entry that a name means, "name" or "distribution/name"; None where there is none.

    own: a distribution whose entry is meant where several have the name.

    Raises:
        NotFound: several have it.
    """
    distribution, slash, short = name.rpartition("/")
    matches = [
        entry
        for entry in entries
        if entry.name == short and (not slash or entry.distribution == canonical(distribution))
    ]
    matches = [entry for entry in matches if entry.distribution == own] or matches
    if len(matches) > 1:
        raise NotFound(
            f"{len(matches)} installed plugins supply a {what} named {name!r}",
            "write which one is meant",
            [entry.full_name for entry in matches],
        )
    return matches[0] if matches else None


def by_spelling(supplied: Sequence[Supplied[N]]) -> dict[str, N]:
    """Presets or commands by their own names, where those are unique, else by their full ones."""
    namesakes = Counter(entry.name for entry in supplied)
    return {entry.name if namesakes[entry.name] == 1 else entry.full_name: entry.item for entry in supplied}


def _how_to_install(extra: Extra) -> str:
    return extra.install if " " in extra.install else f"pip install {extra.install}"


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
