"""What is raised over a name that stands for nothing that can be used."""

from __future__ import annotations

from collections.abc import Sequence

from glidepath.core.errors import GlidepathError


class Unknown(GlidepathError):
    """A name that stands for nothing that can be used.

    what: the fault, without its place.
    hint: what may be meant, or what would help.
    allowed: the names that serve.
    """

    def __init__(self, what: str, hint: str = "", allowed: Sequence[str] = ()) -> None:
        self.what = what
        self.hint = hint
        self.allowed = tuple(allowed)
        lines = [what, hint, f"allowed: {', '.join(self.allowed)}" if self.allowed else ""]
        super().__init__("\n    ".join(line for line in lines if line))
