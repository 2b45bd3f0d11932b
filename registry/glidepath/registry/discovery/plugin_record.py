"""What became of each plugin that is installed, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from glidepath.core.errors import GlidepathError

NOT_LOADED = ("scan", "requires", "import", "register")
"""Stages of which a problem means that nothing of the plugin can be used."""


@attrs.frozen(kw_only=True)
class PluginProblem:
    """Why a plugin, or something that it supplies, cannot be used.

    stage: where it came to light: "scan", "requires", "import", "register", "hook components", "target", ...
    error: what is wrong, in one sentence.
    hint: what would put it right.
    where: "file:line" of the cause, where it is known.
    """

    stage: str
    error: str
    hint: str = ""
    where: str = ""


@attrs.frozen(kw_only=True)
class PluginRecord:
    """What became of one entry point of the group `glidepath.plugins`.

    name: the entry point's; "" when a distribution's entry points could not be read at all.
    distribution: canonical (PEP 503) name. version: "" when the metadata does not say.
    module: what the entry point names, "package.module".
    file: the module's file once it is imported; until then the entry_points.txt that names it.
    disabled: which switch keeps it from loading, "" when none does.
    problems: all that is wrong with it, in the order in which it came to light.
    warnings: what its author should know, and what stops nothing.
    requires: which versions of glidepath and of other plugins its distribution asks for, "acme>=0.1".
    missing_extras: parts that cannot be used here because a module is not installed; `examine` fills it.
    components: "kind/name" of each part that it supplies; kinds, presets, commands: the names of those.
    """

    name: str
    distribution: str
    version: str = ""
    module: str = ""
    file: str = ""
    disabled: str = ""
    problems: tuple[PluginProblem, ...] = ()
    warnings: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    missing_extras: tuple[PluginProblem, ...] = ()
    components: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """ "ok", "disabled", or the stage of the first problem."""
        if self.disabled:
            return "disabled"
        return self.problems[0].stage if self.problems else "ok"

    @property
    def error(self) -> str:
        """The first problem, "" when there is none."""
        return self.problems[0].error if self.problems else ""

    @property
    def hint(self) -> str:
        """What would put the first problem right."""
        return self.problems[0].hint if self.problems else ""

    @property
    def works(self) -> bool:
        """Whether it was imported and registered: what of it is sound can be used."""
        return not self.disabled and not any(problem.stage in NOT_LOADED for problem in self.problems)

    @property
    def title(self) -> str:
        """The plugin as messages name it."""
        release = f"{self.distribution} {self.version}".strip()
        return f"plugin {self.name!r} of {release}" if self.name else release


class PluginFailures(GlidepathError):
    """Plugins that are installed do not work, and were asked to (`--strict`)."""

    def __init__(self, records: Iterable[PluginRecord]) -> None:
        self.records = tuple(records)
        lines = [
            f"{record.title}: {problem.stage}: {problem.error}"
            for record in self.records
            for problem in record.problems
        ]
        super().__init__("plugins fail, and --strict was given:\n    " + "\n    ".join(lines))
