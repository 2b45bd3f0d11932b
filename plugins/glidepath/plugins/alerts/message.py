"""What an alert says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from glidepath.core import GlidepathError


class Undelivered(GlidepathError):
    """A message was not taken. The text names no address: it may be secret."""


@attrs.frozen(kw_only=True)
class Message:
    """A message to a person.

    condition: what it is about, as `AlertConfig.tell` has it; "step", "metric" or "test" besides.
    key: messages of one key say the same.
    title: one line. body: what is known; may be empty.
    data: the same for a program.
    """

    condition: str
    key: str
    title: str
    body: str = ""
    severity: Literal["info", "success", "warning", "failure"] = "info"
    data: Mapping[str, Any] = MappingProxyType({})

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.title}\n{self.body}" if self.body else self.title
