"""The mathematics of each family, against something that was not made of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from glidepath.core import (
    Condition,
    Conditioning,
    Denoiser,
    Noise,
    NoiseLevels,
    NoiseSchedule,
    PartError,
    PerSampleNoise,
    Predict,
    Prediction,
    Sampler,
    State,
    Step,
    TextEmbedding,
)
from glidepath_families.adversarial import Adversarial, judged_with_slope, relativistic
from glidepath_families.autoregressive import Autoregressive
from glidepath_families.config import (
    AutoregressiveConfig,
    DiffusionConfig,
    FlowConfig,
    GanConfig,
    VaeConfig,
)
from glidepath_families.diffusion import Diffusion
from glidepath_families.flow import Flow
from glidepath_families.fsq import FiniteScalarQuantizer
from glidepath_families.gan import Gan, truncated
from glidepath_families.generator import draws
from glidepath_families.objective_config import AdversarialConfig, BoundConfig
from glidepath_families.objectives import Bound, bits
from glidepath_families.text import TextVector
from glidepath_families.vae import Vae, kl

Net = TypeVar("Net", bound=nn.Module)


def text(batch: int, width: int = 4, length: int = 3) -> Conditioning:
    """A conditioning by random texts, of which the last has one token only."""
    drawn = torch.Generator().manual_seed(batch)
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[-1, 1:] = False
    said = TextEmbedding(None, torch.randn(batch, length, width, generator=drawn), mask)
    null = TextEmbedding(None, torch.zeros(1, length, width), mask[-1:])
    return Conditioning(batch, {"text": Condition(said, null)})


def log_normal(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """log N(x; mean, exp(2 log_deviation)), value by value, as torch has it."""
    normal = torch.distributions.Normal(mean, log_deviation.exp())
    made: Tensor = normal.log_prob(x)  # type: ignore[no-untyped-call]
    return made


def nothing(batch: int) -> Conditioning:
    return Conditioning(batch, {})


def stirred(module: Net, deviation: float = 0.3) -> Net:
    """The module with random weights where it begins with zeros."""
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(deviation * torch.randn(parameter.shape, generator=drawn))
    return module.eval()


# flow


def small_flow(**changes: Any) -> Flow:
    values = {"image_size": (4, 4), "channels": 1, "patch": 2, "layers": 3, "width": 16, "depth": 1}
    torch.manual_seed(0)
    return stirred(Flow(FlowConfig(**{**values, "heads": 2, "text_width": 4, **changes})), 0.2).double()


def test_the_log_determinant_of_a_flow_is_that_of_its_jacobian() -> None:
    flow, x = small_flow(), torch.randn(2, 1, 4, 4, dtype=torch.float64)
    conditioning = text(2)
    _, log_det = flow.encoded(x, conditioning)
    for row in range(2):
        own = Conditioning(1, {"text": Condition(_row(conditioning, row))})

        def encoded(flat: Tensor, own: Conditioning = own) -> Tensor:
            return flow.encoded(flat.reshape(1, 1, 4, 4), own)[0].flatten()

        jacobian = torch.func.jacrev(encoded)(x[row].flatten())
        assert float(torch.linalg.slogdet(jacobian).logabsdet) == pytest.approx(float(log_det[row]), abs=1e-9)


def _row(conditioning: Conditioning, row: int) -> TextEmbedding:
    said = conditioning.conditions["text"].value
    return TextEmbedding(None, said.tokens[row : row + 1], said.mask[row : row + 1])


def test_a_flow_comes_back_from_its_latents() -> None:
    """Of a flow whose latents are as far from zero as those of a trained one."""
    config = FlowConfig(image_size=(8, 8), patch=2, layers=4, width=32, depth=1, heads=2, text_width=4)
    torch.manual_seed(0)
    flow, x, conditioning = stirred(Flow(config), 0.05), torch.rand(3, 3, 8, 8) * 2 - 1, text(3)
    with torch.no_grad():
        latent = flow.latent(x, conditioning)
        again = flow.from_latent(latent, conditioning)
        there = flow.latent(again, conditioning)
    assert 3 < float(latent.abs().max()) < 10
    assert float((again - x).abs().max()) < 1e-5
    assert float((there - latent).abs().max()) < 1e-5 * float(latent.abs().max())


def test_the_density_of_a_flow_integrates_to_one() -> None:
    flow = small_flow(image_size=(1, 2), patch=1, text_width=None)
    side = torch.linspace(-12, 12, 121, dtype=torch.float64)
    points = torch.cartesian_prod(side, side).reshape(-1, 1, 1, 2)
    with torch.no_grad():
        density = flow.log_likelihood(points, nothing(len(points))).exp()
    assert float(density.sum()) * float(side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_a_latent_between_two_makes_an_image_between_them() -> None:
    flow = small_flow(text_width=None)
    one, other = torch.randn(2, 16, dtype=torch.float64).unbind()
    with torch.no_grad():
        made = flow.interpolate(one, other, 3, nothing(3))
        ends = flow.from_latent(torch.stack([one, other]), nothing(2))
    assert torch.allclose(made[[0, 2]], ends)
    assert made.shape == (3, 1, 4, 4)


# autoregressive


def small_autoregressive(**changes: Any) -> Autoregressive:
    sizes = {"image_size": (2, 2), "channels": 1, "factor": 1, "levels": (3,), "width": 16, "depth": 2}
    torch.manual_seed(0)
    config = AutoregressiveConfig(**{**sizes, "heads": 2, "code_width": 4, "text_width": 4, **changes})
    return stirred(Autoregressive(config))


def test_the_probabilities_of_all_rows_of_tokens_sum_to_one() -> None:
    model = small_autoregressive()
    rows = torch.tensor(list(itertools.product(range(3), repeat=4)))
    said = _row(text(2), 0)
    there = torch.ones(1, 3, dtype=torch.bool)
    many = Conditioning(
        len(rows),
        {"text": Condition(TextEmbedding(None, said.tokens.expand(81, -1, -1), there.expand(81, -1)))},
    )
    with torch.no_grad():
        total = model.token_log_likelihood(rows, many).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_a_cache_gives_what_a_whole_pass_gives() -> None:
    model, conditioning, tokens = small_autoregressive(), text(3), torch.randint(3, (3, 4))
    with torch.no_grad():
        whole = model.logits(tokens, conditioning)
        reading, found = model.rows.reading(conditioning), []
        for index in range(4):
            found.append(model.leave(reading.h()))
            reading.say(model.embed(tokens[:, index : index + 1]))
    assert float((torch.cat(found, 1) - whole).abs().max()) < 1e-5


def test_a_token_sees_none_that_follow() -> None:
    model, conditioning = small_autoregressive(), text(1)
    with torch.no_grad():
        one = model.logits(torch.tensor([[0, 1, 2, 0]]), conditioning)
        other = model.logits(torch.tensor([[0, 1, 0, 2]]), conditioning)
    assert torch.equal(one[:, :3], other[:, :3])
    assert not torch.equal(one[:, 3], other[:, 3])


def test_what_may_be_drawn_is_what_top_k_and_top_p_leave() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    alone = small_autoregressive(levels=(4,), temperature=0.5).probabilities(logits)
    assert torch.allclose(alone, torch.tensor([[0.25, 0.09, 0.0225, 0.0025]]) / 0.365)
    top_k = small_autoregressive(levels=(4,), top_k=2).probabilities(logits)
    assert torch.allclose(top_k, torch.tensor([[0.625, 0.375, 0, 0]]))
    top_p = small_autoregressive(levels=(4,), top_p=0.75).probabilities(logits)
    assert torch.allclose(top_p, torch.tensor([[0.625, 0.375, 0, 0]]))
    least = small_autoregressive(levels=(4,), top_p=0.1).probabilities(logits)
    assert least.tolist() == [[1, 0, 0, 0]]


def test_tokens_are_drawn_as_often_as_their_probabilities_say() -> None:
    model = small_autoregressive(image_size=(1, 1), text_width=None)
    with torch.no_grad():
        expected = model.logits(torch.zeros(1, 1, dtype=torch.int64), nothing(1)).softmax(-1)[0, 0]
        noise = PerSampleNoise([(0, row) for row in range(4000)])
        drawn = model.drawn(nothing(4000), torch.empty(4000, 1, 1, 1), noise)
    shares = torch.bincount(drawn[:, 0], minlength=3) / 4000
    assert float((shares - expected).abs().max()) < 4 * 0.5 / math.sqrt(4000)


def test_guidance_moves_logits_away_from_those_without_a_text() -> None:
    conditioning, x = text(64), torch.empty(64, 1, 2, 2)
    with torch.no_grad():
        plain = small_autoregressive().drawn(conditioning, x, draws(64))
        silent = small_autoregressive(guidance=0.0).drawn(conditioning, x, draws(64))
        null = small_autoregressive().drawn(conditioning.null(), x, draws(64))
    assert torch.equal(silent, null)
    assert not torch.equal(silent, plain)


def test_tokens_and_codes_stand_for_each_other() -> None:
    quantizer = FiniteScalarQuantizer((4, 3, 2))
    tokens = torch.arange(24)
    codes = quantizer.codes(tokens)
    assert len({tuple(code) for code in codes.tolist()}) == 24
    assert float(codes.abs().max()) == 1
    z = 2 * torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(quantizer(z), quantizer.codes(quantizer.tokens(z)), atol=1e-6)
    assert set(quantizer.tokens(z).tolist()) == set(range(24))
    z.requires_grad_(True)
    (slope,) = torch.autograd.grad(quantizer(z).sum(), z)
    assert float(slope.abs().max()) > 0


def test_a_family_without_likelihood_says_so() -> None:
    with pytest.raises(PartError, match="knows no likelihood"):
        small_autoregressive().log_likelihood(torch.zeros(1, 1, 2, 2), text(1))


# vae


def small_vae(deviation: float = 0.3, **changes: Any) -> Vae:
    values = {"image_size": (1, 2), "channels": 1, "halvings": 0, "layers": 1, "latent": 1, "width": 8}
    torch.manual_seed(0)
    return stirred(Vae(VaeConfig(**{**values, "importance_samples": 400, **changes})), deviation)


def test_the_divergence_of_normals_is_that_of_torch() -> None:
    one, other = (torch.randn(2, 5), torch.randn(2, 5)), (torch.randn(2, 5), torch.randn(2, 5))
    normals = [torch.distributions.Normal(mean, log.exp()) for mean, log in (one, other)]
    assert torch.allclose(kl(one, other), torch.distributions.kl_divergence(*normals), rtol=1e-4)


def test_the_bound_lies_below_the_likelihood_which_importance_sampling_finds() -> None:
    """Two latents of one layer: the integral over them is summed on a grid."""
    vae = small_vae(0.1)
    vae.log_deviation.data.fill_(0.0)  # wide, so that samples of an untrained posterior weigh about alike
    x = torch.tensor([[0.3, -0.2], [0.0, 0.5]]).reshape(2, 1, 1, 2)
    side = torch.linspace(-7, 7, 71)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        made = vae.from_latent(grid, nothing(len(grid)))
        weight = log_normal(grid, torch.zeros(2), torch.zeros(2)).sum(1)
        of_rows = [log_normal(row, made, vae.log_deviation).flatten(1).sum(1) for row in x]
        log_p = torch.stack([(found + weight).logsumexp(0) for found in of_rows])
        exact = log_p + 2 * math.log(float(side[1] - side[0]))
        estimated = vae.log_likelihood(x, nothing(2))
        source = PerSampleNoise([(3, row) for row in range(400)])
        many = x.repeat(200, 1, 1, 1)
        bound = vae.explained(many, nothing(400), source.step).bound.reshape(200, 2).mean(0)
    assert torch.allclose(estimated, exact, atol=0.05)
    assert bool((bound < exact).all())


def test_free_bits_cost_nothing_and_no_more_than_they_are() -> None:
    vae = small_vae(layers=2)
    x = torch.zeros(4, 1, 1, 2)

    def loss(free: float) -> float:
        drawn = torch.Generator().manual_seed(0)
        config = BoundConfig(level=1e-6, free_bits=free)
        return float(Bound(config).loss(vae, x, nothing(4), drawn))

    drawn = torch.Generator().manual_seed(0)
    torch.rand(x.shape, generator=drawn)
    with torch.no_grad():
        found = vae.explained(x, nothing(4), lambda _index, like: torch.randn(like.shape, generator=drawn))
    kls = [float(it.mean()) for it in found.kls]
    assert loss(0.0) == pytest.approx(float(bits(found.bound, x, 1e-6)), rel=1e-4)
    larger = (max(kls) + 1) / math.log(2)
    above = loss(larger) - loss(0.0)  # both layers are charged as much as is free, in bits for two values
    assert above == pytest.approx((2 * larger - sum(kls) / math.log(2)) / 2, rel=1e-3)


def test_the_mean_latent_of_an_image_is_where_its_posteriors_lie() -> None:
    vae = small_vae(layers=2, latent=2)
    x = torch.rand(3, 1, 1, 2)
    with torch.no_grad():
        made = vae.from_latent(vae.latent(x, nothing(3)), nothing(3))

        def none(_index: int, like: Tensor) -> Tensor:
            return torch.zeros_like(like)

        reconstruction = vae.explained(x, nothing(3), none).reconstruction
        expected = log_normal(x, made, vae.log_deviation).flatten(1).sum(1)
    assert torch.allclose(expected, reconstruction, rtol=1e-4, atol=1e-4)


# text


def test_a_prompt_without_a_token_is_heard_as_nothing() -> None:
    vector = stirred(TextVector(4, 8))
    said = TextEmbedding(None, torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool))
    found = vector(Conditioning(2, {"text": Condition(said)}))
    assert torch.equal(found, vector.say.bias.expand(2, -1))
    assert not torch.equal(vector(text(2))[0], found[0])


# gan


class Bowl(nn.Module):
    """D(x) = x A x + b x, whose slope is (A + A^T) x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor, conditioning: Conditioning) -> Tensor:
        flat = x.flatten(1)
        return torch.einsum("bi,ij,bj->b", flat, self.a, flat) + flat @ self.b


