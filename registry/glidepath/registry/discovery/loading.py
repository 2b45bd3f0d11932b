"""Plugins imported, registered and asked what they supply, each by itself: one failure costs one plugin."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import attrs
import pluggy

from glidepath.registry.describe import hooks
from glidepath.registry.describe.component import Command, Component, Kind, Preset
from glidepath.registry.describe.descriptors import (
    command_problems,
    component_problems,
    kind_problems,
    preset_problems,
)
from glidepath.registry.discovery.import_errors import error_text, import_remedy, is_within, raised_within
from glidepath.registry.discovery.metadata import Requires, stated_requirements, unmet
from glidepath.registry.discovery.plugin_record import PluginProblem, PluginRecord
from glidepath.registry.discovery.scan import (
    DISTRIBUTION,
    InstalledPlugin,
    install_remedy,
    unreadable_metadata,
)
from glidepath.registry.discovery.slow import naming_slow
from glidepath.registry.discovery.switches import Switch
from glidepath.registry.files.process_state import SharedState
from glidepath.registry.text.problems import did_you_mean

T = TypeVar("T")


@attrs.frozen(eq=False)
class Loaded:
    """A plugin after loading, and what of it is sound.

    plugin: what its entry point names, a module as a rule; None when it did not load.
    hooks: the names of the hooks that it implements.
    """

    record: PluginRecord
    plugin: object = None
    components: tuple[Component, ...] = ()
    kinds: tuple[Kind, ...] = ()
    presets: tuple[Preset, ...] = ()
    commands: tuple[Command, ...] = ()
    hooks: frozenset[str] = frozenset()


def plugin_manager() -> pluggy.PluginManager:
    """A manager that knows our hooks and no plugin."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    return manager


def call(manager: pluggy.PluginManager, plugin: object, hook: str, **arguments: object) -> list[Any]:
    """What one plugin's implementations of a hook return, without None."""
    others = manager.get_plugins() - {plugin}
    results: list[Any] = manager.subset_hook_caller(hook, others)(**arguments)
    return results


def load(
    installed: Iterable[InstalledPlugin],
    switches: Collection[Switch],
    manager: pluggy.PluginManager,
    kinds: Iterable[Kind],
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Loaded], dict[str, Kind]]:
    """Load what no switch refuses, in the order given. Returns the plugins, and `kinds` and theirs by name.

    The module of a refused plugin is not imported, nor is that of one which requires other versions than are
    installed. Plugins are imported in the calling thread.
    The kinds of all plugins come first, so that a plugin may supply parts of a kind that another adds.

    versions: of glidepath and of the distributions with plugins, by name.

    Raises:
        KeyboardInterrupt: with a note that names the plugin and its line.
    """
    with SharedState() as state:
        return _load([_Loading(entry, manager, state) for entry in installed], switches, kinds, versions)


def _load(
    loading: list[_Loading], switches: Collection[Switch], kinds: Iterable[Kind], versions: Mapping[str, str]
) -> tuple[list[Loaded], dict[str, Kind]]:
    requirements: dict[Path, tuple[Requires, ...]] = {}
    modules: dict[int, _Loading] = {}
    for plugin in loading:
        whose = plugin.installed.distribution, plugin.installed.name
        plugin.disabled = next((switch.source for switch in switches if switch.refuses(*whose)), "")
        if not plugin.disabled:
            info = plugin.installed.info
            if info not in requirements:
                requirements[info] = stated_requirements(info, versions)
            plugin.require(requirements[info], versions)
    for plugin in loading:
        if (
            not plugin.disabled
            and not plugin.problems
            and plugin.import_module()
            and plugin.register(modules)
        ):
            modules[id(plugin.plugin)] = plugin
    for plugin in loading:
        plugin.kinds = plugin.ask("kinds", Kind, kind_problems)
    known = _merge_kinds(kinds, loading)
    absent = [plugin.title for plugin in loading if not plugin.registered]
    for plugin in loading:
        plugin.components = plugin.ask(
            "components", Component, lambda item: component_problems(item, known, absent)
        )
        plugin.presets = plugin.ask("presets", Preset, preset_problems)
        plugin.commands = plugin.ask("commands", Command, command_problems)
    owners: dict[tuple[str, ...], str] = {}
    for plugin in loading:
        plugin.components = plugin.first(
            "component", plugin.components, lambda part: f"{part.kind}/{part.name}", owners
        )
        plugin.presets = plugin.first("preset", plugin.presets, lambda preset: preset.name, owners)
        plugin.commands = plugin.first("command", plugin.commands, lambda command: command.name, owners)
    return [plugin.finish() for plugin in loading], known


