"""Values typed by the annotations of a config class."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import attrs
import pytest
from attrs.validators import (
    deep_iterable,
    ge,
    gt,
    in_,
    instance_of,
    le,
    lt,
    matches_re,
    max_len,
    min_len,
    optional,
)
from omegaconf import OmegaConf

from glidepath.registry.describe.component import doc
from glidepath.registry.spec.config import ConfigReader
from glidepath.registry.spec.typed import FAILED
from glidepath.registry.text.problems import Problem, Problems
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import MappingNode
from glidepath.registry.text.yaml_tree import read_tree


class Colour(enum.Enum):
    """Members differ from their values."""

    RED = "r"
    GREEN = "g"


class Level(enum.IntEnum):
    """Members whose values are numbers."""

    LOW = 1
    HIGH = 2


@attrs.frozen(kw_only=True)
class Inner:
    """A class inside another."""

    n: int = attrs.field(default=1, validator=ge(0))
    name: str = "x"


@attrs.frozen
class Result:
    """What became of a text."""

    value: Any
    problems: Sequence[Problem]

    @property
    def what(self) -> str:
        assert len(self.problems) == 1, [problem.what for problem in self.problems]
        return self.problems[0].what


def read(config: type[Any], text: str, *, folder: Path | None = None, override: bool = False) -> Result:
    faults = Problems(["t"])
    node = read_tree(Source("t", folder, text, override=override), faults)
    assert isinstance(node, MappingNode)
    value = ConfigReader(faults).read(config, node, "part", "part p").value
    assert (value is FAILED) <= bool(len(faults))
    return Result(value, faults.sorted())


def one(
    annotation: Any, written: str, *, folder: Path | None = None, override: bool = False, **options: Any
) -> Result:
    """The parameter `x` of an annotation, read from a text."""
    config = attrs.make_class("C", {"x": attrs.field(type=annotation, **options)}, frozen=True, kw_only=True)
    result = read(config, f"{{x: {written}}}", folder=folder, override=override)
    return attrs.evolve(result, value=getattr(result.value, "x", FAILED))


SPACING = int | str | tuple[int, ...]


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (int, "3", 3),
        (int, "-3", -3),
        (int, "0x10", 16),
        (int, "1_000", 1000),
        (int, "0x1_f", 31),
        *((str, odd, odd) for odd in ("1_", "1__0", "0_e0", "0x_1", "0x1_", "0b1__0", "1_.5", "1._5")),
        (float, "3", 3.0),
        (float, "1e-4", 1e-4),
        (bool, "true", True),
        (bool, "off", False),
        (str, "abc", "abc"),
        (str, "'3'", "3"),
        (str, "''", ""),
        (str, "'$x {} ???x'", "$x {} ???x"),
        (type(None), "null", None),
        (int | None, "null", None),
        (int | None, "3", 3),
        (Optional[str], "~", None),  # noqa: UP045
        (Union[int, str], "3", 3),  # noqa: UP007
        (Any, "[1, {a: no}]", [1, {"a": False}]),
        (object, "x", "x"),
        (Annotated[int, "of things"], "3", 3),
        (Annotated[int | None, "of things"], "null", None),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2, "a"], "2", 2),
        (Literal["no", "yes"], "'no'", "no"),
        (Literal[True, "auto"], "true", True),
        (Literal[None, "a"], "null", None),
        (Colour, "RED", Colour.RED),
        (Level, "HIGH", Level.HIGH),
        (Colour | None, "null", None),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (tuple[int, ...], "[]", ()),
        (tuple[float, ...], "[1, 2.5]", (1.0, 2.5)),
        (tuple[int, str], "[1, a]", (1, "a")),
        (tuple[tuple[int, int], ...], "[[1, 2], [3, 4]]", ((1, 2), (3, 4))),
        (tuple[Inner, ...], "[{n: 2}, {name: y}]", (Inner(n=2), Inner(name="y"))),
        (list[int], "[1, 2]", [1, 2]),
        (tuple, "[1, a]", (1, "a")),
        (list, "[1, a]", [1, "a"]),
        (dict, "{a: 1}", {"a": 1}),
        (Sequence[int], "[1, 2]", (1, 2)),
        (dict[str, float], "{a: 1, b: 2.5}", {"a": 1.0, "b": 2.5}),
        (dict[str, Inner], "{a: {n: 2}}", {"a": Inner(n=2)}),
        (dict[str, tuple[int, ...]], "{a: [1]}", {"a": (1,)}),
        (Inner, "{n: 3}", Inner(n=3)),
        (Inner | None, "null", None),
        (Inner | None, "{n: 3}", Inner(n=3)),
        (SPACING, "50", 50),
        (SPACING, "fast27", "fast27"),
        (SPACING, "'10,10,5'", "10,10,5"),
        (SPACING, "'50'", "50"),
        (SPACING, "[0, 10]", (0, 10)),
        (int | str | Sequence[int], "[0, 10]", (0, 10)),
        (float | str, "2", 2.0),
        (int | float, "2", 2),
        (int | float, "2.0", 2.0),
        (str | int, "2", 2),
        (bool | int, "true", True),
        (Literal["auto"] | bool, "auto", "auto"),
        (Literal["auto"] | bool, "false", False),
        (Literal["auto"] | int, "3", 3),
        (Literal["auto"] | str, "auto", "auto"),
        (Colour | str, "RED", Colour.RED),
        (Colour | str, "other", "other"),
        (float | tuple[float, ...] | None, "[1]", (1.0,)),
        (tuple[int, ...] | tuple[str, ...], "[a]", ("a",)),
        (Annotated[int, "n"] | str, "3", 3),
        (dict[str, int] | Inner, "{n: 3}", {"n": 3}),
        (Any | None, "[1]", [1]),
    ],
)  # fmt: skip
def test_a_value_becomes_what_its_annotation_says(annotation: Any, written: str, value: object) -> None:
    result = one(annotation, written)
    assert result.problems == []
    assert result.value == value
    assert type(result.value) is type(value)


@pytest.mark.parametrize(
    ("annotation", "written", "what"),
    [
        (int, "a", "x takes int, and 'a' is text"),
        (int, "'3'", "x takes int, and '3' is text"),
        (int, "1.5", "x takes int, and 1.5 is a number"),
        (int, "true", "x takes int, and true is a truth value"),
        (int, "null", "x takes int, and null is null"),
        (int, "", "x takes int, and this is null"),
        (int, "[3]", "x takes int, and this is a list"),
        (int, "{a: 3}", "x takes int, and this is a mapping"),
        (int, "089", "x takes int, and '089' is text"),
        (float, "a", "x takes float, and 'a' is text"),
        (float, "true", "x takes float, and true is a truth value"),
        (float, ".nan", "x is .nan, which nothing can be computed with"),
        (float, ".inf", "x is .inf, which nothing can be computed with"),
        (float, "-.Inf", "x is -.Inf, which nothing can be computed with"),
        (float, "1e400", "x is 1e400, which nothing can be computed with"),
        (float, "1e39", "x is 1e39, which float32 cannot hold: it ends at 3.4e+38"),
        (float, "-4e38", "x is -4e38, which float32 cannot hold: it ends at 3.4e+38"),
        (float, "'.inf'", "x takes float, and '.inf' is text"),
        (float | None, ".inf", "x is .inf, which nothing can be computed with"),
        (tuple[float, ...], "[1, .inf]", "x is .inf, which nothing can be computed with"),
        (dict[str, float], "{a: 1e39}", "x is 1e39, which float32 cannot hold: it ends at 3.4e+38"),
        (float, "9" * 350, f"x is {'9' * 350}, which nothing can be computed with"),
        (float, "012", "x: 012 is octal in YAML, which is 10"),
        (float, "1:30", "x: 1:30 is a number in base 60 in YAML, which is 90"),
        (bool, "1", "x takes bool, and 1 is a number"),
        (bool, "'true'", "x takes bool, and 'true' is text"),
        (str, "null", "x takes str, and null is null"),
        (str, "no", "x takes text, and no without quotes is the truth value false in YAML"),
        (type(None), "3", "x takes none, and 3 is a number"),
        (Literal["a", "b"], "c", "x cannot be 'c'"),
        (Literal["a", "b"], "3", "x cannot be 3"),
        (Literal["a", "b"], "[a]", "x takes 'a' | 'b', and this is a list"),
        (Literal["no", "yes"], "no", "x takes text, and no without quotes is the truth value false in YAML"),
        (Literal[1, 2], "true", "x cannot be true"),
        (Literal[1, 2], "'1'", "x cannot be '1'"),
        (Colour, "BLUE", "x cannot be 'BLUE'"),
        (Level, "3", "x cannot be 3"),
        (tuple[int, ...], "3", "x takes list of int, and 3 is a number"),
        (tuple[int, int], "[1]", "x takes 2 entries, and this has 1"),
        (dict[str, int], "[1]", "x takes mapping of str to int, and this is a list"),
        (dict[str, int], "{a: b}", "x takes mapping of str to int, and 'b' is text"),
        (Inner, "3", "x takes Inner, and 3 is a number"),
        (Inner, "{m: 3}", "x has no parameter 'm'"),
        (Inner, "{n: -3}", "n is -3, which is out of range"),
        (SPACING, "1.5", "x takes int | str | list of int, and 1.5 is a number"),
        (SPACING, "10.0", "x takes a whole number, and 10.0 is written as a fraction"),
        (SPACING, "no", "x takes text, and no without quotes is the truth value false in YAML"),
        (SPACING, "012", "x: 012 is octal in YAML, which is 10"),
        (SPACING, "12:30", "x: 12:30 is a number in base 60 in YAML, which is 750"),
        (SPACING, "null", "x takes int | str | list of int, and null is null"),
        (SPACING, "[1, a]", "x takes int | str | list of int, and 'a' is text"),
        (SPACING, "{a: 1}", "x takes int | str | list of int, and this is a mapping"),
        (Literal["auto"] | bool, "autos", "x cannot be 'autos'"),
        (Literal["auto"] | bool, "3", "x takes 'auto' | bool, and 3 is a number"),
        (Literal["no"] | int, "no", "x takes text, and no without quotes is the truth value false in YAML"),
        (tuple[int, ...] | tuple[bool, ...], "[a]", "x takes list of int | list of bool, and 'a' is text"),
        (complex, "3", "x is complex, which no spec can write"),
        (frozenset[int], "3", "x is frozenset, which no spec can write"),
        (frozenset[int], "[3]", "x takes frozenset, and this is a list"),
    ],
)  # fmt: skip
def test_a_value_that_its_annotation_does_not_take_is_a_fault(
    annotation: Any, written: str, what: str
) -> None:
    result = one(annotation, written)
    assert result.what == what
    assert result.value is FAILED
    assert result.problems[0].path.startswith("part.x")


@pytest.mark.parametrize("written", [".inf", "Infinity", "'.inf'", "1e400", "3.4e38"])
@pytest.mark.parametrize(
    "options", [{"default": math.inf}, {"metadata": doc("a bound", unbounded=True)}], ids=["default", "doc"]
)
def test_a_bound_that_may_bound_nothing_may_be_infinite(written: str, options: dict[str, Any]) -> None:
    assert one(float, written, **options).value == float(written.strip("'").lstrip("."))
    assert one(float, "1e39", **options).value is FAILED
    assert one(float, ".nan", **options).value is FAILED


def test_every_entry_of_a_list_that_is_wrong_is_found() -> None:
    result = one(tuple[int, ...], "[1, a, 2.5, 3, no]")
    assert [(problem.path, problem.place.column) for problem in result.problems if problem.place] == [
        ("part.x[1]", 9),
        ("part.x[2]", 12),
        ("part.x[4]", 20),
    ]


@pytest.mark.parametrize(
    ("annotation", "written", "hint"),
    [
        (int, "'3'", "write it without quotes: 3"),
        (float, "'0.5'", "write it without quotes: 0.5"),
        (int, "1e3", "write 1000"),
        (int | str, "10.0", "write 10"),
        (int | str, "1e1", "write 10"),
        (int | tuple[int, ...] | None, "10.0", "write 10"),
        (tuple[int, ...], "3", "write [3]"),
        (tuple[int, ...], "null", "write []"),
        (bool, "maybe", "x: a thing"),
        (int, "many", "x: a thing"),
        (Literal["fast", "slow"], "fsat", "did you mean 'fast'?"),
    ],
)
def test_what_would_be_right_is_suggested(annotation: Any, written: str, hint: str) -> None:
    assert one(annotation, written, metadata=doc("a thing")).problems[0].hint == hint


@pytest.mark.parametrize(
    ("annotation", "written", "allowed"),
    [
        (bool, "maybe", ("true", "false")),
        (Literal["a", 3], "b", ("a", "3")),
        (Colour, "b", ("RED", "GREEN")),
        (Literal["auto"] | bool | float, "b", ("auto", "true", "false", "float")),
    ],
)
def test_what_is_allowed_is_listed(annotation: Any, written: str, allowed: tuple[str, ...]) -> None:
    assert one(annotation, written).problems[0].allowed == allowed


@pytest.mark.parametrize(
    ("annotation", "validator", "written", "what", "allowed"),
    [
        (float, [gt(0), lt(1)], "1", "x is 1, which is out of range", ("> 0, < 1",)),
        (int, optional(ge(0)), "-1", "x is -1, which is out of range", (">= 0",)),
        (int, in_([1, 2]), "3", "x is 3, which is not one of its values", ("1", "2")),
        (str, in_(["fast", "slow"]), "fsat", "x is fsat, which is not one of its values", ("fast", "slow")),
        (int, [ge(0), in_([1, 2])], "3", "x is 3, which is not one of its values", ("1", "2")),
        (tuple[int, ...], [min_len(1), max_len(2)], "[]", "x is [], which is out of range",
         ("at least 1 long, at most 2 long",)),
        (tuple[int, ...], deep_iterable(le(4)), "[9]", "x is [9], which is out of range", ("each <= 4",)),
        (str, matches_re("a+"), "b", "x is b, which is out of range", ("matches a+",)),
        (Any, instance_of(int), "b", "x is b: 'x' must be", ()),
    ],
)  # fmt: skip
def test_what_a_validator_refuses_is_shown_its_limits(
    annotation: Any, validator: Any, written: str, what: str, allowed: tuple[str, ...]
) -> None:
    result = one(annotation, written, validator=validator)
    assert result.what.startswith(what)
    assert result.problems[0].allowed == allowed
    assert result.problems[0].path == "part.x"


@attrs.frozen(kw_only=True)
class Pair:
    """Validators that look at the other field, and a constructor that refuses."""

    low: int = attrs.field(default=0, validator=ge(0))
    high: int = attrs.field(default=10)
    name: str = attrs.field(default="a", converter=str.upper, validator=in_(["A", "B"]))

    @high.validator
    def _above(self, _attribute: object, value: int) -> None:
        if value < self.low:
            raise ValueError(f"must be at least low, {self.low}")

    def __attrs_post_init__(self) -> None:
        if self.high == 99:
            raise RuntimeError("99 will not do")


def test_every_validator_is_asked() -> None:
    result = read(Pair, "{low: -1, high: -2, name: c, nam: b}")
    assert [problem.what for problem in result.problems] == [
        "low is -1, which is out of range",
        "high is -2: must be at least low, -1",
        "name is c, which is not one of its values",
        "part p has no parameter 'nam'",
    ]


def test_validators_are_asked_beside_wrong_types() -> None:
    result = read(Pair, "{low: x, name: c}")
    assert [problem.path for problem in result.problems] == ["part.low", "part.name"]


def test_a_constructor_that_refuses_is_a_fault_of_the_part() -> None:
    result = read(Pair, "{high: 99}")
    assert (result.what, result.problems[0].path) == ("part p: 99 will not do", "part")


def test_converters_run() -> None:
    assert read(Pair, "{name: b}").value == Pair(name="b")
    assert read(Pair, "{name: b}").value.name == "B"


def test_a_converter_that_fails_is_a_fault() -> None:
    result = one(str, "abc", converter=int)
    assert result.what.startswith("part p: invalid literal for int()")


def test_a_converter_that_takes_the_instance_runs() -> None:
    convert = attrs.Converter(lambda value, instance: value + 1, takes_self=True)  # type: ignore[call-overload]
    assert one(int, "1", converter=convert).value == 2
    assert one(int, "1", converter=convert, validator=ge(5)).what == "x is 1, which is out of range"


@attrs.frozen(kw_only=True)
class Fields:
    """Fields of unusual sorts."""

    needed: int = attrs.field(metadata=doc("how many"))
    _private: int = 1
    items: int = 2
    computed: int = attrs.field(init=False, default=7)
    hidden: object = attrs.field(default=None, metadata={"omegaconf_ignore": True})
    made: int = attrs.field()
    fresh: dict[str, int] = attrs.field(factory=dict)

    @made.default
    def _make(self) -> int:
        return self.needed + 1


def test_a_parameter_without_a_default_is_needed() -> None:
    result = read(Fields, "{items: 1}")
    assert result.what == "part p needs 'needed', which has no default"
    assert result.problems[0].hint == "needed takes int: how many"
    assert result.problems[0].path == "part.needed"


def test_unusual_fields_work() -> None:
    result = read(Fields, "{needed: 1, private: 2, items: 3, fresh: {a: 1}}")
    assert result.problems == []
    assert result.value == Fields(needed=1, private=2, items=3, fresh={"a": 1})
    assert result.value.made == 2


@pytest.mark.parametrize("key", ["computed", "hidden", "_private"])
def test_what_is_no_parameter_cannot_be_set(key: str) -> None:
    assert read(Fields, f"{{needed: 1, {key}: 2}}").what == f"part p has no parameter '{key}'"


def test_an_annotation_that_cannot_be_resolved_is_the_plugins_fault() -> None:
    config = attrs.make_class("C", {"x": attrs.field(type="NoSuchThing", default=1)})  # type: ignore[arg-type]
    result = read(config, "{x: 1}")
    assert result.what.startswith("the parameters of part p cannot be read: NameError")
    assert result.problems[0].hint == "it is a fault of the plugin"


def test_a_path_is_relative_to_the_folder_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert one(Path, "a/b.txt", folder=Path("deep")).value == tmp_path / "deep" / "a" / "b.txt"
    assert one(Path | None, "../b.txt", folder=tmp_path / "deep").value == tmp_path / "b.txt"
    assert one(Path, "/b.txt", folder=Path("deep")).value == Path("/b.txt")
    assert one(Path, "'12'", folder=tmp_path).value == tmp_path / "12"
    assert (
        one(Path, "12", folder=tmp_path).what
        == "x takes text, and 12 without quotes is the number 12 in YAML"
    )
    assert one(Path, "x").what == "a spec without a folder may name no file"
    assert one(Path, "''", folder=tmp_path).what == "'' is not the name of a file"
    assert one(Path, '"a\\0b"', folder=tmp_path).what == "'a\\x00b' is not the name of a file"


@pytest.mark.parametrize("written", ["no", "012", "1.10", "12:30"])
def test_any_word_of_an_override_is_text_for_a_field_of_text(written: str) -> None:
    assert one(str, written, override=True).value == written
    assert one(Literal["no", "012", "1.10", "12:30"], written, override=True).value == written  # type: ignore[arg-type]
    assert one(Path, written, folder=Path(), override=True).value == Path(written).absolute()
    assert one(tuple[str, ...], f"[{written}]", override=True).value == (written,)
    assert one(str | None, written, override=True).value == written
    assert one(bool | str, written, override=True).value == (False if written == "no" else written)


def test_null_of_an_override_is_not_text() -> None:
    assert one(str, "null", override=True).what == "x takes str, and null is null"
    assert one(str | None, "null", override=True).value is None


def test_a_number_of_an_override_is_no_text_where_numbers_are_taken() -> None:
    assert one(SPACING, "50", override=True).value == 50
    assert one(SPACING, "012", override=True).what == "x: 012 is octal in YAML, which is 10"


@attrs.frozen(kw_only=True)
class Plain:
    """What OmegaConf takes too."""

    a: int = 0
    b: float = 0.0
    c: str = ""
    e: Colour = Colour.RED
    g: int | None = None
    i: bool = False


def test_values_agree_with_omegaconf_where_it_takes_them() -> None:
    text = "{a: 3, b: 2, c: abc, e: GREEN, g: null, i: true}"
    theirs = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Plain), OmegaConf.create(text)))
    assert read(Plain, text).value == theirs