def test_the_penalties_are_the_squared_slopes_of_the_discriminator() -> None:
    """R1 at real images, R2 at made ones; and the gradient that they give its weights."""
    bowl, x = Bowl(), torch.randn(5, 1, 2, 3)
    _, slope = judged_with_slope(bowl, x, nothing(5))
    flat = x.flatten(1)
    expected = flat @ (bowl.a + bowl.a.T) + bowl.b
    assert torch.allclose(slope, expected.square().sum(1), rtol=1e-4)
    (taught,) = torch.autograd.grad(slope.sum(), bowl.b)
    assert torch.allclose(taught, 2 * expected.sum(0), rtol=1e-4)


def test_the_loss_of_a_discriminator_is_the_sum_of_its_parts() -> None:
    adversarial = Adversarial(AdversarialConfig(gamma=0.7, mismatch=0.5))
    adversarial.attach(small_gan())
    real, made, conditioning = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2), text(3)
    judge = stirred(adversarial.discriminator)
    said = conditioning.conditions["text"].value
    rolled = TextEmbedding(None, said.tokens.roll(1, 0), said.mask.roll(1, 0))
    d_real, d_made = judge(real, conditioning), judge(made, conditioning)
    d_wrong = judge(real, Conditioning(3, {"text": Condition(rolled)}))
    slopes = [judged_with_slope(judge, x, conditioning)[1] for x in (real, made)]
    expected = torch.log1p((d_made - d_real).exp()).mean()
    expected = expected + 0.5 * torch.log1p((d_wrong - d_real).exp()).mean()
    expected = expected + 0.35 * (slopes[0].mean() + slopes[1].mean())
    found = adversarial.of_discriminator(real, made, conditioning)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def small_gan(**changes: Any) -> Gan:
    values = {"image_size": (2, 2), "channels": 1, "halvings": 1, "width": 8, "latent": 4, "text_width": 4}
    torch.manual_seed(0)
    return stirred(Gan(GanConfig(**{**values, **changes})))


