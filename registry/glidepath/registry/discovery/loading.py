"""Plugins imported, registered and asked what they supply, each by itself: one failure costs one plugin."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import attrs

from glidepath.registry.describe.component import Command, Component, Kind, Preset
from glidepath.registry.describe.descriptors import (
    command_faults,
    component_faults,
    kind_faults,
    preset_faults,
)
from glidepath.registry.discovery.imports import (
    described,
    hanging_at,
    import_remedy,
    is_within,
    raised_within,
)
from glidepath.registry.discovery.manager import Hooks, call
from glidepath.registry.discovery.metadata import Requires, stated_requirements, unmet
from glidepath.registry.discovery.patience import Done, Hanging, run_each
from glidepath.registry.discovery.scan import DISTRIBUTION, Fault, Found, PluginRecord, Switch, install_remedy
from glidepath.registry.text.problems import did_you_mean

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that the import of a plugin, or one of its hooks, may take."""

_stuck: dict[str, Hanging] = {}
"""Modules whose import was given up: another attempt would wait for the first."""


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


def load(
    found: Iterable[Found],
    switches: Collection[Switch],
    manager: Hooks,
    kinds: Iterable[Kind],
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
    patience: float = PATIENCE,
) -> tuple[list[Loaded], dict[str, Kind]]:
    """Load what no switch refuses, in the order given. Returns the plugins, and `kinds` and theirs by name.

    The module of a refused plugin is not imported, nor is that of one which requires other versions than are
    installed.
    The kinds of all plugins come first, so that a plugin may supply parts of a kind that another adds.

    versions: of glidepath and of the distributions with plugins, by name.
    patience: seconds that an import or a hook may take; 0 for no limit.
    """
    loading = [_Loading(entry) for entry in found]
    requirements: dict[Path, tuple[Requires, ...]] = {}
    for plugin in loading:
        plugin.disabled = next((switch.source for switch in switches if switch.refuses(plugin.found)), "")
        if not plugin.disabled:
            if plugin.found.info not in requirements:
                requirements[plugin.found.info] = stated_requirements(plugin.found.info, versions)
            plugin.require(requirements[plugin.found.info], versions)
    importing = [plugin for plugin in loading if not plugin.disabled and not plugin.faults]
    for plugin, outcome in zip(
        importing, run_each([plugin.import_module for plugin in importing], patience), strict=True
    ):
        plugin.imported(outcome, patience)
    registered: dict[int, _Loading] = {}
    for plugin in importing:
        if not plugin.faults and plugin.register(manager, registered):
            registered[id(plugin.plugin)] = plugin

    def ask(hook: str, what: type[T], faults: Callable[[object], list[str]]) -> dict[_Loading, list[T]]:
        asked = [plugin for plugin in loading if plugin.registered and hook in plugin.hooks]
        outcomes = run_each([partial(plugin.answers, manager, hook) for plugin in asked], patience)
        return {
            plugin: plugin.sound(hook, what, faults, outcome, patience)
            for plugin, outcome in zip(asked, outcomes, strict=True)
        }

    for plugin, own in ask("kinds", Kind, kind_faults).items():
        plugin.kinds = own
    known = _merge_kinds(kinds, loading)
    absent = [plugin.title for plugin in loading if not plugin.registered]
    for plugin, components in ask(
        "components", Component, lambda item: component_faults(item, known, absent)
    ).items():
        plugin.components = components
    for plugin, presets in ask("presets", Preset, preset_faults).items():
        plugin.presets = presets
    for plugin, commands in ask("commands", Command, command_faults).items():
        plugin.commands = commands
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
        self.hooks: Collection[str] = ()
        self.disabled = ""
        self.requires: tuple[Requires, ...] = ()
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.components: list[Component] = []
        self.kinds: list[Kind] = []
        self.presets: list[Preset] = []
        self.commands: list[Command] = []

    @property
    def title(self) -> str:
        return f"plugin {self.found.name!r} of {self.found.distribution}"

    @property
    def release(self) -> str:
        return f"{self.found.distribution} {self.found.version}".strip()

    def fail(self, stage: str, error: str, hint: str = "", where: str = "") -> None:
        hint = hint or _authors_hint(self.found)
        self.faults.append(Fault(stage=stage, error=error, hint=hint, where=where))

    def require(self, requirements: tuple[Requires, ...], versions: Mapping[str, str]) -> None:
        """Hold what the distribution requires against what is installed."""
        self.requires = requirements
        for requires, version in unmet(requirements, versions):
            if requires.name == DISTRIBUTION:
                error = f"it is made for glidepath {requires.versions}, and this is glidepath {version}"
                hint = f"install a version of {self.found.distribution} for glidepath {version}"
            else:
                error = f"it requires {requires.name} {requires.versions}, and {version} is installed"
                hint = install_remedy(requires.name, requires.versions)
            self.fail("requires", error, hint, str(self.found.info))

    def import_module(self) -> object:
        """What the entry point names; or that an earlier import of it still hangs."""
        if (before := _stuck.get(self.found.module)) and before.thread.is_alive():
            return before
        without_torch = "torch" not in sys.modules
        plugin = self.found.entry.load()
        if without_torch and "torch" in sys.modules:
            self.warnings.append(
                f"{self.found.module} imports torch, which costs every command seconds; "
                "import it in the modules that the components' targets name"
            )
        return plugin

    def imported(self, outcome: Done[object] | Hanging, patience: float) -> None:
        """Take in what came of `import_module`.

        Raises:
            KeyboardInterrupt: as the import did.
        """
        if isinstance(outcome, Done) and isinstance(outcome.value, Hanging):
            outcome = outcome.value
        if isinstance(outcome, Hanging):
            _stuck[self.found.module] = outcome
            self.hangs("import", f"{self.found.module} was not imported", outcome, patience)
        elif isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error
        elif outcome.error is not None:  # SystemExit too: a plugin must not end a command that is not its own
            where, hint = (
                raised_within(outcome.error, self.found.module),
                _import_hint(outcome.error, self.found),
            )
            self.fail("import", described(outcome.error), hint, where)
        else:
            self.plugin = outcome.value

    def hangs(self, stage: str, what: str, outcome: Hanging, patience: float) -> None:
        """A fault of a plugin that is still at it."""
        hint = (
            f"set GLIDEPATH_DISABLE={self.found.name} to do without it; where it is merely slow, "
            f"GLIDEPATH_PATIENCE says how many seconds it may take; report it to the authors of "
            f"{self.found.distribution}"
        )
        where = hanging_at(outcome, self.found.module)
        self.fail(stage, f"it hangs: {what} within {patience:g} s", hint, where)

    def register(self, manager: Hooks, registered: Mapping[int, _Loading]) -> bool:
        """Make its hooks known. registered: the plugins before it, by the id of their modules."""
        if other := registered.get(id(self.plugin)):
            hint = "one of the two entry points is enough"
            self.fail("register", f"{self.found.module} is already the {other.title}", hint)
            return False
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                manager.register(self.plugin, name=f"{self.found.distribution}/{self.found.name}")
        except Exception as error:
            self.fail("register", described(error), f"the hooks are {_signatures(manager)}")
            return False
        self.registered = True
        self.hooks = manager.implemented(self.plugin)
        self.warnings += [f"{it.filename}:{it.lineno}: {it.message}" for it in told]
        self._report_misspelt_hooks(manager)
        return True

    def _report_misspelt_hooks(self, manager: Hooks) -> None:
        known = manager.known
        for name, implementations in manager.implemented(self.plugin).items():
            if name not in known and not any(it.optionalhook for it in implementations):
                hint = did_you_mean(name, known) or f"the hooks are {', '.join(sorted(known))}"
                self.fail("register hooks", f"no hook is named {name!r}", hint)
        if "components" not in self.hooks:
            unmarked = inspect.isroutine(getattr(self.plugin, "components", None))
            self.fail(
                "hook components",
                "components() is not marked @hookimpl"
                if unmarked
                else f"there is no hook components() in {self.found.module}",
                "write @hookimpl, of glidepath.registry, above its def"
                if unmarked
                else "the entry point names the module that implements it; one without parts returns ()",
            )

    def answers(self, manager: Hooks, hook: str) -> list[Any]:
        """What a hook returns, generators run to their ends."""
        return [list(result) if _is_many(result) else result for result in call(manager, self.plugin, hook)]

    def sound(
        self,
        hook: str,
        what: type[T],
        faults: Callable[[object], list[str]],
        outcome: Done[list[Any]] | Hanging,
        patience: float,
    ) -> list[T]:
        """The sound items among the answers of a hook. One that fails supplies nothing."""
        stage = f"hook {hook}"
        if isinstance(outcome, Hanging):
            self.hangs(stage, f"{hook}() did not return", outcome, patience)
            return []
        if isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error
        if outcome.error is not None:
            where = raised_within(outcome.error, self.found.module)
            self.fail(stage, f"{hook}() raised {described(outcome.error)}", where=where)
            return []
        items: list[object] = []
        for result in outcome.value or ():
            if not _is_many(result):
                hint = f"return a list of {what.__name__}"
                self.fail(
                    stage, f"{hook}() returned {_shown(result)}, which is not a list of {what.__name__}", hint
                )
                return []
            items.extend(result)
        kept: list[T] = []
        for item in items:
            wrong = faults(item)
            for fault in wrong:
                self.fail(stage, fault)
            if isinstance(item, what) and not wrong:
                kept.append(item)
        return kept

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
                    f"a name is given once; report it to the authors of {self.found.distribution}",
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
        )

    def _file(self) -> str:
        module = None if self.disabled else sys.modules.get(self.found.module)
        return str(getattr(module, "__file__", None) or self.found.file)


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


