"""What is installed, by kind and name: the one place where a name in a spec becomes a component."""

from __future__ import annotations

import gc
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.describe.component import RESERVED, Command, Kind, Preset
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.discovery.importing import import_within
from glidepath.registry.discovery.imports import hanging_at, import_fault, import_remedy
from glidepath.registry.discovery.loading import PATIENCE, Loaded, load
from glidepath.registry.discovery.manager import Hooks, call, plugin_manager
from glidepath.registry.discovery.package_folders import package_folder
from glidepath.registry.discovery.patience import Hanging
from glidepath.registry.discovery.registered import N, Registered, Supplied, by_spelling, hindrance
from glidepath.registry.discovery.scan import PluginRecord, Scan, Switch, canonical, scan, switches
from glidepath.registry.discovery.unknown import Unknown
from glidepath.registry.text.problems import did_you_mean


class PluginFailures(GlidepathError):
    """Plugins that are installed do not work, and were asked to (`--strict`)."""

    def __init__(self, records: Iterable[PluginRecord]) -> None:
        self.records = tuple(records)
        lines = [
            f"{record.title}: {fault.stage}: {fault.error}"
            for record in self.records
            for fault in record.faults
        ]
        super().__init__("plugins fail, and --strict was given:\n    " + "\n    ".join(lines))


