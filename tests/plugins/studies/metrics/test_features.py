"""Features and what is computed of them: against closed forms, scipy and plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from glidepath.core.errors import GlidepathError
from glidepath.plugins.studies.interface import Drawn, Metric
from glidepath.plugins.studies.metrics import train_probe as features_training
from glidepath.plugins.studies.metrics.components import feature_metrics
from glidepath.plugins.studies.metrics.configs import DiversityConfig, FeatureConfig, NeighbourConfig
from glidepath.plugins.studies.metrics.feature_metrics import (
    Diversity,
    FrechetDistance,
    KernelDistance,
    Precision,
    Recall,
    covered,
    frechet,
    kid,
    spread,
)
from glidepath.plugins.studies.metrics.features import SIZE, WEIGHTS, WIDTH, features, load_probe, probe_name
from glidepath.plugins.studies.metrics.train_probe import FLAWS, Questions, spoil, train
from glidepath.registry.assembly.build import build_parts
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.tensor_file import WeightsError
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


@pytest.fixture(scope="module")
def shapes() -> Any:
    catalogue = load_catalogue()
    plan = make_plan(read_spec("shapes", [], catalogue=catalogue), catalogue)
    return build_parts(plan, ("data",), catalogue)["data"]


@pytest.fixture(scope="module")
def real(shapes: Any) -> Tensor:
    images: Tensor = shapes.batch(11, 0, 256)[0]
    return images


def test_kid_is_the_double_sum_of_its_definition(rng: np.random.Generator) -> None:
    first, second = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 0.5

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = [
        np.mean([k(some[i], some[j]) for i in range(len(some)) for j in range(len(some)) if i != j])
        for some in (first, second)
    ]
    across = np.mean([k(x, y) for x in first for y in second])
    assert kid(first, second) == pytest.approx(within[0] + within[1] - 2 * across, rel=1e-12)


def test_kid_of_one_distribution_is_as_often_below_zero_as_above(rng: np.random.Generator) -> None:
    values = [kid(*rng.standard_normal((2, 20, 4))) for _ in range(600)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(600)


def test_kid_of_shifted_points_has_its_closed_form() -> None:
    """In one dimension, with all points at a and at b: (a^2 + 1)^3 + (b^2 + 1)^3 - 2 (a b + 1)^3."""
    assert kid(np.full((3, 1), 2.0), np.full((4, 1), -1.0)) == pytest.approx(125 + 8 - 2 * (-1) ** 3)


def test_the_frechet_distance_of_gaussians_in_one_dimension_is_its_closed_form(
    rng: np.random.Generator,
) -> None:
    first, second = rng.standard_normal((50, 1)), 3 * rng.standard_normal((60, 1)) + 2
    expected = (first.mean() - second.mean()) ** 2 + (np.std(first, ddof=1) - np.std(second, ddof=1)) ** 2
    assert frechet(first, second) == pytest.approx(expected, rel=1e-10)


def test_the_frechet_distance_is_that_of_the_matrix_root(rng: np.random.Generator) -> None:
    first, second = rng.standard_normal((40, 5)), rng.standard_normal((30, 5)) @ rng.standard_normal((5, 5))
    one, other = np.cov(first.T), np.cov(second.T)
    root = np.real(scipy.linalg.sqrtm(one @ other))
    means = first.mean(0) - second.mean(0)
    assert frechet(first, second) == pytest.approx(means @ means + np.trace(one + other - 2 * root), rel=1e-8)


def test_the_frechet_distance_survives_a_singular_covariance(rng: np.random.Generator) -> None:
    points = rng.standard_normal((3, 6))
    assert frechet(points, points) == pytest.approx(0.0, abs=1e-6)
    assert frechet(points, points + 2.0) == pytest.approx(24.0, abs=1e-6)


def test_coverage_is_that_of_plain_loops(rng: np.random.Generator) -> None:
    points, support = rng.standard_normal((12, 2)) * 1.5, rng.standard_normal((15, 2))
    inside = 0
    for point in points:
        for centre in support:
            radius = np.sort(np.linalg.norm(support - centre, axis=1))[3]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    assert 0 < inside < 12
    assert covered(points, support, neighbours=3) == pytest.approx(inside / 12)


def test_precision_sees_what_is_off_and_recall_what_is_missing(rng: np.random.Generator) -> None:
    whole = np.concatenate([rng.standard_normal((100, 4)), rng.standard_normal((100, 4)) + 20])
    half = rng.standard_normal((100, 4))
    assert covered(half, whole) > 0.9
    assert covered(whole, half) < 0.55
    assert covered(half + 100, whole) == 0.0


def test_spread_is_the_mean_distance_to_the_others() -> None:
    found = spread(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    np.testing.assert_allclose(found, [3.0, (5 + 18**0.5) / 2, (1 + 18**0.5) / 2])
    assert np.isnan(spread(np.zeros((1, 2)))).all()


def test_sets_that_do_not_compare_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not \[4, 2\] and \[4, 3\]"):
        kid(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="2 rows or more"):
        frechet(np.zeros((1, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="more than 3 points, not 3"):
        covered(np.zeros((4, 2)), np.zeros((3, 2)))


def test_the_probe_that_ships_is_small_and_standardised(real: Tensor) -> None:
    assert WEIGHTS.stat().st_size <= 300_000
    found = features(real, load_probe())
    assert found.shape == (256, WIDTH)
    # 256 images: a standard error of 0.06, and 0.04 of the deviation, over 64 features
    assert np.abs(found.mean(0)).max() < 0.3
    assert (np.abs(found.std(0) - 1) < 0.2).all()


def test_features_tell_flaws_and_missing_kinds_from_real_images(shapes: Any, real: Tensor) -> None:
    probe = load_probe()
    others: Tensor = shapes.batch(12, 0, 256)[0]
    base, other = features(real, probe), features(others, probe)
    noisy = others + 0.1 * torch.randn(others.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(others, 3, 1, 1, count_include_pad=False)
    bright = others[others[:, 0, 0, 0] > 0]
    for worse in (noisy.clamp(-1, 1), blurred, bright):
        assert frechet(features(worse, probe), base) > 2 * frechet(other, base)
    for worse in (noisy.clamp(-1, 1), bright):
        assert kid(features(worse, probe), base) > 5 * abs(kid(other, base))


def test_features_know_where_things_are(shapes: Any) -> None:
    """Two scenes of one content, mirrored, are further apart than two draws of one scene."""
    images, captions = shapes.batch(3, 0, 200)
    two = torch.tensor(["above" in it or "below" in it for it in captions])
    probe = load_probe()
    upright, turned = features(images[two], probe), features(images[two].flip(-2), probe)
    assert np.linalg.norm(upright - turned, axis=1).mean() > 3.0


def test_bytes_and_floats_have_the_same_features(real: Tensor) -> None:
    probe = load_probe()
    pixels = ((real[:4] + 1) * 127.5).round().clamp(0, 255)
    np.testing.assert_allclose(
        features(pixels.to(torch.uint8), probe), features(pixels / 127.5 - 1, probe), atol=1e-5
    )
    assert features(torch.zeros(2, 3, 2 * SIZE, SIZE), probe).shape == (2, WIDTH)
    assert features(torch.zeros(0, 3, SIZE, SIZE), probe).shape == (0, WIDTH)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(2, 1, 32, 32), r"\[N, 3, H, W\]"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.int64), "uint8 or floating"),
        (torch.full((1, 3, 32, 32), torch.nan), "not finite"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        features(images, load_probe())


def test_a_missing_probe_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="train_probe trains them"):
        load_probe(tmp_path / "none.safetensors")


def drawn(images: Tensor, dataset: Any = None) -> Drawn:
    return Drawn(
        images=((images + 1) * 127.5).round().to(torch.uint8), prompts=["x"] * len(images), per_prompt=1,
        seconds=1.0, peak_bytes=1, evaluations=1.0, dataset=dataset,
    )  # fmt: skip


@pytest.mark.thorough
def test_metrics_of_real_images_are_at_their_floor_or_ceiling(shapes: Any, real: Tensor) -> None:
    config, near = FeatureConfig(images=256), NeighbourConfig(images=256)
    for metric in (KernelDistance(config), FrechetDistance(config), Precision(near), Recall(near)):
        assert isinstance(metric, Metric)
        assert probe_name() in metric.name
        assert metric.direction == ("higher" if metric.unit == "share" else "lower")
        ideal = metric.on_real(shapes, 256)
        assert metric.whole_set(drawn(real, lambda: shapes)) == pytest.approx(ideal, rel=0.25, abs=0.05)
        spoiled = metric.whole_set(drawn(real.flip(-2) * 0.3, lambda: shapes))
        assert spoiled < ideal - 0.05 if metric.direction == "higher" else spoiled > ideal + 0.05


def test_without_real_images_or_with_too_few_drawn_there_is_no_distance(shapes: Any, real: Tensor) -> None:
    with pytest.raises(GlidepathError, match="has no `data`"):
        KernelDistance(FeatureConfig(images=8)).whole_set(drawn(real[:4]))
    with pytest.raises(GlidepathError, match="needs 4 images or more"):
        Recall(NeighbourConfig(images=8)).whole_set(drawn(real[:3], lambda: shapes))


def test_diversity_is_among_the_images_of_a_prompt(real: Tensor) -> None:
    metric = Diversity(DiversityConfig())
    assert isinstance(metric, Metric)
    images = torch.cat([real[:2], real[5:6], real[2:3], real[2:3]])
    found = metric.per_prompt(images, ["a", "a", "b", "c", "c"])
    apart = np.linalg.norm(np.subtract(*features(real[:2], load_probe())))
    np.testing.assert_allclose(found[:2], apart)
    assert np.isnan(found[2])
    # with several threads the same image may be rounded otherwise at another place of the batch
    (whole,) = features(real[2:3], load_probe())
    np.testing.assert_allclose(found[3:], 0.0, atol=8 * np.finfo(np.float32).eps * np.linalg.norm(whole))


def test_every_feature_metric_is_a_component_that_says_what_it_is() -> None:
    found = feature_metrics()
    assert [it.name for it in found] == ["kid", "frechet", "precision", "recall", "diversity"]
    assert all(it.kind == "metric" and it.summary for it in found)


def test_questions_are_words_and_their_order_that_not_all_captions_share() -> None:
    captions = ["a red star above a ring", "a ring above a red star"] * 50
    questions = Questions.of(captions)
    assert questions.words == ()
    assert ("star", "ring") in questions.pairs
    assert ("ring", "star") in questions.pairs
    answers = questions.answers(captions[:2])
    column = questions.pairs.index(("star", "ring"))
    assert answers[:, column].tolist() == [1.0, 0.0]


def test_half_of_the_images_are_spoiled_in_one_way_each(real: Tensor) -> None:
    spoiled, amounts = spoil(real, torch.Generator().manual_seed(0))
    assert spoiled.shape == real.shape
    assert spoiled.abs().max() <= 1
    assert ((amounts > 0).sum(1) <= 1).all()
    whole = amounts.sum(1) == 0
    assert 0.4 < whole.float().mean() < 0.6
    torch.testing.assert_close(spoiled[whole], real[whole], atol=1e-4, rtol=0)
    assert ((spoiled - real).abs().amax((1, 2, 3))[~whole] > 1e-3).float().mean() > 0.95
    assert amounts.shape[1] == len(FLAWS)


def test_training_begins_to_tell_captions_and_standardises(
    shapes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_training, "_CAPTIONS", 256)
    monkeypatch.setattr(features_training, "_IMAGES", 512)
    probe = train(shapes, steps=3, batch=32)
    found = features(shapes.batch(50, 0, 256)[0], probe)
    assert np.abs(found.mean(0)).max() < 0.35
    assert (np.abs(found.std(0) - 1) < 0.3).all()


class Grey:
    """Flat grey images: bright ones to train on, dark ones held out, if any are."""

    def __init__(self, levels: tuple[float, float], validation: Any = None) -> None:
        self.levels, self.validation = levels, validation

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        generator = torch.Generator().manual_seed(seed + step)
        low, high = self.levels
        levels = low + (high - low) * torch.rand(size, 1, 1, 1, generator=generator)
        return levels.expand(size, 3, 4, 4), [""] * size


def test_features_may_be_of_a_file_and_real_images_are_those_held_out(tmp_path: Path) -> None:
    """Every dark image lies among the held-out ones, and no bright one does."""
    file = tmp_path / "greys.py"
    file.write_text("def features(images):\n    return images.float().mean((1, 2, 3))[:, None] / 255\n")
    dataset = Grey((0.5, 1.0), Grey((-1.0, -0.5)))
    metric = Precision(NeighbourConfig(images=200, features=file))
    assert metric.name.startswith("precision (greys-")
    for levels, share in (((-0.9, -0.6), 1.0), ((0.6, 0.9), 0.0)):
        images, _ = Grey(levels).batch(3, 0, 20)
        assert metric.whole_set(drawn(images, lambda: dataset)) == share
    (apart, _) = Diversity(DiversityConfig(features=file)).per_prompt(
        torch.tensor([0, 51], dtype=torch.uint8)[:, None, None, None].expand(2, 3, 4, 4), ["x", "x"]
    )
    assert apart == pytest.approx(0.2)
    file.write_text("def features(images):\n    return images.float().mean()\n")
    with pytest.raises(GlidepathError, match=r"is to give \[N, D\] finite numbers of 200 images, not \[\]"):
        Precision(NeighbourConfig(images=200, features=file)).whole_set(drawn(images, lambda: dataset))
    file.write_text("feature = 1\n")
    with pytest.raises(ValueError, match=r"the file does not define features\(images\)"):
        FeatureConfig(features=file)