def test_each_of_the_two_goes_down_its_own_loss_alone() -> None:
    gan, conditioning, real = small_gan(), text(4), torch.randn(4, 1, 2, 2)
    adversarial = Adversarial(AdversarialConfig())
    adversarial.attach(gan)
    judge = stirred(adversarial.discriminator)
    loss = adversarial.loss(gan, real, conditioning, torch.Generator().manual_seed(0))
    loss.backward()  # type: ignore[no-untyped-call]
    z = torch.randn((4, 4), generator=torch.Generator().manual_seed(0))
    made = gan.from_latent(z, conditioning)
    theirs, own = list(judge.parameters()), list(gan.parameters())
    of_judge = torch.autograd.grad(
        adversarial.of_discriminator(real, made.detach(), conditioning), theirs, allow_unused=True
    )
    fooled = relativistic(judge(made, conditioning), judge(real, conditioning)).mean()
    of_gan = torch.autograd.grad(fooled, own, allow_unused=True)
    for parameter, expected in zip([*theirs, *own], [*of_judge, *of_gan], strict=True):
        if expected is not None:
            assert parameter.grad is not None
            assert torch.allclose(parameter.grad, expected, rtol=1e-3, atol=1e-6)


def test_truncated_latents_have_the_distribution_of_normal_ones_within_a_bound() -> None:
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    found = truncated(z, 1.0)
    assert float(found.abs().max()) <= 1
    # the variance of a normal number that is known to lie within one deviation
    expected = 1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / math.erf(1 / math.sqrt(2))
    assert float(found.var()) == pytest.approx(expected, abs=0.005)
    assert torch.equal(truncated(z, 0.0), z)