class _Loading:
    """A plugin on its way to being `Loaded`."""

    def __init__(self, installed: InstalledPlugin, manager: pluggy.PluginManager, state: SharedState) -> None:
        self.installed = installed
        self.manager = manager
        self.state = state
        self.plugin: object = None
        self.registered = False
        self.hooks: frozenset[str] = frozenset()
        self.disabled = ""
        self.requires: tuple[Requires, ...] = ()
        self.problems: list[PluginProblem] = []
        self.warnings: list[str] = []
        self.components: list[Component] = []
        self.kinds: list[Kind] = []
        self.presets: list[Preset] = []
        self.commands: list[Command] = []

    @property
    def title(self) -> str:
        return f"plugin {self.installed.name!r} of {self.installed.distribution}"

    def fail(self, stage: str, error: str, hint: str = "", where: str = "") -> None:
        hint = hint or _authors_hint(self.installed)
        self.problems.append(PluginProblem(stage=stage, error=error, hint=hint, where=where))

    def require(self, requirements: tuple[Requires, ...], versions: Mapping[str, str]) -> None:
        """Hold what the distribution requires against what is installed."""
        self.requires = requirements
        for requires, version in unmet(requirements, versions):
            if requires.name == DISTRIBUTION:
                error = f"it is made for glidepath {requires.versions}, and this is glidepath {version}"
                hint = f"install a version of {self.installed.distribution} for glidepath {version}"
            else:
                error = f"it requires {requires.name} {requires.versions}, and {version} is installed"
                hint = install_remedy(requires.name, requires.versions)
            self.fail("requires", error, hint, str(self.installed.info))

    def import_module(self) -> bool:
        """Import what the entry point names; whether that worked."""
        module = self.installed.module
        without_torch = "torch" not in sys.modules
        try:
            with naming_slow(f"importing the {self.title}", module):
                self.plugin = self.installed.entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end a command that is not its own
            hint = _import_hint(error, self.installed)
            self.fail("import", error_text(error), hint, raised_within(error, module))
            return False
        finally:
            self.put_back(f"importing {module}")
        if without_torch and "torch" in sys.modules:
            self.warnings.append(
                f"{module} imports torch, which costs every command seconds; "
                "import it in the modules that the components' targets name"
            )
        return True

    def put_back(self, cause: str) -> None:
        """Bring the process back to the state that all plugins share, and say what was changed."""
        for change in self.state.put_back():
            self.warnings.append(
                f"{cause} changes {change}, for every command and plugin; it was put back. "
                "A module that a component's target names may do so: it is imported where the part is used"
            )

    def register(self, modules: Mapping[int, _Loading]) -> bool:
        """Make its hooks known. modules: the plugins before it, by the id of what their entry points name."""
        if other := modules.get(id(self.plugin)):
            hint = "one of the two entry points is enough"
            self.fail("register", f"{self.installed.module} is already the {other.title}", hint)
            return False
        known = {name: hook for name, hook in vars(self.manager.hook).items() if hook.has_spec()}
        try:
            self.manager.register(self.plugin, f"{self.installed.distribution}/{self.installed.name}")
        except Exception as error:
            self.fail("register", error_text(error), f"the hooks are {_signatures(known)}")
            return False
        self.registered = True
        callers = self.manager.get_hookcallers(self.plugin) or []
        self.hooks = frozenset(caller.name for caller in callers)
        for caller in callers:
            own = (impl for impl in caller.get_hookimpls() if impl.plugin is self.plugin)
            if not caller.has_spec() and not any(impl.optionalhook for impl in own):
                hint = did_you_mean(caller.name, known) or f"the hooks are {', '.join(sorted(known))}"
                self.fail("register hooks", f"no hook is named {caller.name!r}", hint)
        if "components" not in self.hooks:
            self._report_no_components()
        return True

    def _report_no_components(self) -> None:
        if inspect.isroutine(getattr(self.plugin, "components", None)):
            error = "components() is not marked @hookimpl"
            hint = "write @hookimpl, of glidepath.registry, above its def"
        else:
            error = f"there is no hook components() in {self.installed.module}"
            hint = "the entry point names the module that implements it; one without parts returns ()"
        self.fail("hook components", error, hint)

    def ask(self, hook: str, what: type[T], check: Callable[[object], list[str]]) -> list[T]:
        """The sound items of what a hook returns. A hook that fails supplies nothing."""
        if not self.registered or hook not in self.hooks:
            return []
        stage, module = f"hook {hook}", self.installed.module
        try:
            with naming_slow(f"asking the {self.title} for its {hook}", module):
                results = call(self.manager, self.plugin, hook)
                # a generator runs here, where what it raises is caught
                answers = [list(result) if _is_many(result) else result for result in results]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.fail(stage, f"{hook}() raised {error_text(error)}", where=raised_within(error, module))
            return []
        finally:
            self.put_back(f"its {hook}()")
        items: list[object] = []
        for answer in answers or [None]:  # pluggy leaves out None
            if not _is_many(answer):
                returned = f"{hook}() returned {_shown(answer)}, which is not a list of {what.__name__}"
                self.fail(stage, returned, f"return a list of {what.__name__}")
                return []
            items.extend(answer)
        sound: list[T] = []
        for item in items:
            wrong = check(item)
            for problem in wrong:
                self.fail(stage, problem)
            if isinstance(item, what) and not wrong:
                sound.append(item)
        return sound

    def first(
        self, what: str, items: Iterable[T], name: Callable[[T], str], owners: dict[tuple[str, ...], str]
    ) -> list[T]:
        """The items whose names the distribution had not used yet, in this plugin or in an earlier one."""
        kept = []
        for item in items:
            key = (self.installed.distribution, what, name(item))
            if key in owners:
                self.fail(
                    f"hook {what}s",
                    f"{what} {name(item)!r} is supplied twice; the {owners[key]} has it already",
                    f"a name is given once; report it to the authors of {self.installed.distribution}",
                )
            else:
                owners[key] = self.title
                kept.append(item)
        return kept

    def finish(self) -> Loaded:
        module = None if self.disabled else sys.modules.get(self.installed.module)
        record = PluginRecord(
            name=self.installed.name,
            distribution=self.installed.distribution,
            version=self.installed.version,
            module=self.installed.module,
            file=str(getattr(module, "__file__", None) or self.installed.file),
            disabled=self.disabled,
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
            requires=tuple(map(str, self.requires)),
            components=tuple(f"{component.kind}/{component.name}" for component in self.components),
            kinds=tuple(kind.name for kind in self.kinds),
            presets=tuple(preset.name for preset in self.presets),
            commands=tuple(command.name for command in self.commands),
        )
        return Loaded(
            record,
            self.plugin if self.registered else None,
            tuple(self.components),
            tuple(self.kinds),
            tuple(self.presets),
            tuple(self.commands),
            self.hooks,
        )


