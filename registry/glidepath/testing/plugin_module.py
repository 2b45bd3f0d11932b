"""What a plugin's entry module has to be: found, sound, quick to import and without torch.

The last two hold of the modules of its parts' parameters too, which commands import that build nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from functools import cached_property

import attrs

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound
from glidepath.registry.discovery.plugin_record import PluginRecord
from glidepath.testing.check import Check, check, require

LIMIT = 0.3
"""Seconds: every command pays the import of every plugin, and many that of the parameters which they read."""

_TRIES = 5
_PATIENCE = 60.0

# What every command has imported before it comes to a plugin is not the plugin's to answer for.
_IMPORT = """
import sys, time
sys.path[:] = {path!r}
import json, typing, attrs.validators, glidepath.registry.discovery.catalogue, glidepath.registry
from glidepath.registry.describe import component
from glidepath.registry.describe import hooks
before = time.perf_counter(), time.process_time()
__import__({module!r})
after = time.perf_counter(), time.process_time()
print()
print(json.dumps([after[0] - before[0], after[1] - before[1], "torch" in sys.modules]))
"""


class Plugin:
    """An entry point of the distribution under test."""

    def __init__(self, record: PluginRecord, catalogue: Catalogue) -> None:
        self.record = record
        self.catalogue = catalogue

    @property
    def id(self) -> str:
        """ "plugin/NAME"."""
        return f"plugin/{self.record.name}"

    @cached_property
    def imported(self) -> tuple[Imported, ...]:
        """How its module, and each of its parts' parameters, is imported by itself, in fresh processes."""
        return tuple(_fastest(module) for module in (self.record.module, *self._parameters()))

    def _parameters(self) -> list[str]:
        """The modules of its parts' parameters. One that cannot be imported is told of with its part."""
        own = (self.record.distribution, self.record.name)
        modules: dict[str, None] = {}
        for part in self.catalogue.components():
            config = part.component.config
            if (part.distribution, part.plugin) == own and isinstance(config, str):
                with suppress(NotFound):
                    self.catalogue.config_class(part)
                    modules[config.partition(":")[0]] = None
        return list(modules)


@attrs.frozen
class Imported:
    """An import in a fresh process. seconds: by the clock; cpu: of the process itself."""

    module: str
    seconds: float
    cpu: float
    torch: bool
    tries: int = 1


def _fastest(module: str) -> Imported:
    """The fastest of some imports; the first that is within the limit is fast enough."""
    tries: list[Imported] = []
    while len(tries) < _TRIES and not any(attempt.torch or attempt.seconds < LIMIT for attempt in tries):
        tries.append(_import(module))
    best = min(tries, key=lambda attempt: attempt.seconds)
    return attrs.evolve(best, tries=len(tries))


def _import(module: str) -> Imported:
    code = _IMPORT.format(path=sys.path, module=module)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"importing {module} was not done after {_PATIENCE:g} s") from None
    last = done.stderr.strip().rpartition("\n")[2]
    require(done.returncode == 0, f"importing {module} by itself, in a fresh process, failed: {last}")
    seconds, cpu, torch = json.loads(done.stdout.strip().rpartition("\n")[2])
    return Imported(module, seconds, cpu, torch)


@check()
def loads(plugin: Plugin) -> None:
    """The plugin is imported, its hooks are known ones, and all that they return is sound."""
    problems = [
        f"{problem.stage}: {problem.error}" + (f" ({problem.hint})" if problem.hint else "")
        for problem in plugin.record.problems
    ]
    require(not problems, "; ".join(problems))


@check("loads")
def imports_without_torch(plugin: Plugin) -> None:
    """Importing the entry module does not import torch, nor does importing the parameters of its parts."""
    heavy = [imported.module for imported in plugin.imported if imported.torch]
    require(
        not heavy,
        f"{' and '.join(heavy)} {'imports' if len(heavy) == 1 else 'import'} torch; "
        "import it in the modules that the components' targets name",
    )


@check("loads", "imports-without-torch")
def imports_fast(plugin: Plugin) -> None:
    """Importing the entry module, or parameters, takes less than 0.3 s beside what commands import anyway."""
    slow = [
        f"importing {imported.module} took {imported.seconds:.2f} s ({imported.cpu:.2f} s of them computing) "
        f"in the fastest of {imported.tries} fresh processes"
        for imported in plugin.imported
        if imported.seconds >= LIMIT
    ]
    require(not slow, f"{'; '.join(slow)}; commands wait for it, and {LIMIT:g} s is the limit")


CHECKS: tuple[Check, ...] = (loads, imports_without_torch, imports_fast)
