"""The conformance kit: whether the parts of a plugin keep the contracts that specs rely on.

`glidepath test-plugin DISTRIBUTION` runs it; so does pytest, for an author:

    from glidepath.testing import parametrize_with_checks

    @parametrize_with_checks("glidepath-acme")
    def test_contract(check):
        check()

Names are imported when they are first used: a plugin's module may import this package and stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glidepath.testing.author import parametrize_with_checks as parametrize_with_checks
    from glidepath.testing.check import KitError as KitError
    from glidepath.testing.check import NotApplicable as NotApplicable
    from glidepath.testing.check import require as require
    from glidepath.testing.outcome import Outcome as Outcome
    from glidepath.testing.suite import Case as Case
    from glidepath.testing.suite import Suite as Suite
    from glidepath.testing.trial import Trial as Trial

_HOMES = {
    "Case": "suite",
    "KitError": "check",
    "NotApplicable": "check",
    "Outcome": "outcome",
    "Suite": "suite",
    "Trial": "trial",
    "parametrize_with_checks": "author",
    "require": "check",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'glidepath.testing' has no attribute {name!r}")
    return getattr(import_module(f"glidepath.testing.{_HOMES[name]}"), name)
