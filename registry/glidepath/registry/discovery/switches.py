"""Which plugins may load: settings of the environment, the command line and a spec, before any import."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import attrs

from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.scan import DISTRIBUTION, InstalledPlugin
from glidepath.registry.text.problems import did_you_mean


@attrs.frozen
class Switch:
    """One setting that keeps plugins from loading.

    source: what set it, as messages name it: "GLIDEPATH_DISABLE", "--no-plugins", "plugins.allow".
    names: entry-point names, distributions, or "distribution/name".
    allows: True for a list of the only ones that may load, False for a list of those that may not.
    """

    source: str
    names: tuple[str, ...]
    allows: bool

    def refuses(self, distribution: str, plugin: str) -> bool:
        """Whether it keeps a plugin of a distribution from loading."""
        return self.allows != any(_names(name, distribution, plugin) for name in self.names)

    def unmatched(self, plugins: Collection[InstalledPlugin]) -> Iterator[str]:
        """A warning for each name that is no installed plugin's."""
        for name in self.names:
            if not any(_names(name, plugin.distribution, plugin.name) for plugin in plugins):
                known = {spelling for plugin in plugins for spelling in (plugin.name, plugin.distribution)}
                hint = did_you_mean(name, known)
                yield f"{self.source} names {name!r}, which is not installed" + (f"; {hint}" if hint else "")


def _names(name: str, distribution: str, plugin: str) -> bool:
    of, slash, entry = name.partition("/")
    if slash:
        return (canonical(of), canonical(entry)) == (distribution, canonical(plugin))
    return canonical(name) in (distribution, canonical(plugin))


def switches(
    environ: Mapping[str, str], *, no_plugins: bool, allow: Collection[str] | None, deny: Collection[str]
) -> tuple[Switch, ...]:
    """All settings together: a plugin loads when none refuses it. An empty variable counts as absent."""
    chosen = []
    if no_plugins:
        chosen.append(Switch("--no-plugins", (DISTRIBUTION,), allows=True))
    if allowed := _listed(environ.get("GLIDEPATH_PLUGINS", "")):
        chosen.append(Switch("GLIDEPATH_PLUGINS", allowed, allows=True))
    if denied := _listed(environ.get("GLIDEPATH_DISABLE", "")):
        chosen.append(Switch("GLIDEPATH_DISABLE", denied, allows=False))
    if allow is not None:
        chosen.append(Switch("plugins.allow", tuple(allow), allows=True))
    if deny:
        chosen.append(Switch("plugins.deny", tuple(deny), allows=False))
    return tuple(chosen)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
