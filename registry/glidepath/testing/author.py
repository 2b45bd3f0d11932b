"""The kit in an author's own tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from glidepath.testing.check import KitError
from glidepath.testing.suite import Case, Suite

Test = TypeVar("Test", bound=Callable[..., Any])


def parametrize_with_checks(
    distribution: str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    examples: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[Test], Test]:
    """A pytest decorator: a test with the parameter `check` runs once for each check of a distribution.

        @parametrize_with_checks(
            "glidepath-acme",
            expected_failures={"guidance/acme:neutral": "it sharpens, at every setting"},
        )
        def test_contract(check):
            check()

    distribution: an installed one; `pip install -e .` will do.
    expected_failures: reasons by the ids of checks, "KIND/NAME:check". Strict: one that passes is a failure.
    examples: parameters by "KIND/NAME", as a spec would write them, in place of `Component.example`; for
        what the descriptor cannot say, such as a file that only the tests have.

    Raises:
        KitError: pytest or the distribution is not installed, an id is unknown, or a reason is missing.
    """
    try:
        import pytest
    except ImportError as error:
        raise KitError(
            "parametrize_with_checks needs pytest: pip install pytest (`glidepath test-plugin` does without)"
        ) from error
    suite = Suite(distribution, examples=examples, expected_failures=expected_failures)
    parameters = [pytest.param(_Bound(suite, case), id=case.id) for case in suite.cases.values()]
    return pytest.mark.parametrize("check", parameters)


class _Bound:
    """A check, ready to be called by a test."""

    def __init__(self, suite: Suite, case: Case) -> None:
        self._suite = suite
        self._case = case

    def __call__(self) -> None:
        """Run it: fails, is skipped, or fails as expected, with the reason."""
        import pytest

        outcome = self._suite.run(self._case)
        if outcome.is_fault:
            pytest.fail(f"{outcome.id}: {outcome.reason}", pytrace=False)
        if outcome.status == "not applicable":
            pytest.skip(outcome.reason)
        if outcome.status == "expected failure":
            pytest.xfail(outcome.reason)

    def __repr__(self) -> str:
        return f"<check {self._case.id}: {self._case.check.about}>"
