"""Sizes as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from glidepath.core.errors import PartError


def sides(size: Sequence[int]) -> str:
    """A size, (H, W), with its width first: (480, 640) is "640x480"."""
    return "x".join(map(str, reversed(size)))


def checked_size(size: Sequence[int]) -> tuple[int, ...]:
    """A size in pixels, (H, W), as a tuple.

    Raises:
        PartError: it is no two whole numbers above 0.
    """
    given = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else ()
    if len(given) != 2 or any(type(side) is not int or side < 1 for side in given):
        raise PartError(f"size is (height, width) in pixels, such as (480, 640), not {size!r}")
    return given


def parse_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT, as people write it, as (H, W).

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if found is None:
        raise ValueError(f"{text!r} is no WIDTHxHEIGHT in pixels, such as 640x480")
    return int(found[2]), int(found[1])
