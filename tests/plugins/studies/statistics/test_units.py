"""Units of replication: cells are paired, and what failed takes its pair with it."""

from __future__ import annotations

import numpy as np
import pytest

from glidepath.plugins.studies.statistics.units import common_units, pairs, unit_means, unit_of


def test_the_unit_is_the_training_seed_where_there_are_several() -> None:
    assert unit_of(np.zeros((2, 3, 4))) == "training seed"
    assert unit_of(np.zeros((1, 3, 4))) == "seed and prompt"
    assert unit_of(np.zeros((1, 3, 1))) == "sampling seed"


def test_a_training_seed_is_the_mean_of_its_cells() -> None:
    scores = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(unit_means(scores), scores.mean((1, 2)))
    np.testing.assert_array_equal(unit_means(scores[:1]), scores[0].ravel())


def test_a_failed_cell_drops_its_pair_and_no_more() -> None:
    arm, baseline = np.full((2, 1, 2), 3.0), np.array([[[1.0, 5.0]], [[2.0, 2.0]]])
    arm[0, 0, 1] = np.nan
    found = pairs(arm, baseline)
    np.testing.assert_array_equal(found.differences, [2.0, 1.0])
    assert (found.complete, found.all, found.units, found.share) == (3, 4, 2, 0.75)


def test_prompts_that_a_metric_is_not_about_are_no_pairs_that_are_missing() -> None:
    arm, baseline = np.full((3, 2, 5), np.nan), np.full((3, 2, 5), np.nan)
    arm[:, :, 3:], baseline[:, :, 3:] = 1.0, 0.0
    found = pairs(arm, baseline)
    assert (found.complete, found.all, found.share) == (12, 12, 1.0)
    arm[1, 0, 3] = np.nan  # this one failed
    found = pairs(arm, baseline)
    assert (found.complete, found.all) == (11, 12)
    np.testing.assert_array_equal(found.differences, [1.0, 1.0, 1.0])


def test_what_differs_by_rounding_alone_differs_by_nothing() -> None:
    found = pairs(np.full((3, 1, 1), 0.1 + 0.2), np.full((3, 1, 1), 0.3))
    np.testing.assert_array_equal(found.differences, np.zeros(3))
    found = pairs(np.full((3, 1, 1), 1 + 1e-9), np.full((3, 1, 1), 1.0))
    np.testing.assert_array_equal(found.differences, np.full(3, (1 + 1e-9) - 1.0))


def test_a_unit_without_a_complete_pair_is_dropped() -> None:
    arm, baseline = np.ones((3, 1, 2)), np.zeros((3, 1, 2))
    arm[1], baseline[2, 0, 0] = np.nan, np.nan
    found = pairs(arm, baseline)
    np.testing.assert_array_equal(found.differences, [1.0, 1.0])
    assert (found.complete, found.units) == (3, 3)


def test_nothing_is_left_of_an_arm_that_failed_throughout() -> None:
    found = pairs(np.full((2, 1, 2), np.nan), np.zeros((2, 1, 2)))
    assert found.differences.size == found.complete == 0


def test_scores_of_other_shapes_are_no_pairs() -> None:
    with pytest.raises(ValueError, match=r"\[2, 1, 3\] and \[2, 1, 1\] differ"):
        pairs(np.zeros((2, 1, 3)), np.zeros((2, 1, 1)))


def test_units_of_many_arms_are_of_the_cells_that_none_failed() -> None:
    scores = np.random.default_rng(0).standard_normal((2, 3, 3, 1, 4))
    scores[0, 1, 0, 0, 2] = np.nan
    scores[1, 2, 1] = np.nan
    found = common_units(scores)
    assert found.shape == (2, 3, 2)
    np.testing.assert_allclose(found[..., 0], np.delete(scores[:, :, 0, 0], 2, axis=-1).mean(-1))
    np.testing.assert_allclose(found[..., 1], scores[:, :, 2, 0].mean(-1))
