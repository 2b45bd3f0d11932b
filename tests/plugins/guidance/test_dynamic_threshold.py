"""Each predicted x_0 is scaled back into [-1, 1] by what most of its pixels need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.prediction import PredictionKind
from glidepath.plugins.guidance.dynamic_threshold import DynamicThreshold, percentile
from glidepath.plugins.guidance.modifier_configs import DynamicThresholdConfig

from .steps import Labelled, noise, walk


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity"])
@given(share=st.floats(0.01, 1), scale=st.floats(0.1, 10))
def test_the_program_of_the_paper(kind: PredictionKind, share: float, scale: float) -> None:
    """Saharia et al. 2022, section 2.3 and its listing, rendered with NumPy in float64."""
    denoiser = Labelled(kind, scale)
    guided = walk(DynamicThreshold(DynamicThresholdConfig(percentile=share)), denoiser=denoiser)
    for plain, prediction in zip(walk(denoiser=denoiser), guided, strict=True):
        for row in range(2):
            x_0 = plain.sample[row].double().numpy()
            s = max(np.percentile(np.abs(x_0), 100 * share), 1.0)
            expected = np.clip(x_0, -s, s) / s
            np.testing.assert_allclose(prediction.sample[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("most", [1.0, 1.2, 3.0])
def test_no_image_is_scaled_by_more_than_one_says(most: float) -> None:
    denoiser = Labelled("sample", 5.0)
    guided = walk(DynamicThreshold(DynamicThresholdConfig(sample_max=most)), denoiser=denoiser)
    for plain, prediction in zip(walk(denoiser=denoiser), guided, strict=True):
        for row in range(2):
            x_0 = plain.sample[row].double().numpy()
            s = np.clip(np.percentile(np.abs(x_0), 99.5), 1, most)
            np.testing.assert_allclose(prediction.sample[row], np.clip(x_0, -s, s) / s, rtol=1e-4, atol=1e-5)


@given(share=st.floats(0, 1), count=st.integers(1, 30))
def test_percentiles_are_those_of_numpy(share: float, count: int) -> None:
    values = torch.randn(3, count, generator=torch.Generator().manual_seed(count))
    expected = np.percentile(values.double().numpy(), 100 * share, axis=1)
    np.testing.assert_allclose(percentile(values, share), expected, rtol=1e-4, atol=1e-5)


def test_an_image_within_the_bounds_stays_as_it_is_to_the_last_bit() -> None:
    denoiser = Labelled("sample", scale=0.1)
    guided = walk(DynamicThreshold(DynamicThresholdConfig(percentile=0.5)), denoiser=denoiser)
    for plain, prediction in zip(walk(denoiser=denoiser), guided, strict=True):
        assert torch.equal(prediction.sample, plain.sample)


@given(scale=st.floats(0.1, 1000))
def test_every_image_ends_within_the_bounds(scale: float) -> None:
    for prediction in walk(DynamicThreshold(DynamicThresholdConfig()), denoiser=Labelled("sample", scale)):
        assert prediction.sample.abs().max() <= 1


def test_what_else_was_predicted_is_kept() -> None:
    for plain, prediction in zip(walk(), walk(DynamicThreshold(DynamicThresholdConfig())), strict=True):
        assert prediction.variance_fraction is not None
        assert torch.equal(prediction.variance_fraction, plain.variance_fraction)  # type: ignore[arg-type]
        assert torch.equal(prediction.x, noise(prediction.step.index))


@pytest.mark.thorough
def test_an_image_of_more_values_than_torch_quantile_takes() -> None:
    values = torch.arange(2**24 + 2, dtype=torch.float32)[None] / 2**24
    with pytest.raises(RuntimeError, match="too large"):
        values.quantile(0.995)
    assert percentile(values, 0.995).item() == pytest.approx(0.995, abs=1e-4)
