"""What is installed, by kind and name: the one place where a name in a spec becomes a component."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
from pluggy import PluginManager

from glidepath.registry.describe.component import RESERVED, Command, Kind, Preset
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.discovery.components import (
    N,
    NotFound,
    Registered,
    Supplied,
    by_spelling,
    choose,
    missing_extras,
)
from glidepath.registry.discovery.import_errors import import_problem, import_remedy
from glidepath.registry.discovery.loading import Loaded, call, load, plugin_manager
from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.plugin_record import PluginFailures, PluginRecord
from glidepath.registry.discovery.scan import DISTRIBUTION, Scan, install_remedy, scan
from glidepath.registry.discovery.slow import naming_slow
from glidepath.registry.discovery.switches import Switch, switches
from glidepath.registry.files.process_state import used
from glidepath.registry.text.problems import did_you_mean


class Catalogue:
    """What the installed plugins supply.

    records: every entry point, those that failed or are disabled too.
    kinds: kinds of part by name; slots: the same by the key of a spec that holds them.
    warnings: what is odd about the switches, such as one that names no plugin; and what is in the way.
    """

    def __init__(
        self,
        plugins: Iterable[Loaded] = (),
        kinds: Mapping[str, Kind] | None = None,
        *,
        malformed: Iterable[PluginRecord] = (),
        warnings: Iterable[str] = (),
        manager: PluginManager | None = None,
    ) -> None:
        self._plugins = tuple(plugins)
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
            sorted(
                registered, key=lambda entry: (order[entry.component.kind], entry.name, entry.distribution)
            )
        )
        self._of_kind: dict[str, tuple[Registered, ...]] = {
            kind: tuple(entries)
            for kind, entries in groupby(self._components, key=lambda entry: entry.component.kind)
        }
        self._namesakes = Counter((entry.component.kind, entry.name) for entry in self._components)
        self._configs: dict[tuple[str, str], type[Any]] = {}
        self._presets = tuple(
            Supplied(preset, plugin.record) for plugin in self._plugins for preset in plugin.presets
        )
        self._commands = tuple(
            Supplied(command, plugin.record) for plugin in self._plugins for command in plugin.commands
        )

    @property
    def failures(self) -> tuple[PluginRecord, ...]:
        """The plugins with problems. One that a switch disables is not among them."""
        return tuple(record for record in self.records if record.problems)

    def require_working(self) -> None:
        """Raise if any plugin has a problem.

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

        name: "name", or "distribution/name".
        own: the distribution that the spec ships with: of several parts of a name, its own is meant.

        Raises:
            NotFound: nothing has the name; or two have it and it must say which; or the component needs a
                module that is not installed.
        """
        registered = self.look_up(kind, name, own)
        if missing := missing_extras(registered):
            raise missing
        return registered

    def look_up(self, kind: str, name: str, own: str = "") -> Registered:
        """The component of a kind and name, whether or not it can be used here. The arguments are `find`'s.

        Raises:
            NotFound: no component has the name, or several.
        """
        if kind not in self.kinds:
            raise NotFound(
                f"there is no kind of part {kind!r}", did_you_mean(kind, self.kinds), tuple(self.kinds)
            )
        if (registered := choose(self.components(kind), kind, name, own)) is not None:
            return registered
        distribution, _, short = name.rpartition("/")
        raise self._unknown_component(kind, distribution, short)

    def _unknown_component(self, kind: str, distribution: str, name: str) -> NotFound:
        entries = self.components(kind)
        allowed = [self.spelling(entry) for entry in entries]
        suppliers = {record.distribution for record in self.records}
        if distribution and canonical(distribution) not in suppliers:
            what = f"there is no {kind} {distribution}/{name}"
            if distribution == kind:  # KIND/NAME, as commands name a part
                if not any(entry.name == name for entry in entries):
                    return self._unknown_component(kind, "", name)
                return NotFound(
                    f"{what}: a spec names a part without its kind", f"write `use: {name}`", allowed
                )
            hint = did_you_mean(canonical(distribution), suppliers) or install_remedy(distribution, "")
            return NotFound(f"{what}: no installed plugin comes from {distribution!r}", hint, allowed)
        full = f"{distribution}/{name}" if distribution else name
        hint = did_you_mean(full, [*allowed, *(entry.full_name for entry in entries)])
        if others := [entry.component.kind for entry in self._components if entry.name == name]:
            hint = f"{name!r} is a {others[0]}"
        hints = [hint, *self._may_supply(distribution)]
        return NotFound(f"there is no {kind} named {full!r}", "; ".join(filter(None, hints)), allowed)

    def _may_supply(self, distribution: str) -> Iterator[str]:
        """A clause for each plugin that does not work and may be where a missing name was to come from."""
        for record in self.records:
            if distribution and record.distribution != canonical(distribution):
                continue
            if record.disabled:
                yield f"the {record.title} is disabled by {record.disabled}, and may supply it"
            elif record.problems:
                problems = "; ".join(problem.error for problem in record.problems)
                hint = f" ({record.hint})" if record.hint else ""
                yield f"the {record.title} failed to load and may supply it: {problems}{hint}"

    def config_class(self, registered: Registered) -> type[Any] | None:
        """The attrs class of a component's parameters, None when it has none.

        Imports the torch-free module that a string names.

        Raises:
            NotFound: the module cannot be imported; or it does not have an attrs class of the name, or one
                whose parameters no spec can name.
            KeyboardInterrupt: with a note that names the component and the line.
        """
        config = registered.component.config
        if config is None or isinstance(config, type):
            return config
        key = (registered.distribution, config)
        if key not in self._configs:
            self._configs[key] = self._read_config(registered, config)
        return self._configs[key]

    def _read_config(self, registered: Registered, config: str) -> type[Any]:
        module, _, name = config.partition(":")
        supplier = (registered.distribution, registered.version)
        unread = f"the parameters of {registered.full_name} cannot be read: {config!r}"
        authors = f"report it to the authors of {' '.join(supplier)}"
        try:
            with (
                naming_slow(f"importing the parameters of {registered.full_name}", module),
                used(registered.distribution),
            ):
                config_class: Any = import_module(module)
            for attribute in name.split("."):
                config_class = getattr(config_class, attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end a command that is not its own
            remedy = import_remedy(error, module, *supplier)
            raise NotFound(f"{unread}: {import_problem(error, module)}", remedy or authors) from error
        if not isinstance(config_class, type) or not attrs.has(config_class):
            raise NotFound(f"{unread} is not an attrs class", authors)
        if taken := [name for name in RESERVED if name in attrs.fields_dict(config_class)]:
            raise NotFound(
                f"{unread} names a parameter {taken[0]!r}, a key of every part; rename it", authors
            )
        return config_class

    def presets(self) -> Mapping[str, Preset]:
        """Presets by the name that stands for them: "distribution/name" where two have one name."""
        return by_spelling(self._presets)

    def commands(self) -> Mapping[str, Command]:
        """Commands that plugins add, by the name that stands for them."""
        return by_spelling(self._commands)

    def default_preset(self) -> str:
        """The name of the preset that commands use where no spec is named: glidepath's own before others'.

        Raises:
            NotFound: no plugin declares one, or several do and none of them is glidepath's own.
        """
        declared = [name for name, preset in self.presets().items() if preset.default]
        own = [name for name in declared if self.preset_source(name).record.distribution == DISTRIBUTION]
        if len(names := own or declared) != 1:
            count = "several plugins declare" if names else "no plugin declares"
            raise NotFound(f"no spec was named, and {count} a default preset", "name a spec", names)
        return names[0]

    def weight_makers(self, of: Collection[str] = ()) -> str:
        """How files of weights are made, as a hint: the commands that make some; "" where there are none.

        of: the names of components that lack theirs; none: any.
        """
        makers = [
            f"`glidepath {name}` makes them {command.makes_weights}"
            for name, command in sorted(self.commands().items())
            if command.makes_weights and (not of or not command.weights_of or {*of} & {*command.weights_of})
        ]
        return ", ".join(makers)

    def preset_source(self, name: str, own: str = "") -> Supplied[Preset]:
        """The preset of a name, "name" or "distribution/name", and its plugin. own: as for `find`.

        Raises:
            NotFound: there is none, or there are two.
        """
        return self._supplied(self._presets, "preset", name, own)

    def command_source(self, name: str) -> Supplied[Command]:
        """The command of a name, and its plugin. Raises as `preset_source` does."""
        return self._supplied(self._commands, "command", name)

    def _supplied(self, supplied: Sequence[Supplied[N]], what: str, name: str, own: str = "") -> Supplied[N]:
        if (entry := choose(supplied, what, name, own)) is not None:
            return entry
        allowed = list(by_spelling(supplied))
        near = did_you_mean(name, [*allowed, *(entry.full_name for entry in supplied)])
        hints = [near, *self._may_supply(name.rpartition("/")[0])]
        raise NotFound(f"there is no {what} named {name!r}", "; ".join(filter(None, hints)), allowed)

    def package_folder(self, package: str) -> Path:
        """The folder of a package that a working plugin is in, for files that ship with it. Imports nothing.

        package: "acme" or "acme.diffusion"; a folder below a plugin's package may be named as a package too.

        Raises:
            NotFound: no working plugin is in that package.
        """
        words, folders = package.split("."), self.package_folders
        for length in range(len(words), 0, -1):
            folder = folders.get(".".join(words[:length]))
            if folder is not None and all(word.isidentifier() for word in words[length:]):
                below = folder.joinpath(*words[length:])
                if below.is_dir():
                    return below
        failed = [
            f"the {record.title} failed to load: {record.error}"
            if record.problems
            else f"the {record.title} is disabled by {record.disabled}"
            for record in self.records
            if not record.works and record.module and record.module.partition(".")[0] == words[0]
        ]
        hint = "; ".join(filter(None, [*failed, did_you_mean(package, folders)]))
        raise NotFound(f"no working plugin is in a package {package!r}", hint, sorted(folders))

    @cached_property
    def package_folders(self) -> Mapping[str, Path]:
        """Those of the packages that working plugins are in, by name."""
        return {name: folder for record in self.records for name, folder in _package_folders(record)}

    def checks(self, kind: str) -> list[Callable[[Any], None]]:
        """The conformance checks that plugins supply for parts of a kind."""
        return [check for checks in self.call_hook("checks", kind=kind) for check in checks]

    def told_of_builds(self) -> tuple[PluginRecord, ...]:
        """The plugins that hear of what is built (`on_assemble`, `on_built`) and so may change it."""
        return tuple(plugin.record for plugin in self._plugins if plugin.hooks & {"on_assemble", "on_built"})

    def call_hook(self, hook: str, **arguments: object) -> list[Any]:
        """What each plugin's hook of that name returns, without None. An error that one raises names it."""
        results: list[Any] = []
        for plugin in self._plugins:
            if self._manager is None or hook not in plugin.hooks:
                continue
            try:
                with used(plugin.record.distribution):
                    results += call(self._manager, plugin.plugin, hook, **arguments)
            except Exception as error:
                error.add_note(f"raised by the {plugin.record.title} in its hook {hook}()")
                raise
        return results


