"""What is installed, by kind and name: the one place where a name in a spec becomes a component."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.component import API_VERSION, Command, Component, Extra, Kind, Preset
from glidepath.registry.discovery import PluginRecord, Scan, Switch, canonical, scan, switches
from glidepath.registry.kinds import CORE_KINDS
from glidepath.registry.loading import Loaded, call, load, plugin_manager
from glidepath.registry.problems import did_you_mean

if TYPE_CHECKING:
    import pluggy

    from glidepath.core.pipeline import Pipeline
    from glidepath.registry.plan import Plan


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


class Unknown(GlidepathError):
    """A name that stands for nothing that can be used.

    what: the fault, without its place.
    hint: what may be meant, or what would help.
    allowed: the names that serve.
    """

    def __init__(self, what: str, hint: str = "", allowed: Sequence[str] = ()) -> None:
        self.what = what
        self.hint = hint
        self.allowed = tuple(allowed)
        lines = [what, hint, f"allowed: {', '.join(self.allowed)}" if self.allowed else ""]
        super().__init__("\n    ".join(line for line in lines if line))


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


class Catalogue:
    """What the installed plugins supply.

    records: every entry point, those that failed or are disabled too.
    kinds: kinds of part by name; slots: the same by the key of a spec that holds them.
    warnings: what is odd about the switches, such as one that names no plugin.
    """

    def __init__(
        self,
        plugins: Iterable[Loaded] = (),
        kinds: Mapping[str, Kind] | None = None,
        *,
        malformed: Iterable[PluginRecord] = (),
        warnings: Iterable[str] = (),
        manager: pluggy.PluginManager | None = None,
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
        self._components = tuple(
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
        order = {name: index for index, name in enumerate(self.kinds)}
        chosen = [entry for entry in self._components if kind in (None, entry.component.kind)]
        return tuple(
            sorted(chosen, key=lambda it: (order[it.component.kind], it.component.name, it.distribution))
        )

    def spelling(self, registered: Registered) -> str:
        """The shortest name that stands for a component: its own while it is unique within its kind."""
        same = [
            other
            for other in self.components(registered.component.kind)
            if other.component.name == registered.component.name
        ]
        return registered.component.name if len(same) == 1 else registered.full_name

    def find(self, kind: str, name: str, own: str = "") -> Registered:
        """The component that a spec's `use` means, fit to be used.

        name: "name", or "distribution/name".
        own: the distribution that the spec ships with: of several parts of a name, its own is meant.

        Raises:
            Unknown: nothing has the name; or two have it and it must say which; or the component is made for
                another version of the interfaces, or needs a module that is not installed.
        """
        registered = self.look_up(kind, name, own)
        component = registered.component
        if not _accepts(component.api):
            raise Unknown(
                f"{registered.full_name} {registered.version} is made for interfaces {component.api}; "
                f"this glidepath has {API_VERSION}",
                f"install a version of {registered.distribution} for {API_VERSION}",
            )
        missing = [extra for extra in component.requires if not _importable(extra.module)]
        if missing:
            raise Unknown(
                f"{registered.full_name} needs {_and(extra.module for extra in missing)}, "
                f"which {'is' if len(missing) == 1 else 'are'} not installed",
                "; ".join(_how_to_install(extra) for extra in missing),
            )
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
        matches = [
            entry
            for entry in self.components(kind)
            if entry.component.name == short and (not slash or entry.distribution == canonical(distribution))
        ]
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
            Unknown: the module cannot be imported, or does not have an attrs class of the name.
        """
        config = registered.component.config
        if config is None or isinstance(config, type):
            return config
        module, _, name = config.partition(":")
        try:
            found: Any = import_module(module)
            for attribute in name.split("."):
                found = getattr(found, attribute)
        except Exception as error:
            raise Unknown(
                f"the parameters of {registered.full_name} cannot be read: "
                f"{config!r}: {type(error).__name__}: {error}",
                f"it is a fault of {registered.distribution} {registered.version}",
            ) from error
        if not isinstance(found, type) or not attrs.has(found):
            raise Unknown(
                f"the parameters of {registered.full_name} cannot be read: {config!r} is not an attrs class"
            )
        return found

    def presets(self) -> Mapping[str, Preset]:
        """Presets by the name that stands for them: "distribution/name" where two have one name."""
        return {_spelling(it, self._presets): it.item for it in self._presets}

    def commands(self) -> Mapping[str, Command]:
        """Commands that plugins add, by the name that stands for them."""
        return {_spelling(it, self._commands): it.item for it in self._commands}

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
        allowed = [_spelling(it, supplied) for it in supplied]
        near = did_you_mean(name, [*allowed, *(it.full_name for it in supplied)])
        hints = [near, *self._may_supply(distribution)]
        raise Unknown(f"there is no {what} named {name!r}", "; ".join(filter(None, hints)), allowed)

    def package_folder(self, package: str) -> Path:
        """The folder of a package that a working plugin is in, for files that ship with it. Imports nothing.

        package: "acme" or "acme.diffusion"; a folder below a plugin's package may be named as a package too.

        Raises:
            Unknown: no working plugin is in that package.
        """
        folders = self._folders()
        for length in range(package.count(".") + 1, 0, -1):
            words = package.split(".")
            folder = folders.get(".".join(words[:length]))
            if folder is not None and all(word.isidentifier() for word in words[length:]):
                below = folder.joinpath(*words[length:])
                if below.is_dir():
                    return below
        failed = [
            f"the {record.title} failed to load: {record.error}"
            if record.faults
            else f"the {record.title} is disabled by {record.disabled}"
            for record in self.records
            if not record.works
            and record.module.partition(".")[0] == package.partition(".")[0]
            and record.module
        ]
        hint = (
            did_you_mean(package, folders)
            or "files can be read from the packages of installed, working plugins"
        )
        raise Unknown(
            f"no working plugin is in a package {package!r}", "; ".join([*failed, hint]), sorted(folders)
        )

    def _folders(self) -> dict[str, Path]:
        """The packages that working plugins are in, with their parents, without namespace packages."""
        folders = {}
        for record in self.records:
            package = record.module if record.works else ""
            while package:
                file = getattr(sys.modules.get(package), "__file__", None)
                if file and Path(file).stem == "__init__":
                    folders[package] = Path(file).parent
                package = package.rpartition(".")[0]
        return folders

    def checks(self, kind: str) -> list[Callable[[Any], None]]:
        """The conformance checks that plugins supply for parts of a kind."""
        return [check for checks in self._call("checks", kind=kind) for check in checks]

    def on_assemble(self, plan: Plan) -> None:
        """Tell every plugin that a plan is about to be built. One that refuses raises; the error names it."""
        self._call("on_assemble", plan=plan)

    def on_built(self, pipeline: Pipeline, plan: Plan) -> None:
        """Tell every plugin that a pipeline is built."""
        self._call("on_built", pipeline=pipeline, plan=plan)

    def _call(self, hook: str, **arguments: object) -> list[Any]:
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
    plugins, kinds = load(installed.found, chosen, manager, CORE_KINDS)
    warnings = [warning for switch in chosen for warning in switch.unmatched(installed.found)]
    return Catalogue(plugins, kinds, malformed=installed.malformed, warnings=warnings, manager=manager)


def _modified(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _spelling(supplied: Supplied[N], among: Sequence[Supplied[N]]) -> str:
    same = [other for other in among if other.item.name == supplied.item.name]
    return supplied.item.name if len(same) == 1 else supplied.full_name


def _accepts(api: str) -> bool:
    if api == attrs.fields(Component).api.default and API_VERSION == "1.0":
        return True
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(api).contains(API_VERSION, prereleases=True)


def _importable(module: str) -> bool:
    """Whether a module is installed, found without importing it or its parents."""
    if module in sys.modules:
        return True
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
        for index, _ in enumerate(rest):
            if spec is None or spec.submodule_search_locations is None:
                return False
            name = ".".join([top, *rest[: index + 1]])
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError):
        return False
    return spec is not None


def _how_to_install(extra: Extra) -> str:
    return extra.install if " " in extra.install else f"pip install {extra.install}"


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