# diffusion


class Posterior(Denoiser):
    """The mean of x_0 given x_t, where x_0 is N(mean, deviation^2) at every value: the best there is."""

    predicts = "sample"
    learned_variance = False
    image_shape = (1, 4, 4)
    deviation = 0.5

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return x

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        raise NotImplementedError

    def interpret(self, value: Tensor, x: Tensor, step: Step) -> Prediction:
        gain = step.alpha * self.deviation**2 / ((step.alpha * self.deviation) ** 2 + step.sigma**2)
        return Prediction(self.mean + gain * (x - step.alpha * self.mean), "sample", x, step)


class Chain(NoiseSchedule):
    """8,000 steps, evenly spread over log(alpha / sigma)."""

    num_steps, continuous = 8000, False

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        ratio = (5.3 - 10.3 * t.double() / self.num_steps).exp()
        return ratio / (1 + ratio**2).sqrt(), 1 / (1 + ratio**2).sqrt()


class NoSteps(Sampler):
    """Of a chain that is not sampled."""

    def levels(self, schedule: NoiseSchedule, strength: float = 1.0) -> NoiseLevels:
        return schedule.levels(2)

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        raise NotImplementedError


def test_the_bound_of_a_chain_whose_denoiser_is_right_is_the_likelihood() -> None:
    config = DiffusionConfig(schedule=None, denoiser=None, sampler=None, likelihood_steps=100)
    drawn = torch.Generator().manual_seed(0)
    x_0 = 0.3 + 0.5 * torch.randn(64, 1, 4, 4, dtype=torch.float64, generator=drawn)
    exact = log_normal(x_0, torch.tensor(0.3), torch.tensor(0.5).log()).flatten(1).sum(1).mean()

    def bound(mean: float) -> float:
        made = Diffusion(config, schedule=Chain(), denoiser=Posterior(mean), sampler=NoSteps())
        return float(made.log_likelihood(x_0, nothing(64)).mean())

    # 0.03 is the standard error of these draws; a weight twice as large would be 4 off
    assert bound(0.3) / 16 == pytest.approx(float(exact) / 16, abs=0.09)
    # the divergence of N(0, 0.5^2) from what images are, at each of 16 values
    assert bound(0.0) / 16 == pytest.approx(float(exact) / 16 - 0.5 * (0.3 / 0.5) ** 2, abs=0.09)
