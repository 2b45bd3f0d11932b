"""The contracts that glidepath states for conditioners, denoisers and datasets."""

from __future__ import annotations

from collections.abc import Callable

from glidepath.testing import parametrize_with_checks


@parametrize_with_checks("glidepath-palette")
def test_contract(check: Callable[[], None]) -> None:
    check()
