"""Defaults of a config class that its own validators refuse."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from attrs.validators import ge, gt, in_

from glidepath.registry.describe.validation import bad_defaults


def found(**fields: Any) -> list[tuple[str, object, str, tuple[str, ...]]]:
    """The bad defaults of a class with these fields."""
    config = attrs.make_class("Config", fields, frozen=True, kw_only=True)
    return [(bad.name, bad.value, bad.why, bad.right) for bad in bad_defaults(config)]


def above_low(instance: Any, _attribute: object, value: float) -> None:
    if value <= instance.low:
        raise ValueError(f"{value:g} is not above low")


def test_a_default_out_of_range_is_told_with_the_range() -> None:
    assert found(scale=attrs.field(default=-1, validator=[ge(0), gt(-5)], type=float)) == [
        ("scale", -1, "which is out of range", (">= 0, > -5",))
    ]


def test_a_default_that_is_none_of_the_values_is_told_with_them() -> None:
    assert found(mode=attrs.field(default="of", validator=in_(["on", "off"]), type=str)) == [
        ("mode", "of", "which is not one of its values", ("on", "off"))
    ]


def test_what_a_validator_of_its_own_says_is_quoted() -> None:
    low, high = (
        attrs.field(default=2.0, type=float),
        attrs.field(default=1.0, validator=above_low, type=float),
    )
    assert found(low=low, high=high) == [("high", 1.0, "of which its validator says: 1 is not above low", ())]


def test_a_default_in_range_is_no_fault() -> None:
    assert (
        found(scale=attrs.field(default=1, validator=ge(0), type=float), name=attrs.field(default="")) == []
    )


def test_a_default_is_judged_after_its_converter() -> None:
    assert found(scale=attrs.field(default="3", converter=int, validator=ge(0), type=int)) == []
    assert found(scale=attrs.field(default="-3", converter=int, validator=ge(0), type=int))[0][1] == -3


def test_a_factory_makes_the_default_that_is_judged() -> None:
    sizes = attrs.field(factory=list, validator=attrs.validators.min_len(1), type=list)
    assert found(sizes=sizes) == [("sizes", [], "which is out of range", ("at least 1 long",))]


@pytest.mark.parametrize(
    "low", [attrs.field(type=float), attrs.field(default=attrs.Factory(lambda it: it.high, takes_self=True))]
)
def test_where_a_validator_looks_at_what_has_no_default_yet_nothing_is_said(low: Any) -> None:
    assert found(low=low, high=attrs.field(default=1.0, validator=above_low, type=float)) == []
