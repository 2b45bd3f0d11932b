"""What a study may claim: its unit of replication, what it asks, what failed, and what no chance decides."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from glidepath.plugins.studies.report.numbers import estimate, interval, number
from glidepath.plugins.studies.report.verdicts import infinite_scores, sentence, summary
from glidepath.plugins.studies.statistics.analysis import compare
from glidepath.plugins.studies.statistics.results import (
    Arm,
    Contrast,
    MetricInfo,
    Replicate,
    StudyResults,
)

SCORE = MetricInfo(name="score", direction="higher", primary=True)
SHARE = attrs.evolve(SCORE, unit="share")


def study(
    arms: dict[str, np.ndarray], metric: MetricInfo = SCORE, *, unit: Replicate | None = None, **more: object
) -> StudyResults:
    """Scores [training seeds, sampling seeds, prompts] of each arm; the first is the baseline."""
    shape = next(iter(arms.values())).shape
    return StudyResults(
        name="study",
        question="",
        arms=tuple(Arm(name=name) for name in arms),
        baseline=next(iter(arms)),
        metrics=(metric,),
        scores={name: {metric.name: np.asarray(scores, dtype=float)} for name, scores in arms.items()},
        training_seeds=tuple(range(shape[0])),
        sampling_seeds=tuple(range(shape[1])),
        prompts=tuple(f"prompt {it}" for it in range(shape[2])),
        unit=unit,
        **{"shared_checkpoint": True, **more},
    )


@pytest.mark.parametrize(
    ("unit", "size", "about"),
    [
        ("pairs", 2 * 4 * 6, "these prompts, and no others"),
        ("seeds", 4, "these prompts, whatever the seed"),
        ("prompts", 6, "prompts like these"),
        ("trainings", 2, "models trained in this way"),
        (None, 2, "models trained in this way"),
    ],
)
def test_the_unit_decides_what_is_averaged_and_what_is_claimed(
    unit: Replicate | None, size: int, about: str
) -> None:
    scores = np.random.default_rng(0).standard_normal((2, 2, 4, 6))
    analysis = compare(study({"base": scores[0], "arm": scores[1]}, unit=unit))
    found = analysis.comparisons["arm", "score"]
    over = {"pairs": (), "seeds": (0, 2), "prompts": (0, 1)}.get(unit or "", (1, 2))
    np.testing.assert_allclose(found.pairs.differences, (scores[1] - scores[0]).mean(over).ravel())
    assert (found.pairs.differences.size, analysis.foresight.units) == (size, size)
    assert about in analysis.claim


def test_a_score_of_whole_sets_is_repeated_by_seeds_where_prompts_are_the_unit() -> None:
    rng = np.random.default_rng(0)
    kid = attrs.evolve(SCORE, name="kid", primary=False)
    results = study({"base": rng.random((1, 3, 5)), "arm": rng.random((1, 3, 5))}, unit="prompts")
    for scores in results.scores.values():
        scores["kid"] = rng.random((1, 3, 1))  # type: ignore[index]
    analysis = compare(attrs.evolve(results, metrics=(SCORE, kid)))
    found = {metric: analysis.comparisons["arm", metric].pairs for metric in ("score", "kid")}
    assert [(it.unit, it.differences.size) for it in found.values()] == [("prompt", 5), ("sampling seed", 3)]
    assert "repeated by sampling seeds, which says nothing of other prompts" in analysis.claim


def test_one_training_for_each_arm_supports_verdicts_on_checkpoints_alone() -> None:
    arms = {"base": np.zeros((1, 8, 1)), "arm": 1 + np.arange(8.0).reshape(1, 8, 1) / 10}
    once = study(arms, shared_checkpoint=False)
    told = summary(compare(once))
    assert told.startswith("the one checkpoint of arm is better than that of base in score")
    assert "none about how they were trained" in compare(once).claim
    shared = attrs.evolve(once, arms=tuple(attrs.evolve(it, checkpoint="one") for it in once.arms))
    assert summary(compare(shared)).startswith("arm is better than base")
    several = attrs.evolve(once, training_seeds=(0, 1), sampling_seeds=(0, 1, 2, 3), scores={})
    assert not several.of_checkpoints(several.questions[0])


def grid_study(rng: np.random.Generator) -> StudyResults:
    """mode x scale x sampler: half costs 1, more at scale 3; the others move scores much more."""
    arms, scores = [], {}
    shared = rng.normal(0, 1, (1, 12, 1))
    for mode in ("full", "half"):
        for scale in (1, 3):
            for sampler in ("ddim", "dpmpp"):
                name = f"{mode}-{scale}-{sampler}"
                arms.append(Arm(name=name, values={"mode": mode, "scale": scale, "sampler": sampler}))
                loss = (mode == "half") * (0.5 + (scale == 3))
                level = 3 * scale - 5 * (sampler == "dpmpp") - loss
                scores[name] = {"score": level + shared + rng.normal(0, 0.1, (1, 12, 1))}
    results = study({it.name: scores[it.name]["score"] for it in arms})
    return attrs.evolve(results, arms=tuple(arms))


def test_contrasts_answer_the_question_that_was_asked_of_one_axis() -> None:
    results = grid_study(np.random.default_rng(1))

    def cells(**at: object) -> tuple[tuple[str, str], ...]:
        chosen = [
            it for it in results.arms if it.values["mode"] == "half" and {**it.values, **at} == it.values
        ]
        return tuple((it.name, it.name.replace("half", "full")) for it in chosen)

    contrasts = (
        Contrast(name="main", title="half", against="full", cells=cells()),
        Contrast(name="at 1", title="half", against="full", cells=cells(scale=1)),
        Contrast(name="cell", title="half", against="full", cells=cells(scale=3, sampler="ddim")),
    )
    analysis = compare(attrs.evolve(results, contrasts=contrasts))
    assert [len(it.cells) for it in contrasts] == [4, 2, 1]
    found = {name: analysis.contrasts[name, "score"] for name in ("main", "at 1", "cell")}
    for contrast in contrasts:
        differences = np.mean(
            [results.of(one, "score") - results.of(other, "score") for one, other in contrast.cells], axis=0
        )
        np.testing.assert_allclose(found[contrast.name].pairs.differences, differences.ravel())
    assert [it.verdict for it in found.values()] == ["worse"] * 3
    for name, truth in (("main", -1.0), ("at 1", -0.5), ("cell", -1.5)):
        assert found[name].low - 0.05 < truth < found[name].high + 0.05
        assert found[name].p_adjusted == 3 * 2 / 2**12  # Holm over what was asked alone
    assert {it.arm for it in analysis.family} == {"main", "at 1", "cell"}
    assert not any(it.primary for it in analysis.comparisons.values())
    assert "Of 3 primary comparisons of what the study asks: 3 worse." in summary(analysis)


@pytest.mark.parametrize("better", [True, False])
def test_pairs_that_an_arm_failed_do_not_make_it_better(better: bool) -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(0, 0.1, (1, 20, 1))
    gain = rng.normal(0.5, 0.1, (1, 20, 1))
    arm = base + (gain if better else np.where(np.arange(20).reshape(1, 20, 1) < 3, -9, gain))
    broken = arm.copy()
    broken[0, :3] = np.nan
    more = {"third": np.where(np.arange(20).reshape(1, 20, 1) == 5, -9.0 if not better else -0.3, base)}
    found = compare(study({"base": base, "arm": broken, **more})).comparisons["arm", "score"]
    assert found.if_worst is not None
    if better:
        assert (found.verdict, found.if_worst.verdict) == ("better", "better")
        assert found.difference > found.if_worst.difference
    else:
        # without the three that failed it is better, and with them it need not be
        assert (found.verdict, found.reason) == ("undecided", "better only while what failed is left out")
        assert found.if_worst.verdict == "undecided"
        np.testing.assert_allclose(found.if_worst.pairs.differences[:3], -9 - base[0, :3, 0])


def test_the_worst_of_a_share_is_its_bound_and_what_waits_has_not_failed() -> None:
    base, arm = np.full((1, 12, 1), 0.5), np.full((1, 12, 1), 0.9)
    arm[0, :2] = np.nan
    results = study({"base": base, "arm": arm}, SHARE)
    worst = compare(results).comparisons["arm", "score"].if_worst
    assert worst is not None
    np.testing.assert_allclose(worst.pairs.differences[:2], -0.5)
    told = sentence(compare(results), compare(results).comparisons["arm", "score"])
    assert "2 pairs are missing because an arm failed; with the worst that a score can be" in told
    waiting = attrs.evolve(results, waiting={"arm": frozenset({(0, 0), (0, 1)})})
    assert compare(waiting).comparisons["arm", "score"].if_worst is None
    # a prompt that no arm has a score for was not asked
    both = attrs.evolve(
        results, scores={**results.scores, "base": {"score": np.where(np.isnan(arm), np.nan, base)}}
    )
    assert compare(both).comparisons["arm", "score"].if_worst is None


@pytest.mark.parametrize("infinity", [np.inf, -np.inf, 1e308])
@pytest.mark.parametrize("both", [True, False])
def test_infinite_scores_are_left_out_with_their_pairs_and_told(infinity: float, both: bool) -> None:
    base = np.arange(10.0).reshape(1, 10, 1)
    arm = base + 1
    arm[0, 9] = infinity
    if both:
        base = np.where(base == 9, infinity, base)
    results = study({"base": base, "arm": arm})
    with np.errstate(all="raise"):
        analysis = compare(results)
    found = analysis.comparisons["arm", "score"]
    assert (found.difference, found.pairs.differences.size) == (1.0, 9)
    assert np.isfinite(analysis.estimates["arm", "score"].mean)
    notes = list(infinite_scores(results))
    assert len(notes) == 1 + both
    assert "1 score is infinite or too large" in notes[-1]


def test_scores_that_are_all_infinite_are_undecided() -> None:
    infinite = np.full((1, 5, 1), -np.inf)
    found = compare(study({"base": infinite, "arm": infinite})).comparisons["arm", "score"]
    assert (found.verdict, found.pairs.differences.size) == ("undecided", 0)


def test_what_the_spec_decides_is_shown_and_not_tested() -> None:
    given = attrs.evolve(SCORE, name="evaluations", given=True)
    results = study({"base": np.full((1, 3, 1), 4.0), "arm": np.full((1, 3, 1), 1.0)}, given)
    analysis = compare(results)
    found = analysis.comparisons["arm", "evaluations"]
    assert (found.difference, found.verdict) == (-3.0, "given")
    assert np.isnan([found.p, found.p_adjusted, found.low, found.high]).all()
    assert analysis.family == ()
    assert summary(analysis) == "The specs decide the primary metrics, so that nothing was tested."
    assert sentence(analysis, found) == "arm differs from base by −3.00 in evaluations, as specified."


def test_a_metric_with_a_single_unit_is_not_tested_and_takes_nothing_from_those_that_are() -> None:
    """Three sets of images have a score each, so that no chance is seen; p would be 1 whatever came out."""
    rng = np.random.default_rng(0)
    base = rng.random((1, 1, 12))
    arms = {"base": base, "arm": base + 0.3 + 0.1 * rng.random((1, 1, 12))}
    other = attrs.evolve(SCORE, primary=False)
    alone = compare(study(arms, other)).comparisons["arm", "score"]
    sets = [attrs.evolve(other, name=f"set {number}") for number in range(3)]
    results = study(arms, other)
    for scores in results.scores.values():
        scores.update({it.name: rng.random((1, 1, 1)) for it in sets})  # type: ignore[attr-defined]
    found = compare(attrs.evolve(results, metrics=(other, *sets))).comparisons
    untested = found["arm", "set 1"]
    assert np.isnan([untested.p, untested.p_sign_flip, untested.p_adjusted]).all()
    assert (untested.verdict, untested.reason) == ("undecided", "a single sampling seed has no spread")
    assert found["arm", "score"].p_adjusted == alone.p_adjusted == alone.p
    assert found["arm", "score"].family_low == alone.family_low


def test_one_arm_is_compared_with_none() -> None:
    analysis = compare(study({"base": np.full((1, 3, 1), 4.0)}))
    assert summary(analysis) == "There is one arm, and none to compare it with."


@pytest.mark.parametrize(
    ("value", "precision", "said"),
    [
        (-0.42, 4.0, "−0.4"), (0.42, 4.0, "+0.4"), (-0.004, 0.05, "−0.004"), (-3e-9, 1.0, "−3.00e−09"),
        (-0.049, 0.4, "−0.05"), (0.0, 4.0, "0"), (-1e-13, None, "−1.00e−13"), (-2.4, 40.0, "−2"),
    ],
)  # fmt: skip
def test_a_sign_is_never_lost_in_rounding(value: float, precision: float | None, said: str) -> None:
    assert number(value, precision, signed=True) == said


def test_an_interval_says_on_which_side_of_0_it_ends_and_what_is_askew_is_no_plus_and_minus() -> None:
    assert interval(-0.0003, 4.0) == "[−0.0003, 4.0]"
    assert interval(0.0003, 4.0) == "[0.0003, 4.0]"
    assert estimate(1.0, 0.91, 1.0) == "1.00 [0.91, 1.00]"


def test_the_claim_says_how_many_recipes_were_trained_where_arms_share_a_training() -> None:
    scores = {name: np.zeros((2, 1, 1)) for name in ("full", "ddpm", "half")}
    results = study(scores, shared_checkpoint=False)
    assert compare(results).claim.endswith("Of the 2 training seeds, each trained every arm anew.")
    arms = tuple(attrs.evolve(it, checkpoint="half" if it.name == "half" else "full") for it in results.arms)
    told = compare(attrs.evolve(results, arms=arms)).claim
    assert told.endswith("each trained 2 recipes anew, which 3 arms share.")
