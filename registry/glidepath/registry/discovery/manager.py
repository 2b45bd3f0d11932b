"""The pluggy manager of our hooks: which plugin implements which, and one plugin asked at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

import pluggy

from glidepath.registry.describe import hooks

_MARK = f"{hooks.PROJECT}_impl"
"""What `hookimpl` sets on a function."""


class Hooks(pluggy.PluginManager):
    """A pluggy manager that knows our hooks, and which plugin implements which.

    specifications: modules or objects with the specifications.
    """

    def __init__(self, specifications: Sequence[Any] = (hooks,)) -> None:
        super().__init__(hooks.PROJECT)
        for one in specifications:
            self.add_hookspecs(one)
        self.known = {name: hook for name, hook in vars(self.hook).items() if hook.has_spec()}
        self._implemented: dict[int, dict[str, list[pluggy.HookImpl]]] = {}
        self._marked: Counter[str] = Counter()

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """As pluggy does, without a closer look at what is not marked in a module."""
        if isinstance(plugin, ModuleType) and not hasattr(vars(plugin).get(name), _MARK):
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is not None:
            self._marked[options.get("specname") or name] += 1
        return options

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Take in a plugin, or raise `pluggy.PluginValidationError`."""
        self._marked.clear()
        registered = super().register(plugin, name)
        # from the end, where pluggy puts the latest: all plugins are not looked through for each of them
        self._implemented[id(plugin)] = {
            hook: list(islice((it for it in reversed(self._all(hook)) if it.plugin is plugin), count))
            for hook, count in self._marked.items()
        }
        return registered

    def implemented(self, plugin: object) -> Mapping[str, Sequence[pluggy.HookImpl]]:
        """A plugin's implementations by the hook, in the order in which they are called."""
        return self._implemented.get(id(plugin), {})

    def _all(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        return caller.get_hookimpls()


def plugin_manager() -> Hooks:
    """A manager that knows no plugin."""
    return Hooks()


def call(manager: Hooks, plugin: object, hook: str, **arguments: object) -> list[Any]:
    """What one plugin's implementations of a hook return, its wrappers included.

    None stays in the result, where pluggy drops it: a hook without a `return` is a fault to report.
    """
    mine = manager.implemented(plugin).get(hook, ())
    if any(impl.wrapper or impl.hookwrapper for impl in mine):
        others = [other for other in manager.get_plugins() if other is not plugin]
        results = manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        plain = sum(not (impl.wrapper or impl.hookwrapper) for impl in mine)
        return [*results, *[None] * (plain - len(results))]
    # pluggy's own way, without asking every plugin whether it is this one
    return [impl.function(*(arguments[name] for name in impl.argnames)) for impl in mine]
