"""Ranges of parameters that take several types."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from glidepath.registry.describe.parameters import limits
from glidepath.registry.describe.validation import WholeAtLeast
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec
from glidepath.registry.text.problems import SpecError


@attrs.frozen
class Config:
    """A number, or a text."""

    steps: int | str | tuple[int, ...] = attrs.field(validator=WholeAtLeast(1))


def test_a_whole_number_is_held_against_the_bound_and_other_types_are_let_through() -> None:
    for value in (1, 50, "0", "10,0,5", (0, 10)):
        assert Config(value).steps == value
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"steps must be at least 1, got {value}"):
            Config(value)


def test_the_range_is_put_in_words() -> None:
    assert [str(limit) for limit in limits(attrs.fields(Config).steps.validator)] == [">= 1"]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "heun", "pndm"])
@pytest.mark.parametrize("steps", [0, -3])
def test_too_few_steps_are_out_of_range_wherever_they_are_written(
    sampler: str, steps: int, tmp_path: Path
) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(f"extends: shapes\nsampler:\n  use: {sampler}\n  steps: {steps}\n")
    catalogue = load_catalogue()
    with pytest.raises(SpecError) as raised:
        make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    [problem] = raised.value.problems
    assert problem.what == f"steps is {steps}, which is out of range"
    assert problem.place is not None
    assert (problem.place.file, problem.place.line, problem.place.column) == (str(spec), 4, 10)
    assert problem.allowed == (">= 1",)
