"""Plugins imported, registered and asked what they supply, each by itself: one failure costs one plugin."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

import attrs
import pluggy

from glidepath.registry import hooks
from glidepath.registry.component import Command, Component, Kind, Preset
from glidepath.registry.descriptors import command_faults, component_faults, kind_faults, preset_faults
from glidepath.registry.discovery import Fault, Found, PluginRecord, Switch
from glidepath.registry.problems import did_you_mean

T = TypeVar("T")


@attrs.frozen(eq=False)
class Loaded:
    """A plugin after loading, and what of it is sound.

    plugin: what its entry point names, a module as a rule; None when it did not load.
    """

    record: PluginRecord
    plugin: object = None
    components: tuple[Component, ...] = ()
    kinds: tuple[Kind, ...] = ()
    presets: tuple[Preset, ...] = ()
    commands: tuple[Command, ...] = ()


def plugin_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows our hooks and no plugin."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    return manager


def load(
    found: Iterable[Found], switches: Collection[Switch], manager: pluggy.PluginManager, kinds: Iterable[Kind]
) -> tuple[list[Loaded], dict[str, Kind]]:
    """Load what no switch refuses, in the order given. Returns the plugins, and `kinds` and theirs by name.

    The module of a refused plugin is not imported. The kinds of all plugins come first, so that a plugin may
    supply parts of a kind that another adds.
    """
    loading = [_Loading(entry) for entry in found]
    for plugin in loading:
        plugin.disabled = next((switch.source for switch in switches if switch.refuses(plugin.found)), "")
        if not plugin.disabled and plugin.import_module() and plugin.register(manager, loading):
            plugin.kinds = plugin.ask(manager, "kinds", Kind, kind_faults)
    known = _merge_kinds(kinds, loading)
    absent = [plugin.title for plugin in loading if not plugin.registered]
    for plugin in loading:
        if plugin.registered:
            plugin.components = plugin.ask(
                manager, "components", Component, lambda item: component_faults(item, known, absent)
            )
            plugin.presets = plugin.ask(manager, "presets", Preset, preset_faults)
            plugin.commands = plugin.ask(manager, "commands", Command, command_faults)
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

    def __init__(self, found: Found) -> None:
        self.found = found
        self.plugin: object = None
        self.registered = False
        self.disabled = ""
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.components: list[Component] = []
        self.kinds: list[Kind] = []
        self.presets: list[Preset] = []
        self.commands: list[Command] = []

    @property
    def title(self) -> str:
        return f"plugin {self.found.name!r} of {self.found.distribution}"

    def fail(self, stage: str, error: str, hint: str = "", where: str = "") -> None:
        self.faults.append(Fault(stage=stage, error=error, hint=hint, where=where))

    def import_module(self) -> bool:
        without_torch = "torch" not in sys.modules
        try:
            self.plugin = self.found.entry.load()
        except KeyboardInterrupt:
            raise
        except (
            BaseException
        ) as error:  # SystemExit too: a plugin must not end the command that it is not part of
            where, hint = _where(error, self.found.module), _import_hint(error, self.found)
            self.fail("import", _describe(error), hint, where)
            return False
        if without_torch and "torch" in sys.modules:
            self.warnings.append(
                f"{self.found.module} imports torch, which costs every command seconds; "
                "import it in the modules that the components' targets name"
            )
        return True

    def register(self, manager: pluggy.PluginManager, others: Iterable[_Loading]) -> bool:
        for other in others:
            if other is not self and other.registered and other.plugin is self.plugin:
                hint = "one of the two entry points is enough"
                self.fail("register", f"{self.found.module} is already the {other.title}", hint)
                return False
        try:
            manager.register(self.plugin, name=f"{self.found.distribution}/{self.found.name}")
        except Exception as error:
            self.fail(
                "register", _describe(error), "see glidepath.registry.hooks for the hooks and their arguments"
            )
            return False
        self.registered = True
        self._report_misspelt_hooks(manager)
        return True

    def _report_misspelt_hooks(self, manager: pluggy.PluginManager) -> None:
        callers = manager.get_hookcallers(self.plugin) or []
        known = [name for name in vars(manager.hook) if getattr(manager.hook, name).has_spec()]
        implemented = {caller.name for caller in callers}
        for caller in callers:
            optional = any(impl.optionalhook for impl in caller.get_hookimpls() if impl.plugin is self.plugin)
            if not caller.has_spec() and not optional:
                hint = did_you_mean(caller.name, known) or f"the hooks are {', '.join(sorted(known))}"
                self.fail("register hooks", f"no hook is named {caller.name!r}", hint)
        if "components" not in implemented:
            unmarked = inspect.isroutine(getattr(self.plugin, "components", None))
            self.fail(
                "hook components",
                "components() is not marked @hookimpl" if unmarked else "there is no hook components()",
                "write: from glidepath.registry import hookimpl"
                if unmarked
                else "every plugin implements it; one without parts returns ()",
            )

    def ask(
        self, manager: pluggy.PluginManager, hook: str, what: type[T], faults: Callable[[object], list[str]]
    ) -> list[T]:
        """The sound items that a hook returns. A hook that fails supplies nothing."""
        stage = f"hook {hook}"
        items: list[object] = []
        try:
            for result in call(manager, self.plugin, hook):
                if (
                    result is None
                    or isinstance(result, str | bytes | Mapping)
                    or not isinstance(result, Iterable)
                ):
                    hint = f"return a list of {what.__name__}"
                    self.fail(
                        stage, f"{hook}() returned {result!r}, which is not a list of {what.__name__}", hint
                    )
                    return []
                items.extend(result)  # a generator runs here
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            where = _where(error, self.found.module)
            self.fail(stage, f"{hook}() raised {_describe(error)}", where=where)
            return []
        sound: list[T] = []
        for item in items:
            wrong = faults(item)
            for fault in wrong:
                self.fail(stage, fault)
            if isinstance(item, what) and not wrong:
                sound.append(item)
        return sound

    def first(
        self, what: str, items: Iterable[T], name: Callable[[T], str], owners: dict[tuple[str, ...], str]
    ) -> list[T]:
        """The items whose names the distribution had not used yet, in this plugin or in an earlier one."""
        kept = []
        for item in items:
            key = (self.found.distribution, what, name(item))
            if key in owners:
                self.fail(
                    f"hook {what}s",
                    f"{what} {name(item)!r} is supplied twice; the {owners[key]} has it already",
                )
            else:
                owners[key] = self.title
                kept.append(item)
        return kept

    def finish(self) -> Loaded:
        record = PluginRecord(
            name=self.found.name,
            distribution=self.found.distribution,
            version=self.found.version,
            module=self.found.module,
            file=self._file(),
            disabled=self.disabled,
            faults=tuple(self.faults),
            warnings=tuple(self.warnings),
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
        )

    def _file(self) -> str:
        module = None if self.disabled else sys.modules.get(self.found.module)
        return str(getattr(module, "__file__", None) or self.found.file)


def call(manager: pluggy.PluginManager, plugin: object, hook: str, **arguments: object) -> list[Any]:
    """What one plugin's implementations of a hook return, its wrappers included.

    None stays in the result, where pluggy drops it: a hook without a `return` is a fault to report.
    """
    others = [other for other in manager.get_plugins() if other is not plugin]
    caller = manager.subset_hook_caller(hook, remove_plugins=others)
    mine = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
    if not mine:
        return []
    results = caller(**arguments)
    plain = sum(not (impl.wrapper or impl.hookwrapper) for impl in mine)
    return [*results, *[None] * (plain - len(results))]


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


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(error: BaseException, module: str) -> str:
    """ "file:line" of the innermost frame that is the plugin's own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    package = module.rpartition(".")[0] or module
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _within(str(frame.f_globals.get("__name__", "")), package)
    ]
    return places[-1] if places else ""


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _import_hint(error: BaseException, found: Found) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        if _within(found.module, error.name):
            return f"{found.distribution} names a module that is not there; reinstall it"
        return (
            f"pip install {error.name.partition('.')[0]}, if that is the name of the package that supplies it"
        )
    if isinstance(error, ImportError) and error.name:
        return f"another version of {error.name.partition('.')[0]} may have it"
    if (
        isinstance(error, AttributeError)
        and isinstance(getattr(error, "obj", None), ModuleType)
        and found.entry.object_name
    ):
        return f"the entry point names {found.module}:{found.entry.object_name}"
    return f"report it to the authors of {found.distribution}, or set GLIDEPATH_DISABLE={found.name}"
