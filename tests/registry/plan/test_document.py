"""A YAML file of a plugin's own sections, read with parts and specs in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from attrs.validators import gt

from glidepath.registry import Catalogue, Document, MappingNode, SpecError, doc, node_value, read_document

KEYS = ("about", "judge", "judges", "base")
TEXT = """\
about: {title: a sweep, rounds: 3, folder: images}
judge: {scale: 2}
judges:
  first: {use: classifier-free, scale: 1.5}
  second: {use: classifier-free}
base: {extends: base, sampler: {steps: "${guidance[0].scale}"}}
"""

Reading = Callable[..., Document]


@attrs.frozen(kw_only=True)
class About:
    """Parameters of the file itself."""

    title: str = ""
    rounds: int = attrs.field(default=1, validator=gt(0), metadata=doc("how often"))
    folder: Path | None = None


@pytest.fixture
def reading(catalogue: Catalogue, tmp_path: Path) -> Reading:
    def reading(text: str = TEXT, *overrides: str) -> Document:
        file = tmp_path / "sweep.yaml"
        file.write_text(text, encoding="utf-8")
        return read_document(file, KEYS, overrides, catalogue=catalogue, specs=["base"])

    return reading


def problems(document: Document) -> list[tuple[str, int, int]]:
    """Each problem with its line and column."""
    with pytest.raises(SpecError) as caught:
        document.raise_problems()
    found = caught.value.problems
    return [(problem.what, problem.place.line, problem.place.column) for problem in found if problem.place]


def test_a_section_is_an_object_of_its_class(reading: Reading, tmp_path: Path) -> None:
    about = reading().section("about", About)
    assert about == About(title="a sweep", rounds=3, folder=tmp_path / "images")
    assert reading("judge: {}\n").section("about", About) == About()
    assert reading("about: null\n").section("about", About) == About()


def test_a_part_of_a_section_is_planned(reading: Reading) -> None:
    document = reading()
    judges = document.node("judges")
    assert isinstance(judges, MappingNode)
    parts = {
        name: document.part(entry.node, "guidance", f"judges.{name}") for name, entry in judges.items.items()
    }
    assert [part.config.scale for part in parts.values() if part] == [1.5, 3.0]
    assert [part.path for part in parts.values() if part] == ["judges.first", "judges.second"]
    document.raise_problems()


def test_a_part_that_is_not_named_may_have_a_default(reading: Reading) -> None:
    document = reading()
    part = document.part(document.node("judge"), "guidance", "judge", default="classifier-free")
    assert part is not None
    assert part.config.scale == 2
    absent = document.part(None, "guidance", "judge", default="classifier-free")
    assert absent is not None
    assert document.part(None, "guidance", "other") is None
    assert [what for what, _, _ in problems(document)] == ["other needs a guidance"]


def test_a_spec_of_a_section_stands_on_what_it_extends(reading: Reading) -> None:
    spec = reading().spec("base")
    assert spec is not None
    tree = node_value(spec)
    assert (tree["schedule"], tree["sampler"]) == ("cosine", {"use": "ddpm", "steps": "${guidance[0].scale}"})
    named = reading("base: base\n").spec("base")
    assert named is not None
    assert node_value(named)["sampler"] == {"use": "ddpm", "steps": 150}


def test_an_override_changes_a_section_or_the_spec_in_one(reading: Reading) -> None:
    document = reading("base: base\n", "about.rounds=5", "base.sampler.steps=9", "base.sampler=ddim")
    about, spec = document.section("about", About), document.spec("base")
    assert about is not None
    assert spec is not None
    assert (about.rounds, node_value(spec)["sampler"]) == (5, {"use": "ddim"})
    assert document.spec_overrides("base") == ["--set #2", "--set #3"]
    without = document.spec("base", without="--set #3")
    assert without is not None
    assert node_value(without)["sampler"]["steps"] == 9


def test_every_problem_is_told_at_once_and_at_its_place(reading: Reading) -> None:
    document = reading(
        "abuot: {}\nabout: {rounds: 0, title: no}\njudge: {use: x}\nbase: {extends: nothing}\n"
    )
    assert document.section("about", About) is None
    assert document.part(document.node("judge"), "guidance", "judge") is None
    assert document.spec("base") is None
    document.problems.add("it has no end", document.place("about.end"), "about.end")
    assert problems(document) == [
        ("there is no section 'abuot'", 1, 1),
        ("it has no end", 2, 8),
        ("rounds is 0, which is out of range", 2, 17),
        ("title takes text, and no without quotes is the truth value false in YAML", 2, 27),
        ("there is no guidance named 'x'", 3, 14),
        ("there is no preset named 'nothing'", 4, 17),
    ]


@pytest.mark.parametrize("text", ["about: 3\nbase: 3\njudge: 3\n", "about: []\nbase: []\njudge: [x]\n"])
def test_a_section_of_another_shape_is_a_problem(reading: Reading, text: str) -> None:
    document = reading(text)
    assert document.section("about", About) is None
    assert document.spec("base") is None
    assert document.part(document.node("judge"), "guidance", "judge") is None
    assert [line for _, line, _ in problems(document)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- a\n", "a file of sections is a mapping, and this is a list"),
        ("a: [\n", "YAML: "),
        ("!x {}\n", "the tag '!x' is not accepted here"),
    ],
)
def test_a_file_that_is_no_mapping_cannot_be_read(reading: Reading, text: str, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        reading(text)
    assert what in str(caught.value)


def test_a_file_that_is_not_there_is_told_with_its_neighbours(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("")
    with pytest.raises(SpecError, match=r"there is no file .*swep\.yaml\n    did you mean 'sweep\.yaml'\?"):
        read_document(tmp_path / "swep.yaml", KEYS, catalogue=catalogue)


def test_values_are_found_by_their_path(reading: Reading) -> None:
    document = reading()
    assert document.value("about.rounds") == 3
    assert document.value("about.rounds.more") is None
    assert (document.place("judges.second.use").line, document.place("judges.third.use").line) == (5, 4)
