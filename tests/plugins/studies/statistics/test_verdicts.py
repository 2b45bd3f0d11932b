"""What a whole study says: verdicts, families, claims, and how many units would decide."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np
import pytest
from tests.plugins.studies.simulated import part_study, scale_study

from glidepath.plugins.studies.statistics.analysis import claim, compare
from glidepath.plugins.studies.statistics.results import Arm, Axis, MetricInfo, StudyResults
from glidepath.plugins.studies.statistics.series import grid, series
from glidepath.registry import MissingExtra, needed

UP = MetricInfo(name="up", direction="higher", primary=True)
DOWN = MetricInfo(name="down", direction="lower", primary=True)


def study(
    *differences: Sequence[float],
    metrics: tuple[MetricInfo, ...] = (UP,),
    prompts: int = 1,
    seeds: int | None = None,
) -> StudyResults:
    """An arm for each row of differences from a baseline of 0, one for each training seed."""
    arms = tuple(Arm(name=f"arm{number}") for number in range(1, len(differences) + 1))
    units = len(differences[0])
    scores = {"base": {metric.name: np.zeros((units, 1, prompts)) for metric in metrics}}
    for arm, row in zip(arms, differences, strict=True):
        values = np.repeat(np.reshape(row, (units, 1, 1)), prompts, axis=2).astype(float)
        scores[arm.name] = {metric.name: values.copy() for metric in metrics}
    return StudyResults(
        name="study",
        question="?",
        arms=(Arm(name="base"), *arms),
        baseline="base",
        metrics=metrics,
        scores=scores,
        training_seeds=tuple(range(units)),
        sampling_seeds=(0,),
        prompts=tuple(f"prompt {it}" for it in range(prompts)),
    )


CLEAR = [0.4, 0.5, 0.6, 0.5, 0.45, 0.55]


def test_an_arm_is_better_where_its_metric_says_better_is() -> None:
    found = compare(study(CLEAR, metrics=(UP, DOWN), seeds=6)).comparisons
    assert found["arm1", "up"].p == 2 / 2**6
    # two in the family: 6 seeds are too few for Holm's first step at 0.025
    assert found["arm1", "up"].verdict == "undecided"
    assert compare(study(CLEAR)).comparisons["arm1", "up"].verdict == "better"
    assert compare(study(CLEAR, metrics=(DOWN,))).comparisons["arm1", "down"].verdict == "worse"


def test_three_seeds_leave_a_study_undecided_and_say_how_many_would_decide() -> None:
    analysis = compare(study([0.4, 0.5, 0.6]))
    found = analysis.comparisons["arm1", "up"]
    assert found.verdict == "undecided"
    assert (found.decided_by, found.decided_as) == (6, "a difference")
    assert "3 training seeds are too few" in found.reason
    assert analysis.foresight.needed_units == 6


def test_the_t_test_decides_where_it_is_asked_to() -> None:
    results = attrs.evolve(study([0.4, 0.5, 0.6]), test="t")
    assert compare(results).comparisons["arm1", "up"].verdict == "better"


@pytest.mark.parametrize("test", ["sign-flip", "t"])
def test_equal_differences_are_decided_by_as_many_units_as_the_signs_need(
    test: Literal["sign-flip", "t"],
) -> None:
    few = compare(attrs.evolve(study([0.5] * 3), test=test)).comparisons["arm1", "up"]
    assert (few.p, few.verdict) == (2 / 2**3, "undecided")
    assert (few.decided_by, few.decided_as) == (6, "a difference")
    enough = compare(attrs.evolve(study([0.5] * 6), test=test)).comparisons["arm1", "up"]
    assert (enough.p, enough.verdict) == (2 / 2**6, "better")


def test_differences_inside_the_margin_are_equivalent_even_where_they_are_clear() -> None:
    within = [0.04, 0.05, 0.06, 0.05, 0.045, 0.055]
    found = compare(study(within, metrics=(attrs.evolve(UP, margin=0.1),))).comparisons["arm1", "up"]
    assert found.p <= 0.05
    assert found.verdict == "equivalent"


def test_an_undecided_arm_near_the_baseline_needs_fewer_units_for_equivalence() -> None:
    noisy = [0.3, -0.3, 0.2, -0.25, 0.01, 0.03]
    found = compare(study(noisy, metrics=(attrs.evolve(UP, margin=0.15),))).comparisons["arm1", "up"]
    assert (found.verdict, found.decided_as) == ("undecided", "equivalence")
    assert found.decided_by is not None
    assert 7 <= found.decided_by <= 60


def test_primary_p_are_adjusted_by_holm_and_others_by_benjamini_and_hochberg() -> None:
    rows = [CLEAR, [0.5, 0.1, -0.2, 0.3, 0.2, 0.4], [0.1, -0.1, 0.2, -0.2, 0.1, 0.05]]
    found = compare(study(*rows, metrics=(UP, attrs.evolve(DOWN, primary=False)))).comparisons
    p = [found[f"arm{number}", "up"].p for number in (1, 2, 3)]
    assert p == sorted(p)
    holm = [found[f"arm{number}", "up"].p_adjusted for number in (1, 2, 3)]
    spread = [found[f"arm{number}", "down"].p_adjusted for number in (1, 2, 3)]
    assert holm == pytest.approx([3 * p[0], max(3 * p[0], 2 * p[1]), max(3 * p[0], 2 * p[1], p[2])])
    assert spread == pytest.approx([min(3 * p[0], 1.5 * p[1], p[2]), min(1.5 * p[1], p[2]), p[2]])


def test_intervals_of_the_family_are_wider() -> None:
    found = compare(study(CLEAR, CLEAR)).comparisons["arm1", "up"]
    assert found.family_low < found.low < 0.5 < found.high < found.family_high
    alone = compare(study(CLEAR)).comparisons["arm1", "up"]
    assert (alone.family_low, alone.family_high) == (alone.low, alone.high)


def test_too_few_complete_pairs_have_no_verdict() -> None:
    results = study(CLEAR, prompts=4)
    results.scores["arm1"]["up"][:, :, 0] = np.nan
    found = compare(results).comparisons["arm1", "up"]
    assert found.verdict == "undecided"
    assert found.reason == "only 18 of 24 pairs are complete"


def test_an_arm_that_failed_throughout_is_undecided() -> None:
    results = study(CLEAR, CLEAR)
    analysis = compare(
        attrs.evolve(results, scores={"base": results.scores["base"], "arm2": results.scores["arm2"]})
    )
    found = analysis.comparisons["arm1", "up"]
    assert np.isnan([found.difference, found.low, found.p]).all()
    assert (found.verdict, found.pairs.complete, found.pairs.all) == ("undecided", 0, 6)
    # it is no comparison, so the other arm is alone in its family
    assert analysis.comparisons["arm2", "up"].p_adjusted == 2 / 2**6
    assert np.isnan(analysis.estimates["arm1", "up"].mean)


def test_the_claim_is_about_the_checkpoint_where_arms_share_one() -> None:
    one = study([0.5])
    assert "Each arm was trained once" in claim(one)
    assert "every claim is about this checkpoint" in claim(attrs.evolve(one, shared_checkpoint=True))
    assert "models trained in this way" in claim(study(CLEAR))


def test_on_one_checkpoint_pairs_of_seed_and_prompt_are_the_units() -> None:
    rng = np.random.default_rng(0)
    scores = {"base": {"up": rng.normal(0, 1, (1, 4, 10))}, "arm1": {"up": rng.normal(1, 1, (1, 4, 10))}}
    results = attrs.evolve(
        study([0.5], prompts=10), scores=scores, sampling_seeds=(0, 1, 2, 3), shared_checkpoint=True
    )
    analysis = compare(results)
    assert (analysis.unit, analysis.foresight.units) == ("seed and prompt", 40)
    assert analysis.comparisons["arm1", "up"].pairs.differences.size == 40


def test_along_an_axis_arms_are_in_order_and_grouped_by_what_else_they_vary() -> None:
    results = scale_study()
    schedule, scale = results.axes
    assert series(results, schedule) == []
    lines = series(results, scale)
    assert [line.label for line in lines] == ["schedule cosine", "schedule linear"]
    assert lines[0].positions == (0.0, 1.0, 2.0, 4.0, 8.0)
    assert [arm.name for arm in lines[1].arms][:2] == ["linear-0", "linear-1"]


def test_an_axis_that_some_arms_do_not_have_is_that_of_the_others() -> None:
    arms = (Arm(name="base"), *(Arm(name=f"s{it}", values={"scale": it}) for it in (4, 1, 2)))
    results = attrs.evolve(study(CLEAR), arms=arms, scores={}, axes=(Axis(name="scale", scale="log"),))
    [line] = series(results, results.axes[0])
    assert (line.label, line.positions, line.logarithmic) == ("", (1.0, 2.0, 4.0), True)
    assert grid(results) is None


def test_a_complete_grid_is_decomposed() -> None:
    analysis = compare(scale_study())
    terms = {term.axes: term.share for term in analysis.decompositions["all-right"].terms}
    assert terms["guidance scale",] > 0.9
    assert terms["schedule", "guidance scale"] < 0.01
    # one training seed of one arm failed in part: its cells are left out of all arms, and no unit is lost
    assert analysis.comparisons["linear-8", "all-right"].pairs.complete == 92
    found = {line.metric: line.trend for line in analysis.trends if line.series.label == "schedule cosine"}
    assert found["all-right"].low > 0
    assert found["all-right"].monotone == 1.0


def test_parts_whose_losses_add_up_exactly_do_not_interact() -> None:
    results = part_study()
    losses = (("full", 0.9), ("full-guidance", 0.6), ("full-EMA", 0.7), ("full-guidance-EMA", 0.4))
    shape = results.of("full", "all-right").shape
    scores = {arm: {"all-right": np.full(shape, value)} for arm, value in losses}
    [found] = compare(attrs.evolve(results, scores=scores)).interactions
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.p_sign_flip, found.p_t) == (1.0, 1.0)


def test_interactions_are_what_two_parts_lose_together_beyond_their_sum() -> None:
    [found] = compare(part_study()).interactions
    # lost: 0.3 and 0.1 alone, 0.32 together
    assert found.parts == ("guidance", "EMA")
    assert found.low < 0.3 + 0.1 - 0.32 < found.high


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "other"}, "the baseline is one of the arms base, arm1, not 'other'"),
        ({"arms": (Arm(name="base"), Arm(name="base"))}, "base is there twice"),
        ({"level": 95.0}, "between 0 and 1"),
        ({"pareto": ("speed",)}, "not 'speed'"),
        ({"prompts": ("a", "b"), "scores": {"arm1": {"up": np.zeros((6, 1, 3))}}}, r"not \[6, 1, 3\]"),
        ({"scores": {"arm9": {}}}, "'arm9', which is no arm"),
        ({"scores": {"arm1": {"speed": np.zeros((6, 1, 1))}}}, "which is no metric"),
    ],
)
def test_results_that_do_not_fit_together_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        attrs.evolve(study(CLEAR), **changes)


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        MetricInfo(name="up", direction="higher", margin=0.0)


def test_a_missing_package_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtra, match=r"pip install 'glidepath-diffusion\[studies\]'"):
        needed("scipy.special", "intervals", extra="studies")
