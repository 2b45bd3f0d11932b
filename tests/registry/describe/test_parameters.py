"""Parameters in words: types, limits, defaults, and an example of a spec that can be pasted."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, Union

import attrs
import pytest
import yaml
from attrs import validators as v
from hypothesis import example as example_of
from hypothesis import given
from hypothesis import strategies as st

from glidepath.registry.describe.component import Kind, doc, part, parts
from glidepath.registry.describe.parameters import REQUIRED, example, parameters, type_text
from glidepath.registry.text.yaml_text import yaml_block, yaml_text


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


@attrs.frozen
class Inner:
    depth: int = 2


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (int | None, "int | none"),
        (Optional[float], "float | none"),  # noqa: UP045
        (Union[int, str], "int | str"),  # noqa: UP007
        (Literal["old", 2], "'old' | 2"),
        (list[float], "list of float"),
        (tuple[int, ...], "list of int"),
        (tuple[int, str], "list of 2: int, str"),
        (Sequence[int], "list of int"),
        (dict[str, int], "mapping of str to int"),
        (Mapping[str, list[int]], "mapping of str to list of int"),
        (Annotated[int, "unit"], "int"),
        (Any, "anything"),
        (None, "none"),
        (Colour, "'RED' | 'GREEN'"),
        (Inner, "Inner"),
        ("int | Absent", "int | Absent"),
    ],
)
def test_types_are_put_in_words(annotation: Any, text: str) -> None:
    assert type_text(annotation) == text


@pytest.mark.parametrize(
    ("validator", "text"),
    [
        (v.ge(0), ">= 0"),
        ([v.gt(0), v.lt(1.5)], "> 0, < 1.5"),
        (v.and_(v.ge(0), v.le(1)), ">= 0, <= 1"),
        (v.optional(v.ge(1)), ">= 1"),
        (v.in_(["a", "b"]), "one of a, b"),
        (v.min_len(1), "at least 1 long"),
        (v.max_len(3), "at most 3 long"),
        (v.matches_re("[a-z]+"), "matches [a-z]+"),
        (v.deep_iterable(v.ge(0), v.min_len(2)), "each >= 0, at least 2 long"),
        (v.instance_of(int), ""),
        (lambda _self, _attribute, _value: None, ""),
        (None, ""),
    ],
)
def test_limits_are_read_from_the_validators(validator: Any, text: str) -> None:
    config = attrs.make_class("Config", {"x": attrs.field(default=1, validator=validator)})
    assert parameters(config)[0].limits == text


def test_defaults_and_meanings_are_those_of_the_class() -> None:
    @attrs.frozen(kw_only=True)
    class Config:
        width: int = attrs.field(metadata=doc("of the tokens"))
        sizes: list[int] = attrs.Factory(lambda: [1, 2])
        double: int = attrs.Factory(lambda self: 2 * self.width, takes_self=True)
        hidden: int = attrs.field(default=1, metadata={"omegaconf_ignore": True})
        made: int = attrs.field(init=False, default=3)

    width, sizes, double = parameters(Config)
    assert (width.default, width.doc) == (REQUIRED, "of the tokens")
    assert sizes.default == [1, 2]
    assert double.default == "(computed from the others)"


def test_parameters_that_are_parts_say_of_which_kind() -> None:
    @attrs.frozen(kw_only=True)
    class Config:
        tokenizer: None = attrs.field(default=None, metadata=part("tokenizer", "cuts"))
        stages: tuple[()] = attrs.field(default=(), metadata=parts("denoiser", "several"))

    one, many = parameters(Config)
    assert (one.part, one.many, one.type) == ("tokenizer", False, "tokenizer")
    assert (many.part, many.many, many.type) == ("denoiser", True, "list of denoiser")


def test_no_class_has_no_parameters() -> None:
    assert parameters(None) == ()


def test_an_annotation_that_cannot_be_resolved_is_shown_as_written() -> None:
    config = attrs.make_class("Config", {"x": attrs.field(default=1)})
    config.__annotations__ = {"x": "Absent | None"}
    attrs.fields(config)
    assert parameters(config)[0].type in ("none", "Absent | None")


@given(st.floats(allow_nan=False))
@example_of(1e-5)
@example_of(1e22)
@example_of(float("-inf"))
def test_numbers_are_read_by_yaml_as_what_they_are(value: float) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_values_are_read_by_yaml_as_what_they_are(value: Any) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


@pytest.mark.parametrize(
    "word", ["no", "On", "NULL", "y", "true", "1e3", "0x10", "a: b", "- a", "", "#", "'"]
)
def test_words_that_yaml_would_change_are_quoted(word: str) -> None:
    assert yaml.safe_load(yaml_text(word)) == word


@pytest.mark.parametrize(
    ("value", "text"), [(Colour.RED, "RED"), ((1, 2), "[1, 2]"), (Inner(), "{depth: 2}")]
)
def test_other_values_have_a_form_too(value: object, text: str) -> None:
    assert yaml_text(value) == text


def test_a_mapping_over_several_lines_is_the_same_to_yaml() -> None:
    tree = {"sampler": {"use": "ddim", "steps": 5, "more": {}}, "guidance": [{"scale": 1.5}], "a b": "no"}
    text = yaml_block(tree)
    assert yaml.safe_load(text) == tree
    assert text.splitlines()[:2] == ["sampler:", "  use: ddim"]


SLOT = Kind(name="sampler", interface="a.b:C", summary="", slot="walk")
LIST = Kind(name="guidance", interface="a.b:C", summary="", slot="guidance", many=True)
INNER = Kind(name="tokenizer", interface="a.b:C", summary="")


@attrs.frozen(kw_only=True)
class Whole:
    """A bit of everything."""

    steps: int = 50
    mode: Literal["on", "off"] = "on"
    tokenizer: None = attrs.field(default=None, metadata=part("tokenizer", ""))
    several: tuple[()] = attrs.field(default=(), metadata=parts("tokenizer", ""))


def test_an_example_is_a_piece_of_a_spec() -> None:
    text = example(SLOT, "ddim", parameters(Whole), {"tokenizer": ["bpe", "words"]})
    expected = {"use": "ddim", "steps": 50, "mode": "on", "tokenizer": "bpe", "several": []}
    assert yaml.safe_load(text) == {"walk": expected}
    assert "# or words" in text


def test_an_example_for_a_slot_of_several_is_a_list() -> None:
    assert yaml.safe_load(example(LIST, "cfg", parameters(Inner), {})) == {
        "guidance": [{"use": "cfg", "depth": 2}]
    }
    assert yaml.safe_load(example(LIST, "cfg", (), {})) == {"guidance": ["cfg"]}


def test_an_example_without_parameters_is_the_name_alone() -> None:
    assert example(INNER, "acme/words", (), {}) == "tokenizer: acme/words"


def test_an_example_of_a_required_list_of_parts_names_one() -> None:
    config = attrs.make_class("Config", {"several": attrs.field(metadata=parts("tokenizer", ""))})
    text = example(SLOT, "x", parameters(config), {"tokenizer": ["bpe"]})
    assert yaml.safe_load(text) == {"walk": {"use": "x", "several": ["bpe"]}}
