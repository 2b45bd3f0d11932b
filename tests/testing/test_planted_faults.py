"""Every check can fail: for each there is a part that breaks its rule, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from glidepath.testing import Suite
from glidepath.testing.kinds import CHECKS
from glidepath.testing.suite import GENERIC

from .planted_plugin import FAULTS

pytestmark = pytest.mark.thorough

SOUND = [
    f"{kind}/sound"
    for kind in (
        *("schedule", "sampler", "guidance", "text_encoder", "conditioner", "denoiser", "tokenizer"),
        *("codec", "adapter", "handover"),
    )
]


@pytest.fixture(scope="module")
def suite(planted_site: Path) -> Suite:
    return Suite("planted")


def failed(suite: Suite, part: str) -> dict[str, str]:
    """Why which checks of a part fail."""
    outcomes = [suite.run(case) for id, case in suite.cases.items() if id.startswith(f"{part}:")]
    assert outcomes
    return {it.id.rpartition(":")[2]: it.reason for it in outcomes if it.status == "failed"}


@pytest.mark.parametrize(
    "part", [*SOUND, "schedule/of-a-file", "metric/sound", "metric/sound-set", "ornament/straight"]
)
def test_a_sound_part_passes_every_check(suite: Suite, part: str) -> None:
    assert failed(suite, part) == {}


@pytest.mark.parametrize(("part", "check"), FAULTS.items())
def test_a_faulty_part_fails_the_check_of_the_rule_that_it_breaks(
    suite: Suite, part: str, check: str
) -> None:
    found = failed(suite, part)
    assert list(found) == [check], found
    assert found[check]


def test_where_a_schedule_leaves_its_range_is_told_with_what_helps(suite: Suite) -> None:
    clean, below = (
        failed(suite, f"schedule/{name}")["monotone"] for name in ("begins-clean", "below-nothing")
    )
    assert clean.startswith("at timestep 0, sigma is not above 0: let alpha_bar begin below 1")
    assert below.startswith("at timestep 900, alpha or sigma is not finite: ")
    assert "capping beta at 0.999, which the cosine schedule does" in below


def test_there_is_a_faulty_part_for_every_check() -> None:
    known = {check.name for check in (*GENERIC, *(check for some in CHECKS.values() for check in some))}
    assert not known - set(FAULTS.values())


def test_a_sound_part_has_little_that_does_not_apply(suite: Suite) -> None:
    """A check that never runs would pass for ever."""
    reasons = {
        case.check.name
        for id, case in suite.cases.items()
        if any(id.startswith(f"{part}:") for part in SOUND) and suite.run(case).status == "not applicable"
    }
    assert reasons <= {"config-round-trip", "frozen-config", "provides", "device", "weights", "bad-input"}
