"""Ranges of parameters that take several types, which attrs' own validators cannot tell apart."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class WholeAtLeast:
    """Validator: a whole number is at least `bound`. A value of another type, a text say, is let through."""

    bound: int
    compare_op: str = attrs.field(default=">=", init=False)  # by which messages and schemas know the range

    def __call__(self, _instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        """Raises ValueError for a number that is too small."""
        if isinstance(value, int) and value < self.bound:
            raise ValueError(f"{attribute.name} must be at least {self.bound}, got {value}")
