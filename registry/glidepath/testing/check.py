"""What a check is: a named rule about a part or a plugin, and what it raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from glidepath.core.errors import GlidepathError


class KitError(GlidepathError):
    """The kit was asked for something that is not there: a distribution, the id of a check, an example."""


class NotApplicable(Exception):
    """Raised by a check that has nothing to say of this part; the message says why."""


class CannotRun(NotApplicable):
    """The same, where the checks that come after have nothing to say either."""


def require(condition: bool, message: str) -> None:
    """Fail the check that calls this, unless the condition holds. Unlike `assert` it is never optimised away.

    Raises:
        AssertionError: with the message.
    """
    if not condition:
        raise AssertionError(message)


@attrs.frozen
class Check:
    """One rule.

    name: the last word of its ids, "order-of-convergence".
    about: what it holds, in one line.
    run: takes what is checked, a `Part` or a `Plugin`; raises AssertionError, or `NotApplicable`.
    after: names of checks of the same subject. While one of them fails, this one has nothing to add.
    """

    name: str
    about: str
    run: Callable[[Any], None]
    after: tuple[str, ...] = ()


def check(*after: str) -> Callable[[Callable[[Any], None]], Check]:
    """Make a check of a function, named for it; the first line of its docstring says what it holds."""

    def decorate(function: Callable[[Any], None]) -> Check:
        return Check(
            check_name(function), (function.__doc__ or "").strip().partition("\n")[0], function, after
        )

    return decorate


def check_name(function: Callable[..., Any]) -> str:
    """The name of a check that is a function: its own, with hyphens."""
    return str(getattr(function, "__name__", type(function).__name__)).strip("_").replace("_", "-")