def _package_folders(record: PluginRecord) -> Iterator[tuple[str, Path]]:
    """The packages that a working plugin is in, with their parents, without namespace packages."""
    package = record.module if record.works else ""
    while package:
        file = getattr(sys.modules.get(package), "__file__", None)
        if file and Path(file).stem == "__init__":
            yield package, Path(file).parent
        package = package.rpartition(".")[0]


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
        separated by commas.
    no_plugins: load what comes with glidepath and nothing else.
    allow, deny: the `plugins` section of a spec; names as in the variables.
    path: folders to search instead of sys.path.

    The answer is kept for the process, until a folder of the path or a switch changes.
    """
    folders = tuple(sys.path if path is None else path)
    chosen = switches(environ, no_plugins=no_plugins, allow=allow, deny=deny)
    key = (chosen, tuple((folder, _modified(folder)) for folder in folders))
    if key not in _loaded:
        _loaded[key] = _load(scan(folders), chosen)
    return _loaded[key]


def _load(installed: Scan, chosen: tuple[Switch, ...]) -> Catalogue:
    manager = plugin_manager()
    plugins, kinds = load(installed.plugins, chosen, manager, CORE_KINDS, versions=installed.versions)
    unmatched = [warning for switch in chosen for warning in switch.unmatched(installed.plugins)]
    return Catalogue(
        plugins,
        kinds,
        malformed=installed.malformed,
        warnings=[*installed.warnings, *unmatched],
        manager=manager,
    )


def _modified(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0