class Catalogue:
    """What the installed plugins supply.

    records: every entry point, those that failed or are disabled too.
    kinds: kinds of part by name; slots: the same by the key of a spec that holds them.
    warnings: what is odd about the switches, such as one that names no plugin; and what is in the way.
    patience: seconds that a module of parameters may take to import; 0 for no limit.
    """

    def __init__(
        self,
        plugins: Iterable[Loaded] = (),
        kinds: Mapping[str, Kind] | None = None,
        *,
        malformed: Iterable[PluginRecord] = (),
        warnings: Iterable[str] = (),
        manager: Hooks | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._plugins = tuple(plugins)
        self._patience = patience
        self._manager = manager
        self.kinds: Mapping[str, Kind] = MappingProxyType(
            dict(kinds or {kind.name: kind for kind in CORE_KINDS})
        )
        self.slots: Mapping[str, Kind] = MappingProxyType(
            {kind.slot: kind for kind in self.kinds.values() if kind.slot}
        )
        self.records = tuple(
            sorted(
                [*(plugin.record for plugin in self._plugins), *malformed],
                key=lambda record: (record.distribution, record.name),
            )
        )
        self.warnings = tuple(warnings)
        registered = (
            Registered(
                component=component,
                distribution=plugin.record.distribution,
                version=plugin.record.version,
                plugin=plugin.record.name,
                file=plugin.record.file,
            )
            for plugin in self._plugins
            for component in plugin.components
        )
        order = {name: index for index, name in enumerate(self.kinds)}
        self._components = tuple(
            sorted(registered, key=lambda it: (order[it.component.kind], it.component.name, it.distribution))
        )
        self._of_kind: dict[str, tuple[Registered, ...]] = {
            kind: tuple(entries)
            for kind, entries in groupby(self._components, key=lambda it: it.component.kind)
        }
        self._namesakes = Counter((it.component.kind, it.component.name) for it in self._components)
        self._presets = tuple(
            Supplied(preset, plugin.record) for plugin in self._plugins for preset in plugin.presets
        )
        self._commands = tuple(
            Supplied(command, plugin.record) for plugin in self._plugins for command in plugin.commands
        )

    @property
    def failures(self) -> tuple[PluginRecord, ...]:
        """The plugins with faults. One that a switch disables is not among them."""
        return tuple(record for record in self.records if record.faults)

    def require_working(self) -> None:
        """Raise if any plugin has a fault.

        Raises:
            PluginFailures: naming each of them.
        """
        if self.failures:
            raise PluginFailures(self.failures)

    def components(self, kind: str | None = None) -> tuple[Registered, ...]:
        """All components, or those of a kind: in the order of kinds, then by name and distribution."""
        return self._components if kind is None else self._of_kind.get(kind, ())

    def spelling(self, registered: Registered) -> str:
        """The shortest name that stands for a component: its own while it is unique within its kind."""
        component = registered.component
        alone = self._namesakes[component.kind, component.name] == 1
        return component.name if alone else registered.full_name

    def find(self, kind: str, name: str, own: str = "") -> Registered:
        """The component that a spec's `use` means, fit to be used.

        name: "name", or "distribution/name"; an earlier name serves where nothing has it now.
        own: the distribution that the spec ships with: of several parts of a name, its own is meant.

        Raises:
            Unknown: nothing has the name; or two have it and it must say which; or the component needs a
                module that is not installed.
        """
        registered = self.look_up(kind, name, own)
        if lacking := hindrance(registered):
            raise lacking
        return registered

    def look_up(self, kind: str, name: str, own: str = "") -> Registered:
        """The component of a kind and name, whether or not it can be used here. The arguments are `find`'s.

        Raises:
            Unknown: no component has the name, or several.
        """
        if kind not in self.kinds:
            raise Unknown(
                f"there is no kind of part {kind!r}", did_you_mean(kind, self.kinds), tuple(self.kinds)
            )
        distribution, slash, short = name.rpartition("/")
        among = [
            entry
            for entry in self.components(kind)
            if not slash or entry.distribution == canonical(distribution)
        ]
        matches = [entry for entry in among if entry.component.name == short]
        matches = matches or [entry for entry in among if short in entry.component.formerly]
        matches = [entry for entry in matches if entry.distribution == own] or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            spellings = [entry.full_name for entry in matches]
            raise Unknown(
                f"{len(matches)} installed plugins supply a {kind} named {name!r}",
                "write which one is meant",
                spellings,
            )
        raise self._unknown_component(kind, distribution, short)

    def _unknown_component(self, kind: str, distribution: str, name: str) -> Unknown:
        allowed = [self.spelling(entry) for entry in self.components(kind)]
        if distribution and not any(
            record.distribution == canonical(distribution) for record in self.records
        ):
            if distribution == kind:  # KIND/NAME, as commands name a part
                if not any(entry.component.name == name for entry in self.components(kind)):
                    return self._unknown_component(kind, "", name)
                what = f"there is no {kind} {distribution}/{name}: a spec names a part without its kind"
                return Unknown(what, f"write `use: {name}`", allowed)
            known = {record.distribution for record in self.records}
            hint = (
                did_you_mean(canonical(distribution), known)
                or f"install {distribution}, or choose another {kind}"
            )
            return Unknown(
                f"there is no {kind} {distribution}/{name}: no installed plugin comes from {distribution!r}",
                hint,
                allowed,
            )
        full = f"{distribution}/{name}" if distribution else name
        hints = [did_you_mean(full, [*allowed, *(entry.full_name for entry in self.components(kind))])]
        elsewhere = [entry.component.kind for entry in self._components if entry.component.name == name]
        if elsewhere:
            hints = [f"{name!r} is a {elsewhere[0]}"]
        hints += self._may_supply(distribution)
        return Unknown(f"there is no {kind} named {full!r}", "; ".join(filter(None, hints)), allowed)

    def _may_supply(self, distribution: str) -> Iterator[str]:
        """A clause for each plugin that does not work and may be where a missing name was to come from."""
        for record in self.records:
            if distribution and record.distribution != canonical(distribution):
                continue
            if record.disabled:
                yield f"the {record.title} is disabled by {record.disabled}, and may supply it"
            elif record.faults:
                faults = "; ".join(fault.error for fault in record.faults)
                hint = f" ({record.hint})" if record.hint else ""
                yield f"the {record.title} failed to load and may supply it: {faults}{hint}"

    def config_class(self, registered: Registered) -> type[Any] | None:
        """The attrs class of a component's parameters, None when it has none.

        Imports the torch-free module that a string names.

        Raises:
            Unknown: the module cannot be imported, or not in the time that plugins have; or it does not have
                an attrs class of the name, or one whose parameters no spec can name.
        """
        config = registered.component.config
        if config is None or isinstance(config, type):
            return config
        module, _, name = config.partition(":")
        supplier = (registered.distribution, registered.version)
        unread = f"the parameters of {registered.full_name} cannot be read: {config!r}"
        authors = (
            f"report it to the authors of {' '.join(supplier)}, or choose another {registered.component.kind}"
        )
        outcome = import_within(self._patience, module)
        if isinstance(outcome, Hanging):
            where = hanging_at(outcome, module)
            hangs = f"it hangs: {module} was not imported within {self._patience:g} s"
            slow = "where it is merely slow, GLIDEPATH_PATIENCE says how many seconds it may take"
            raise Unknown(f"{unread}: {hangs}" + (f" ({where})" if where else ""), f"{slow}; {authors}")
        found: Any = outcome.value
        error = outcome.error  # SystemExit too: a plugin must not end a command that is not its own
        if error is None:
            try:
                for attribute in name.split("."):
                    found = getattr(found, attribute)
            except Exception as absent:
                error = absent
        if error is not None:
            remedy = import_remedy(error, module, *supplier)
            raise Unknown(f"{unread}: {import_fault(error, module)}", remedy or authors) from error
        if not isinstance(found, type) or not attrs.has(found):
            raise Unknown(f"{unread} is not an attrs class", authors)
        if taken := [reserved for reserved in RESERVED if reserved in attrs.fields_dict(found)]:
            raise Unknown(f"{unread} names a parameter {taken[0]!r}, a key of every part; rename it", authors)
        return found

    def presets(self) -> Mapping[str, Preset]:
        """Presets by the name that stands for them: "distribution/name" where two have one name."""
        return by_spelling(self._presets)

    def commands(self) -> Mapping[str, Command]:
        """Commands that plugins add, by the name that stands for them."""
        return by_spelling(self._commands)

    def preset(self, name: str) -> Preset:
        """The preset of a name, "name" or "distribution/name".

        Raises:
            Unknown: there is none, or there are two.
        """
        return self.preset_source(name).item

    def preset_source(self, name: str, own: str = "") -> Supplied[Preset]:
        """The preset of a name, and its plugin. own: as for `find`. Raises as `preset` does."""
        return self._one(self._presets, "preset", name, own)

    def command_source(self, name: str) -> Supplied[Command]:
        """The command of a name, and its plugin. Raises as `preset` does."""
        return self._one(self._commands, "command", name)

    def _one(self, supplied: Sequence[Supplied[N]], what: str, name: str, own: str = "") -> Supplied[N]:
        distribution, slash, short = name.rpartition("/")
        matches = [
            it
            for it in supplied
            if it.item.name == short and (not slash or it.record.distribution == canonical(distribution))
        ]
        matches = [it for it in matches if it.record.distribution == own] or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            count = f"{len(matches)} installed plugins supply a {what} named {name!r}"
            raise Unknown(count, "write which one is meant", [it.full_name for it in matches])
        allowed = list(by_spelling(supplied))
        near = did_you_mean(name, [*allowed, *(it.full_name for it in supplied)])
        hints = [near, *self._may_supply(distribution)]
        raise Unknown(f"there is no {what} named {name!r}", "; ".join(filter(None, hints)), allowed)

    def package_folder(self, package: str) -> Path:
        """The folder of a package that a working plugin is in, for files that ship with it.

        Raises:
            Unknown: no working plugin is in that package.
        """
        return package_folder(package, self.records)

    def checks(self, kind: str) -> list[Callable[[Any], None]]:
        """The conformance checks that plugins supply for parts of a kind."""
        return [check for checks in self.call_hook("checks", kind=kind) for check in checks]

    def told_of_builds(self) -> tuple[PluginRecord, ...]:
        """The plugins that hear of what is built (`on_assemble`, `on_built`) and so may change it."""
        return tuple(
            plugin.record
            for plugin in self._plugins
            if plugin.plugin is not None
            and self._manager is not None
            and self._manager.implemented(plugin.plugin).keys() & {"on_assemble", "on_built"}
        )

    def call_hook(self, hook: str, **arguments: object) -> list[Any]:
        """What each plugin's hook of that name returns, without None. An error that one raises names it."""
        results: list[Any] = []
        for plugin in self._plugins:
            if plugin.plugin is None or self._manager is None:
                continue
            try:
                results += [
                    result
                    for result in call(self._manager, plugin.plugin, hook, **arguments)
                    if result is not None
                ]
            except Exception as error:
                error.add_note(f"raised by the {plugin.record.title} in its hook {hook}()")
                raise
        return results


_loaded: dict[object, Catalogue] = {}


def load_catalogue(
    *,
    environ: Mapping[str, str] = os.environ,
    no_plugins: bool = False,
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
    path: Sequence[str] | None = None,
) -> Catalogue:
    """Find and load the installed plugins. Never raises over one that fails: see `Catalogue.failures`.

    environ: GLIDEPATH_PLUGINS names the only plugins to load, GLIDEPATH_DISABLE those not to load,
        separated by commas. GLIDEPATH_PATIENCE: the seconds that one may take to import, and the parameters
        of its parts, 0 for no limit.
    no_plugins: load what comes with glidepath and nothing else.
    allow, deny: the `plugins` section of a spec; names as in the variables.
    path: folders to search instead of sys.path.

    The answer is kept for the process, until a folder of the path or a switch changes.
    """
    folders = tuple(sys.path if path is None else path)
    chosen = switches(environ, no_plugins=no_plugins, allow=allow, deny=deny)
    patience, warnings = _patience(environ)
    key = (chosen, patience, tuple((folder, _modified(folder)) for folder in folders))
    if key not in _loaded:
        with _collecting_no_garbage():
            _loaded[key] = _load(scan(folders), chosen, patience, warnings)
    return _loaded[key]


def _load(installed: Scan, chosen: tuple[Switch, ...], patience: float, warnings: Sequence[str]) -> Catalogue:
    manager = plugin_manager()
    plugins, kinds = load(
        installed.found, chosen, manager, CORE_KINDS, versions=installed.versions, patience=patience
    )
    unmatched = [warning for switch in chosen for warning in switch.unmatched(installed.found)]
    return Catalogue(
        plugins,
        kinds,
        malformed=installed.malformed,
        warnings=[*installed.warnings, *warnings, *unmatched],
        manager=manager,
        patience=patience,
    )


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """Imports make much that stays, and the collector would look through all of it again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _patience(environ: Mapping[str, str]) -> tuple[float, list[str]]:
    """Seconds that a plugin may take, and what is wrong with the variable that says so."""
    text = environ.get("GLIDEPATH_PATIENCE", "").strip()
    try:
        seconds = float(text or PATIENCE)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds, []
    except ValueError:
        pass
    return PATIENCE, [f"GLIDEPATH_PATIENCE is {text!r}, which is no number of seconds; {PATIENCE:g} is taken"]


def _modified(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0
