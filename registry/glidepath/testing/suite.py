"""All checks of a distribution: which there are, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from glidepath.registry.describe.hooks import GROUP
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.scan import installed_version
from glidepath.registry.text.problems import did_you_mean, nearest
from glidepath.testing import behaviour_checks, descriptor_checks, plugin_module
from glidepath.testing.check import Check, KitError
from glidepath.testing.kinds import CHECKS
from glidepath.testing.outcome import Outcome, attempt
from glidepath.testing.part import Part
from glidepath.testing.plugin_checks import supplied_checks
from glidepath.testing.plugin_module import Plugin

GENERIC: tuple[Check, ...] = (*descriptor_checks.CHECKS, *behaviour_checks.CHECKS)
"""The checks of every part."""

_PREFIX = "glidepath-"


@attrs.frozen(eq=False)
class Case:
    """A check of one subject. id: "KIND/NAME:check", or "plugin/NAME:check"."""

    subject: Part | Plugin
    check: Check

    @property
    def id(self) -> str:
        """What names it."""
        return f"{self.subject.id}:{self.check.name}"


class Suite:
    """The checks of an installed distribution.

    Args:
        distribution: its name.
        examples: parameters by "KIND/NAME", in place of those of `Component.example`.
        expected_failures: reasons by id.
        catalogue: what is installed, unless the process's own.

    Raises:
        KitError: the distribution is not installed, or has no plugin; or an example or an expected failure
            is for something that it does not have.
    """

    def __init__(
        self,
        distribution: str,
        *,
        examples: Mapping[str, Mapping[str, Any]] | None = None,
        expected_failures: Mapping[str, str] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.distribution = canonical(distribution)
        self.expected_failures = dict(expected_failures or {})
        self._catalogue = load_catalogue() if catalogue is None else catalogue
        self._require_installed(distribution)
        self.cases: Mapping[str, Case] = {case.id: case for case in self._all(examples or {})}
        self._outcomes: dict[str, Outcome] = {}
        for id, reason in self.expected_failures.items():
            if id not in self.cases:
                raise KitError(_unknown(f"no check has the id {id!r}", id, self.cases))
            if not str(reason).strip():
                raise KitError(f"the expected failure {id!r} has no reason; say why it may fail")

    def run(self, case: Case) -> Outcome:
        """What comes of a check; it runs once."""
        outcome = self._run(case)
        reason = self.expected_failures.get(case.id)
        return outcome if reason is None else outcome.expected(reason)

    def outcomes(self) -> Iterable[Outcome]:
        """What comes of each check, in order."""
        return map(self.run, self.cases.values())

    def _run(self, case: Case) -> Outcome:
        if case.id not in self._outcomes:
            before = (self.cases.get(f"{case.subject.id}:{name}") for name in case.check.after)
            stopped = [self._run(other) for other in before if other and self._run(other).stops]
            if stopped:
                self._outcomes[case.id] = _not_after(case.id, stopped[0])
            else:
                self._outcomes[case.id] = attempt(case.id, lambda: case.check.run(case.subject))
        return self._outcomes[case.id]

    def _all(self, examples: Mapping[str, Mapping[str, Any]]) -> Iterable[Case]:
        records = [record for record in self._catalogue.records if record.distribution == self.distribution]
        parts = [
            registered
            for registered in self._catalogue.components()
            if registered.distribution == self.distribution
        ]
        known = [f"{part.component.kind}/{part.component.name}" for part in parts]
        for id in examples:
            if id not in known:
                raise KitError(_unknown(f"there is an example for {id!r}, which is no part of it", id, known))
        for record in records:
            plugin = Plugin(record, self._catalogue)
            yield from (Case(plugin, check) for check in plugin_module.CHECKS)
        for id, registered in zip(known, parts, strict=True):
            part = Part(registered, self._catalogue, examples.get(id))
            own = [*GENERIC, *CHECKS.get(part.component.kind, ())]
            kind = part.component.kind
            added = supplied_checks(kind, self._catalogue, [check.name for check in own])
            yield from (Case(part, check) for check in (*own, *added))

    def _require_installed(self, distribution: str) -> None:
        known = {record.distribution for record in self._catalogue.records}
        if self.distribution in known:
            disabled = [
                record.disabled
                for record in self._catalogue.records
                if record.distribution == self.distribution and record.disabled
            ]
            if disabled:
                raise KitError(f"{distribution} is disabled by {disabled[0]}, and cannot be tested")
            return
        suppliers = {record.name: record.distribution for record in self._catalogue.records}
        raise KitError(
            f"no plugin of a distribution {distribution!r} is installed; "
            + _meant(distribution, known, suppliers)
        )


def _meant(distribution: str, known: Iterable[str], suppliers: Mapping[str, str]) -> str:
    """Which distribution may be meant, by its name or that of a plugin.

    One that is like no other is installed from its folder: on a package index the name may be anybody's.
    """
    if installed_version(distribution):
        return (
            f"it is installed, and no entry point of its is of the group {GROUP}: look in its pyproject.toml "
            f'for [project.entry-points."{GROUP}"], and install it again'
        )
    word = canonical(distribution)
    # the prefix that most plugins' distributions have would make all of them alike
    bare = {name.removeprefix(_PREFIX): name for name in [*known, *suppliers]}
    near = bare.get(nearest(word.removeprefix(_PREFIX), bare), "")
    if not near:
        return "install it first, from its folder: pip install -e ."
    if near in known:
        return f"did you mean {near!r}?"
    return f"did you mean the distribution {suppliers[near]}? (it supplies the plugin {near})"


def _not_after(id: str, before: Outcome) -> Outcome:
    """The outcome of a check that has nothing to add to the one before it."""
    name = before.id.rpartition(":")[2]
    reason = before.reason if before.status == "not applicable" else f"{name} comes first, and fails"
    return Outcome(id, "not applicable", reason, stops=True)


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return f"{what}; {hint}" if hint else what
