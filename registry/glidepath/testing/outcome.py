"""What came of a check."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Literal

import attrs

from glidepath.testing.check import CannotRun, NotApplicable

Status = Literal["ok", "failed", "expected failure", "unexpectedly passed", "not applicable"]


@attrs.frozen
class Outcome:
    """What came of a check.

    id: "KIND/NAME:check". reason: why it failed, was expected to, or does not apply; "" for "ok".
    stops: whether the checks that come after this one have nothing to add.
    """

    id: str
    status: Status
    reason: str = ""
    stops: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether the distribution does not pass because of it."""
        return self.status in ("failed", "unexpectedly passed")

    def expected(self, reason: str) -> Outcome:
        """The outcome of a check that was expected to fail, for a reason."""
        if self.status == "failed":
            return attrs.evolve(self, status="expected failure", reason=reason)
        if self.status == "ok":
            reason = f"it was expected to fail ({reason}); take it out of the expected failures"
            return attrs.evolve(self, status="unexpectedly passed", reason=reason)
        return self

    def __str__(self) -> str:
        return f"{self.id}: {self.status}" + (f": {self.reason}" if self.reason else "")


def attempt(id: str, run: Callable[[], None]) -> Outcome:
    """Run a check and say what came of it. Whatever it raises is a failure, but for an interrupt."""
    try:
        run()
    except NotApplicable as reason:
        return Outcome(id, "not applicable", str(reason), stops=isinstance(reason, CannotRun))
    except AssertionError as error:
        message = str(error) or f"an assertion failed at {_place(error)}"
        return Outcome(id, "failed", message, stops=True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Outcome(id, "failed", f"{message}{notes} (at {_place(error)})", stops=True)
    return Outcome(id, "ok")


def _place(error: BaseException) -> str:
    """Where it was raised: the innermost frame that is no module of torch's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}torch{os.sep}" not in frame.filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "an unknown place"