def _import_hint(error: BaseException, found: Found) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and is_within(found.module, error.name):
        return (
            f"{found.distribution} names a module that is not there: reinstall it; or, where it is your own, "
            f"correct the entry point {found.name!r} in its pyproject.toml first"
        )
    if remedy := import_remedy(error, found.module, found.distribution, found.version):
        return remedy
    if isinstance(error, ImportError) and error.name:
        return f"another version of {error.name.partition('.')[0]} may have it"
    if (
        isinstance(error, AttributeError)
        and isinstance(getattr(error, "obj", None), ModuleType)
        and found.entry.object_name
    ):
        return f"the entry point names {found.module}:{found.entry.object_name}"
    return _authors_hint(found)


def _authors_hint(found: Found) -> str:
    return f"report it to the authors of {found.distribution}, or set GLIDEPATH_DISABLE={found.name}"


def _signatures(manager: Hooks) -> str:
    """The hooks with their arguments: "checks(kind), components(), ..."."""
    specs = ((name, hook.spec) for name, hook in sorted(manager.known.items()))
    return ", ".join(f"{name}({', '.join(spec.argnames)})" for name, spec in specs)


def _shown(result: object) -> str:
    """A result in a message: plain values as they are, of others the type."""
    plain = isinstance(result, str | int | float | list | tuple | dict | None)
    return repr(result) if plain else f"one {type(result).__name__}"
