"""The contracts that glidepath states for schedules, samplers and guidances, and this package for warps."""

from __future__ import annotations

from collections.abc import Callable

from glidepath.testing import parametrize_with_checks


@parametrize_with_checks(
    "glidepath-rectified-flow",
    expected_failures={"guidance/matched-input:effect": "it guides nothing, it lets denoisers read the flow"},
)
def test_contract(check: Callable[[], None]) -> None:
    check()