def _merge_kinds(core: Iterable[Kind], loading: Sequence[_Loading]) -> dict[str, Kind]:
    """All kinds by name. Two plugins may state the same kind alike; when they differ, none of them has it.

    A slot belongs to one kind only.
    """
    known = {kind.name: kind for kind in core}
    slots = {kind.slot: kind for kind in known.values() if kind.slot}
    claims = [(plugin, kind) for plugin in loading for kind in plugin.kinds]
    for plugin, kind in claims:
        rivals = [
            (f"the {other.title}", rival)
            for other, rival in claims
            if rival != kind and (rival.name == kind.name or (kind.slot and rival.slot == kind.slot))
        ]
        for taken in (known.get(kind.name), slots.get(kind.slot)):
            if taken is not None and taken != kind:
                rivals.append(("glidepath", taken))
        if rivals:
            owner, rival = rivals[0]
            what = f"name {kind.name!r}" if rival.name == kind.name else f"slot {kind.slot!r}"
            plugin.fail(
                "hook kinds",
                f"kind {kind.name!r}: its {what} is also claimed by {owner}, differently",
                "disable one of the two with GLIDEPATH_DISABLE"
                if owner != "glidepath"
                else "choose another name",
            )
            plugin.kinds = [other for other in plugin.kinds if other is not kind]
    return known | {kind.name: kind for plugin in loading for kind in plugin.kinds}


def _is_many(result: object) -> bool:
    return isinstance(result, Iterable) and not isinstance(result, str | bytes | Mapping)


def _import_hint(error: BaseException, plugin: InstalledPlugin) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and is_within(plugin.module, error.name):
        return f"correct the entry point {plugin.name!r} of {plugin.distribution}, and install it again"
    if others := unreadable_metadata(error):
        return others
    if remedy := import_remedy(error, plugin.module, plugin.distribution, plugin.version):
        return remedy
    if isinstance(error, ImportError) and error.name:
        return f"another version of {error.name.partition('.')[0]} may have it"
    if (
        isinstance(error, AttributeError)
        and isinstance(getattr(error, "obj", None), ModuleType)
        and plugin.entry.object_name
    ):
        return f"the entry point names {plugin.module}:{plugin.entry.object_name}"
    return _authors_hint(plugin)


def _authors_hint(plugin: InstalledPlugin) -> str:
    return f"report it to the authors of {plugin.distribution}"


def _signatures(callers: Mapping[str, Any]) -> str:
    """The hooks with their arguments: "checks(kind), components(), ..."."""
    return ", ".join(f"{name}({', '.join(hook.spec.argnames)})" for name, hook in sorted(callers.items()))


def _shown(result: object) -> str:
    """A result in a message: plain values as they are, of others the type."""
    plain = isinstance(result, str | int | float | list | tuple | dict | None)
    return repr(result) if plain else f"one {type(result).__name__}"
