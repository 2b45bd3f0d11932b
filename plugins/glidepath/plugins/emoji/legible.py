"""Which emoji are pictures of things at 32 x 32 pixels; the others are left out of the table."""

from __future__ import annotations

import re
from typing import Final

_NO_THINGS: Final = frozenset({"Flags", "Component", "Symbols"})
_CLOCK: Final = re.compile(r"\b(o clock|thirty)$")

#: Groups whose people do something: their skin tones are many pictures that differ little.
_ROLES: Final = re.compile(r"person-")


def is_legible(name: str, category: str, group: str) -> bool:
    """Whether the thing can be told at a small size: no flags, signs with letters, families or clock faces.

    People who face right are mirror images of others, and left out too.
    """
    if group == "geometric":
        return "button" not in name and "dot" not in name
    if category in _NO_THINGS or group == "family":
        return False
    return not (name.endswith("facing right") or _CLOCK.search(name))


def is_role(group: str) -> bool:
    """Whether a group is of people in roles, sports and gestures, rather than of hands, ears and ages."""
    return _ROLES.match(group) is not None
