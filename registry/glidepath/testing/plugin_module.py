"""What a plugin's entry module has to be: found, sound, quick to import and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cached_property

import attrs

from glidepath.registry.catalogue import Catalogue
from glidepath.registry.discovery import PluginRecord
from glidepath.testing.check import Check, check, require

LIMIT = 0.3
"""Seconds: every command pays the import of every plugin."""

_TRIES = 5
_PATIENCE = 60.0

# What every command has imported before it comes to a plugin is not the plugin's to answer for.
_IMPORT = """
import sys, time
sys.path[:] = {path!r}
import json, typing, attrs.validators, glidepath.registry.catalogue, glidepath.registry
from glidepath.registry import component, hooks
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
    def imported(self) -> Imported:
        """How its module is imported by itself, in fresh processes: the fastest of some."""
        tries: list[Imported] = []
        while len(tries) < _TRIES and not any(one.torch or one.seconds < LIMIT for one in tries):
            tries.append(_import(self.record.module))
        best = min(tries, key=lambda one: one.seconds)
        return attrs.evolve(best, tries=len(tries))


@attrs.frozen
class Imported:
    """An import in a fresh process. seconds: by the clock; cpu: of the process itself."""

    seconds: float
    cpu: float
    torch: bool
    tries: int = 1


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
    return Imported(seconds, cpu, torch)


@check()
def loads(plugin: Plugin) -> None:
    """The plugin is imported, its hooks are known ones, and all that they return is sound."""
    faults = [
        f"{fault.stage}: {fault.error}" + (f" ({fault.hint})" if fault.hint else "")
        for fault in plugin.record.faults
    ]
    require(not faults, "; ".join(faults))


@check("loads")
def imports_without_torch(plugin: Plugin) -> None:
    """Importing the entry module does not import torch."""
    require(
        not plugin.imported.torch,
        f"{plugin.record.module} imports torch; import it in the modules that the components' targets name",
    )


@check("loads", "imports-without-torch")
def imports_fast(plugin: Plugin) -> None:
    """Importing the entry module takes less than 0.3 s, beside what every command imports anyway."""
    best = plugin.imported
    require(
        best.seconds < LIMIT,
        f"importing {plugin.record.module} took {best.seconds:.2f} s ({best.cpu:.2f} s of them computing) in "
        f"the fastest of {best.tries} fresh processes; every command waits for it, and {LIMIT:g} s is the "
        "limit",
    )


CHECKS: tuple[Check, ...] = (loads, imports_without_torch, imports_fast)
