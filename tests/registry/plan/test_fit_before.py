"""Needs of what stands earlier in the same list: an order that makes no sense is refused."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from tests.registry.made_up import BASE, COMPONENTS, make_catalogue

from glidepath.registry.describe.component import Component, Need, part
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.problems import Problem, SpecError


@attrs.frozen(kw_only=True)
class GiverConfig:
    tone: str = "high"
    inner: Any = attrs.field(default=None, metadata=part("guidance", "another"))


def _tone(config: GiverConfig) -> dict[str, object]:
    return {"tone": config.tone}


GUIDANCES = (
    Component(
        kind="guidance", name="giver", target="x:Y", summary="gives", config=GiverConfig, provides=_tone
    ),
    Component(
        kind="guidance",
        name="taker",
        target="x:Y",
        summary="takes",
        needs=lambda _config: {"before.tone": Need(value="high", why="it answers")},
    ),
    Component(
        kind="guidance",
        name="guest",
        target="x:Y",
        summary="takes what there is",
        needs=lambda _config: {"before.tone": Need(value="high", optional=True)},
    ),
    Component(
        kind="guidance",
        name="critic",
        target="x:Y",
        summary="tests",
        needs=lambda _config: {"before.tone": Need(test=lambda tone: "too low" if tone == "low" else "")},
    ),
    Component(kind="guidance", name="quiet", target="x:Y", summary="says nothing"),
)
CATALOGUE = make_catalogue(components=(*COMPONENTS, *GUIDANCES))


def problems(*guidance: str) -> list[Problem]:
    text = BASE.replace("[{use: classifier-free, scale: 3}]", f"[{', '.join(guidance)}]")
    try:
        make_plan(parse_spec(text, "s.yaml", (), catalogue=CATALOGUE), CATALOGUE)
    except SpecError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    "order",
    [
        ["giver", "taker"],
        ["giver", "quiet", "taker"],
        ["{use: giver, tone: low}", "giver", "taker"],
        ["giver", "taker", "taker"],
        ["guest"],
        ["guest", "{use: giver, tone: low}"],
        ["giver", "critic"],
    ],
)
def test_what_is_needed_before_may_stand_anywhere_before(order: list[str]) -> None:
    assert problems(*order) == []


@pytest.mark.parametrize(
    ("order", "path"),
    [
        (["taker"], "guidance[0]"),
        (["taker", "giver"], "guidance[0]"),
        (["quiet", "taker"], "guidance[1]"),
    ],
)
def test_a_need_that_nothing_before_meets_is_a_fault_with_a_place_and_a_remedy(
    order: list[str], path: str
) -> None:
    (problem,) = problems(*order)
    assert problem.what == f"{path} (taker) needs a part before it in the list that provides tone"
    assert problem.path == path
    assert problem.place.line == 4
    assert problem.hint == "it answers; a guidance (giver) provides it"


def test_the_nearest_counts() -> None:
    (problem,) = problems("giver", "{use: giver, tone: low}", "taker")
    assert problem.what == (
        "guidance[2] (taker) needs tone high, and guidance[1] (giver) gives low: it answers"
    )


def test_a_need_may_look_closer() -> None:
    (problem,) = problems("{use: giver, tone: low}", "critic")
    assert problem.what.endswith("whose tone is low: too low")


def test_what_is_inside_another_part_stands_in_no_list() -> None:
    """Neither is it before anything, nor is anything before it."""
    assert [problem.path for problem in problems("{use: giver, tone: low, inner: giver}", "taker")] == [
        "guidance[1]"
    ]
    (problem,) = problems("giver", "{use: giver, inner: taker}")
    assert problem.path == "guidance[1].inner"


def test_a_part_with_a_fault_of_its_own_is_not_missed_too() -> None:
    (problem,) = problems("{use: giver, tune: high}", "taker")
    assert "tune" in problem.what
