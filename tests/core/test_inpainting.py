"""What is known of an image stays; the rest is made."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.inpainting import keep_known
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import Sampler
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.samplers.dpmpp import Dpmpp3Sampler, DpmppSampler
from glidepath.plugins.samplers.multistep_configs import Dpmpp3Config, DpmppConfig, UniPcConfig
from glidepath.plugins.samplers.unipc import UniPcSampler

STEP = Step(0, torch.tensor(1), torch.tensor(0.6), torch.tensor(0.8))
SAMPLERS = [
    DdimSampler(DdimConfig(steps=6)),
    DdimSampler(DdimConfig(steps=6, eta=1.0)),
    DdimSampler(DdimConfig(steps=6, known="x_t")),
    DdpmSampler(DdpmConfig(steps=6, variance="fixed-small")),
    DdpmSampler(DdpmConfig(steps=6, variance="fixed-large")),
    DpmppSampler(DpmppConfig(steps=6, end="first")),
    Dpmpp3Sampler(Dpmpp3Config(steps=6, end="first")),
    UniPcSampler(UniPcConfig(steps=6, end="first")),
    UniPcSampler(UniPcConfig(steps=6, end="first", known="x_t")),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def half() -> Tensor:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    return mask


def says(value: Tensor) -> Predict:
    """A predictor that sees the same noise in everything, and a variance and a gradient."""
    return lambda x, step: Prediction(
        value, "epsilon", x, step, variance_fraction=0 * x + 0.3, gradient=0 * x + 0.1
    )


def restored(epsilon: Tensor, x: Tensor, image: Tensor, mask: Tensor) -> Prediction:
    conditioning = Conditioning.of(x.shape[0], image=image, mask=mask)
    return keep_known(lambda _conditioning: says(epsilon))(conditioning)(x, STEP)


def test_known_pixels_of_x_0_are_those_of_the_image() -> None:
    x, epsilon, image = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1), random(2, 3, 4, 4, seed=2)
    sample = restored(epsilon, x, image, half().expand(2, -1, -1, -1)).sample
    assert torch.equal(sample[..., :2], image[..., :2])
    expected = (x - STEP.sigma * epsilon) / STEP.alpha
    assert torch.allclose(sample[..., 2:], expected[..., 2:], atol=1e-6)


def test_the_noise_follows_from_the_restored_x_0() -> None:
    x, epsilon, image = random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1), random(1, 3, 4, 4, seed=2)
    prediction = restored(epsilon, x, image, half())
    assert torch.allclose(STEP.alpha * prediction.sample + STEP.sigma * prediction.epsilon, x, atol=1e-6)
    assert torch.allclose(prediction.epsilon[..., 2:], epsilon[..., 2:], atol=1e-5)


def test_variance_and_gradient_are_left_as_they_were() -> None:
    x = random(1, 3, 4, 4)
    prediction = restored(x, x, x, half())
    assert prediction.variance_fraction is not None
    assert prediction.gradient is not None
    assert bool((prediction.variance_fraction == 0.3).all())
    assert bool((prediction.gradient == 0.1).all())


def test_known_pixels_of_x_t_are_those_of_the_image_under_the_first_noise() -> None:
    x, noise, image = random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1), random(1, 3, 4, 4, seed=2)
    seen: list[Tensor] = []

    def predict(x: Tensor, step: Step) -> Prediction:
        seen.append(x)
        return says(0 * x)(x, step)

    conditioning = Conditioning.of(1, image=image, mask=half())
    bound = keep_known(lambda _conditioning: predict, noise)(conditioning)
    for index in range(2):
        bound(x, Step(index, torch.tensor(1), torch.tensor(0.6), torch.tensor(0.8)))
    first, second = seen
    assert torch.equal(first, x)
    assert torch.allclose(second[..., :2], (0.6 * image + 0.8 * noise)[..., :2])
    assert torch.equal(second[..., 2:], x[..., 2:])


@pytest.mark.parametrize("absent", ["image", "mask"])
def test_without_image_or_mask_there_is_nothing_to_keep(absent: str) -> None:
    given = {"image": random(1, 3, 4, 4), "mask": half(), absent: None}
    with pytest.raises(PartError, match="needs both image and mask"):
        keep_known(lambda _conditioning: says(random(1)))(Conditioning.of(1, **given))


class Contrast(Denoiser):
    """x_0 is as x_t says, pixel by pixel."""

    predicts = "sample"
    learned_variance = False
    image_shape = (3, 4, 4)

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return 0.4 * x

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        return lambda x, step: self.interpret(self(x, step.t, conditioning), x, step)


def pipeline(sampler: Sampler) -> Pipeline:
    schedule = VariancePreservingSchedule([0.01, 0.1, 0.2, 0.4, 0.6, 0.8])
    return Pipeline(schedule=schedule, denoiser=Contrast(), sampler=sampler)


IMAGE = torch.randint(0, 256, (1, 3, 4, 4), generator=torch.Generator().manual_seed(3)).byte()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_known_pixels_end_as_they_were_given_and_the_others_as_without_them(sampler: Sampler) -> None:
    """The denoiser sees each pixel by itself, so that those that are made do not depend on those known."""
    parts = pipeline(sampler)
    images = parts(["a", "b"], seed=4, image=IMAGE, mask=half())
    assert torch.equal(images[..., :2], IMAGE[..., :2].expand(2, -1, -1, -1))
    assert torch.equal(images[..., 2:], parts(["a", "b"], seed=4)[..., 2:])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_mask_of_ones_gives_the_image_back_and_one_of_zeros_changes_nothing(sampler: Sampler) -> None:
    parts = pipeline(sampler)
    assert torch.equal(parts(["a"], image=IMAGE, mask=torch.ones(1, 1, 4, 4)), IMAGE)
    assert torch.equal(parts(["a"], image=IMAGE, mask=torch.zeros(1, 1, 4, 4)), parts(["a"]))


def test_an_image_of_which_nothing_says_what_is_kept_is_refused() -> None:
    with pytest.raises(PartError, match="neither a mask nor a strength says what is kept of it"):
        pipeline(DdimSampler(DdimConfig(steps=2)))(["a"], image=IMAGE)


def test_each_image_may_have_a_mask_of_its_own() -> None:
    masks = torch.cat([half(), 1 - half()])
    images = pipeline(SAMPLERS[0])(["a", "b"], image=IMAGE, mask=masks)
    assert torch.equal(images[0, ..., :2], IMAGE[0, ..., :2])
    assert torch.equal(images[1, ..., 2:], IMAGE[0, ..., 2:])


def test_known_pixels_are_kept_where_the_walk_begins_from_the_image_too() -> None:
    images = pipeline(SAMPLERS[1])(["a"], image=IMAGE, mask=half(), strength=0.5)
    assert torch.equal(images[..., :2], IMAGE[..., :2])


def test_known_pixels_brighter_than_the_clip_allows_do_not_arise() -> None:
    """x_0 is restored before the sampler clips it: 8 bits lie within [-1, 1], so nothing is lost."""
    white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    states = list(pipeline(SAMPLERS[0]).states(["a"], image=white, mask=half()))
    assert all(bool((state.sample[..., :2] == 1).all()) for state in states)
