"""The contracts that glidepath states, with this package's own of generators."""

from __future__ import annotations

from collections.abc import Callable

from glidepath.testing import parametrize_with_checks


@parametrize_with_checks("glidepath-families")
def test_contract(check: Callable[[], None]) -> None:
    check()
