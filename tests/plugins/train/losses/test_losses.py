"""What a step trains: timesteps, weights of the loss, dropped captions, the learned variance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.plugins.train.tiny import (
    SIZE,
    WORDS,
    Colours,
    TinyDenoiser,
    TinyTextEncoder,
    config,
    make_run,
)
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning, TextEmbedding
from glidepath.core.errors import PartError
from glidepath.core.prediction import PredictionKind
from glidepath.core.text_encoder import TextEncoder
from glidepath.plugins.schedules.configs import CosineConfig, EdmConfig, FlowConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.losses.configs import EdmWeightingConfig, MinSnrConfig
from glidepath.plugins.train.losses.loss import add_noise, drop_captions, predict, squared_error
from glidepath.plugins.train.losses.symmetric import says_the_same, symmetric_cross_entropy
from glidepath.plugins.train.losses.timesteps import normal_times, shifted_times
from glidepath.plugins.train.losses.variational import VariationalBound
from glidepath.plugins.train.losses.weighting import EdmWeighting, MinSnrWeighting
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.stages.contrast import ContrastiveHead, ContrastStage
from glidepath.plugins.train.stages.denoising import DenoisingStage

NOWHERE = Path("nowhere")
COSINE = CosineSchedule(CosineConfig())


def test_without_a_shift_timesteps_are_uniform() -> None:
    uniform = (torch.arange(1000) + 0.5) / 1000
    assert torch.equal(shifted_times((1000 * uniform).long(), COSINE, 1.0), torch.arange(1000))


@pytest.mark.parametrize("shift", [0.5, 2.0, 3.0])
def test_shifted_timesteps_of_the_cosine_schedule_follow_its_closed_form(shift: float) -> None:
    """alpha_bar = f((t + 1) / N) / f(0) with f(u) = cos^2((u + 0.008) / 1.008 pi / 2), inverted."""
    t = torch.arange(980)  # the last betas are capped
    angle = 0.008 / 1.008 * math.pi / 2
    alpha_bar = (((t + 1) / 1000 + 0.008) / 1.008 * math.pi / 2).double().cos() ** 2 / math.cos(angle) ** 2
    wanted = 1 / (1 + shift**2 * (1 / alpha_bar - 1))
    u = (wanted * math.cos(angle) ** 2).sqrt().acos() * 2 / math.pi * 1.008 - 0.008
    expected = (u * 1000).ceil() - 1
    chosen = shifted_times(t, COSINE, shift)
    inside = expected < 980
    assert inside.sum() > 600
    assert torch.equal(chosen[inside], expected[inside].long())


def test_shifted_timesteps_stay_within_the_schedule() -> None:
    uniform = torch.tensor([0.0, 0.5, 1 - 2**-24])
    for shift in (1e-6, 1e6):
        chosen = shifted_times((1000 * uniform).long(), COSINE, shift)
        assert 0 <= int(chosen.min()) <= int(chosen.max()) <= 999


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_shifted_times_of_a_flow_have_that_much_more_noise(shift: float) -> None:
    uniform = torch.tensor([0.1, 0.5, 0.9])
    alpha, sigma = FlowSchedule(FlowConfig()).alpha_sigma(
        shifted_times(uniform.double(), FlowSchedule(FlowConfig()), shift)
    )
    torch.testing.assert_close(sigma / alpha, (shift * uniform / (1 - uniform)).double(), rtol=1e-6, atol=0)


def test_normal_times_have_the_noise_levels_that_were_drawn() -> None:
    normal = torch.tensor([-1.5, 0.0, 0.5])
    wanted = (-0.4 + 1.2 * normal.double()).exp()
    for schedule in (FlowSchedule(FlowConfig()), EdmSchedule(EdmConfig())):
        alpha, sigma = schedule.alpha_sigma(normal_times(normal, schedule, -0.4, 1.2))
        torch.testing.assert_close(sigma / alpha, wanted)
    alpha, sigma = COSINE.alpha_sigma(normal_times(normal, COSINE, -0.4, 1.2))
    torch.testing.assert_close(sigma / alpha, wanted, rtol=5e-3, atol=0)  # the nearest of 1000 timesteps


@pytest.mark.parametrize("kind", ["sample", "epsilon", "velocity", "flow"])
def test_the_weight_of_edm_makes_the_error_of_its_network_count_alike_at_all_levels(
    kind: PredictionKind,
) -> None:
    """D = c_skip x + c_out F (Karras et al. 2022, equation 7): an F off by 1, told as another kind."""
    sigma_data, sigma = 0.5, torch.tensor([0.002, 0.3, 80.0], dtype=torch.float64)
    alpha = torch.ones_like(sigma)
    off = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()  # of x_0: c_out
    told = {
        "sample": off,
        "epsilon": off / sigma,
        "velocity": off / sigma * (1 + sigma**2),
        "flow": off / sigma * (1 + sigma),
    }
    weighed = (
        EdmWeighting(EdmWeightingConfig(sigma_data=sigma_data)).weight(kind, alpha, sigma) * told[kind] ** 2
    )
    torch.testing.assert_close(weighed, torch.ones_like(sigma))


def test_a_denoiser_of_a_flow_is_trained_at_times_drawn_evenly() -> None:
    """Against the error of each sample: epsilon - x_0 at u x_0 + (1 - u) epsilon."""
    run = make_run(NOWHERE, schedule=FlowSchedule(FlowConfig()), denoiser={"predicts": "flow"})
    images, captions = Colours().batch(0, 0, 4)
    loss = DenoisingStage(config(caption_dropout=0.0), run).loss(
        Batch(images, captions), draws.generator(0, 0)
    )
    generator = draws.generator(0, 0)
    u = torch.rand(4, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    t, x_t = 1000 * u, torch.lerp(images, noise, u[:, None, None, None])
    assert run.text_encoder is not None
    predicted = run.denoiser(x_t, t, Conditioning(4, {"text": Condition(run.text_encoder(captions))}))
    torch.testing.assert_close(loss, (predicted - (noise - images)).square().mean())


def test_a_learned_variance_is_not_trained_in_continuous_time() -> None:
    run = make_run(NOWHERE, schedule=FlowSchedule(FlowConfig()), denoiser={"learned_variance": True})
    with pytest.raises(PartError, match="learned_variance: false"):
        DenoisingStage(config(), run)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights_are_those_of_the_paper(gamma: float) -> None:
    """Hang et al. 2023, section 3.4, for alpha^2 + sigma^2 = 1."""
    alpha, sigma = COSINE.alpha_sigma(torch.arange(0, 1000, 37))
    snr = alpha**2 / sigma**2
    capped = torch.minimum(snr, torch.tensor(gamma, dtype=torch.float64))
    expected: dict[PredictionKind, Tensor] = {
        "sample": capped,
        "epsilon": capped / snr,
        "velocity": capped / (snr + 1),
    }
    for kind, weight in expected.items():
        torch.testing.assert_close(
            MinSnrWeighting(MinSnrConfig(gamma=gamma)).weight(kind, alpha, sigma), weight, rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("kind", ["sample", "epsilon", "velocity", "flow"])
def test_min_snr_weighs_the_same_error_of_x_0_whatever_is_predicted(kind: PredictionKind) -> None:
    alpha, sigma = COSINE.alpha_sigma(torch.tensor([10, 500, 900]))
    size = (alpha**2 + sigma**2) / sigma
    for_x_0_off_by_1 = {
        "sample": 1 + 0 * alpha,
        "epsilon": alpha / sigma,
        "velocity": size,
        "flow": (alpha + sigma) / sigma,
    }
    weighed = MinSnrWeighting(MinSnrConfig()).weight(kind, alpha, sigma) * for_x_0_off_by_1[kind] ** 2
    torch.testing.assert_close(weighed, (alpha / sigma).square().clamp(max=5.0))


def test_min_snr_weights_the_loss_of_a_step() -> None:
    """Against the error of each sample, weighed one by one."""
    run = make_run(NOWHERE)
    stage = DenoisingStage(config(caption_dropout=0.0), run, MinSnrWeighting(MinSnrConfig()))
    images, captions = Colours().batch(0, 0, 4)
    loss = stage.loss(Batch(images, captions), draws.generator(0, 0))
    generator = draws.generator(0, 0)
    t = (torch.rand(4, generator=generator) * 100).long()
    noise = torch.randn(images.shape, generator=generator)
    assert run.text_encoder is not None
    x_t, step = add_noise(run.schedule, images, noise, t)
    error = squared_error(predict(run.denoiser, x_t, step, text=run.text_encoder(captions)), images, noise)
    alpha, sigma = run.schedule.alpha_sigma(t)
    weight = (5 / (alpha / sigma) ** 2).clamp(max=1)
    torch.testing.assert_close(loss, (error * weight).mean().float())


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity", "flow"])
def test_a_perfect_prediction_has_no_error(kind: PredictionKind) -> None:
    x_0, noise = Colours().batch(0, 0, 4)[0], torch.randn(4, 3, SIZE, SIZE)
    t = torch.tensor([0, 30, 70, 99])
    schedule = make_run(NOWHERE).schedule
    x_t, step = add_noise(schedule, x_0, noise, t)
    torch.testing.assert_close(x_t, schedule.add_noise(x_0, noise, t))
    velocity = step.alpha * noise - step.sigma * x_0
    perfect = {"epsilon": noise, "sample": x_0, "velocity": velocity, "flow": noise - x_0}[kind]

    class Oracle(TinyDenoiser):
        def forward(self, *_: Any) -> Tensor:
            return perfect

    error = squared_error(predict(Oracle(predicts=kind), x_t, step), x_0, noise)
    assert torch.equal(error, torch.zeros(4))


def test_the_denoiser_receives_the_time_that_it_will_receive_in_sampling() -> None:
    schedule = CosineSchedule(CosineConfig(num_steps=100, rescale_timesteps=True))
    run = make_run(NOWHERE, schedule=schedule)
    stage = DenoisingStage(config(batch=64), run)
    one_loss(stage, run)
    ((t, _),) = seen(run)
    assert set(t.tolist()) <= set(schedule.levels(100).t.tolist())
    assert float(t.max()) > 500


def test_captions_are_dropped_at_the_configured_share() -> None:
    """As often as a coin of that share: within 4 standard deviations."""
    run = make_run(NOWHERE)
    stage = DenoisingStage(config(batch=4000, caption_dropout=0.2), run)
    one_loss(stage, run)
    ((_, conditioning),) = seen(run)
    assert run.text_encoder is not None
    assert conditioning.get("text", TextEmbedding) is not None
    null = run.text_encoder.unconditional()
    dropped = (conditioning.get("text", TextEmbedding).pooled == null.pooled).all(dim=1)
    assert abs(float(dropped.float().mean()) - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 4000)
    assert torch.equal(
        (conditioning.get("text", TextEmbedding).tokens == null.tokens).all(dim=2)[:, 0], dropped
    )


def test_a_dropped_caption_trains_the_null_condition_that_guidance_samples_with() -> None:
    """That of `TextEncoder.unconditional`, which need not be the embedding of an empty text."""
    for share, trained in ((1.0, True), (0.0, False)):
        run = make_run(NOWHERE)
        one_loss(DenoisingStage(config(caption_dropout=share), run), run).backward()  # type: ignore[no-untyped-call]
        null = dict(run.text_encoder.named_parameters())["null"]  # type: ignore[union-attr]
        assert (null.grad is not None and bool(null.grad.abs().sum() > 0)) == trained


def test_where_no_prompt_is_an_empty_one_a_batch_is_embedded_at_once() -> None:
    """One call, with what dropping each caption after its embedding gives."""
    asked: list[list[str]] = []

    class Plain(TinyTextEncoder):
        unconditional = TextEncoder.unconditional

        def forward(self, prompts: Sequence[str]) -> TextEmbedding:
            asked.append([*prompts])
            return super().forward(prompts)

    encoder, captions, dropped = Plain(), ["red", "green", "red"], torch.tensor([False, True, True])
    made = drop_captions(encoder, captions, dropped)
    assert asked == [["red", "", ""]]
    expected = Condition(encoder(captions), encoder.unconditional()).drop(dropped).value
    assert torch.equal(made.tokens, expected.tokens)
    assert torch.equal(made.pooled, expected.pooled)


def test_an_encoder_that_defines_its_absence_of_a_prompt_is_never_asked_for_an_empty_one() -> None:
    """As plugins have them: the method stands in a class further up, and an empty text is refused."""

    class Null(TextEncoder):
        def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
            pooled = torch.full((1, 4), 7.0)
            return TextEmbedding(pooled, pooled[:, None], torch.ones(1, 1, dtype=torch.bool))

    class Strict(Null):
        pooled_width = token_width = 4
        context = 1

        def forward(self, prompts: Sequence[str]) -> TextEmbedding:
            assert all(prompts)
            pooled = torch.tensor([[float(len(prompt))] * 4 for prompt in prompts])
            return TextEmbedding(pooled, pooled[:, None], torch.ones(len(prompts), 1, dtype=torch.bool))

    made = drop_captions(Strict(), ["red", "green", "red"], torch.tensor([False, True, True]))
    assert made.pooled is not None
    assert made.pooled[:, 0].tolist() == [3.0, 7.0, 7.0]
    assert made.tokens[:, 0, 0].tolist() == [3.0, 7.0, 7.0]


def test_denoiser_and_text_encoder_both_learn_from_the_loss() -> None:
    run = make_run(NOWHERE)
    stage = DenoisingStage(config(caption_dropout=0.5, batch=16), run)
    one_loss(stage, run).backward()  # type: ignore[no-untyped-call]
    without = [
        name
        for name, value in stage.modules.named_parameters()
        if value.grad is None or not bool(value.grad.abs().sum() > 0)
    ]
    assert without == ["denoiser.unused.weight", "denoiser.unused.bias"]


def test_the_bound_trains_the_variance_and_leaves_the_mean_alone() -> None:
    gradients = {}
    for weight in (0.0, 0.001, 1.0):
        run = make_run(NOWHERE, denoiser={"learned_variance": True})
        stage = DenoisingStage(config(variational_weight=weight), run)
        one_loss(stage, run).backward()  # type: ignore[no-untyped-call]
        last = run.denoiser.last.weight.grad  # type: ignore[union-attr]
        gradients[weight] = last.chunk(2)
    mean, variance = gradients[0.0]
    assert float(variance.abs().sum()) == 0
    assert float(gradients[0.001][1].abs().sum()) > 0
    torch.testing.assert_close(gradients[1.0][1], 1000 * gradients[0.001][1])
    for weight in (0.001, 1.0):
        assert torch.equal(gradients[weight][0], mean)


def test_the_loss_holds_the_bound_of_the_whole_chain_at_its_weight() -> None:
    """L_hybrid = L_simple + lambda L_vlb, and L_vlb sums over the timesteps of which one is drawn."""
    run = make_run(NOWHERE, denoiser={"learned_variance": True})
    simple, hybrid = (
        one_loss(DenoisingStage(config(variational_weight=weight, caption_dropout=0.0), run), run)
        for weight in (0.0, 0.001)
    )
    images, captions = Colours().batch(0, 0, 4)
    generator = draws.generator(0, 0)
    t = (torch.rand(4, generator=generator) * 100).long()
    x_t, step = add_noise(run.schedule, images, torch.randn(images.shape, generator=generator), t)
    assert run.text_encoder is not None
    prediction = predict(run.denoiser, x_t, step, text=run.text_encoder(captions))
    bound = VariationalBound(run.schedule.levels(100)).of_variance(prediction, images, t)
    torch.testing.assert_close(hybrid - simple, 0.001 * 100 * bound.mean(), rtol=1e-3, atol=0)


def test_the_contrastive_loss_is_that_of_clip() -> None:
    """Radford et al. 2021, figure 3: row i of the logits belongs to column i."""
    head = ContrastiveHead(3, SIZE, 4).eval()
    x, snr, pooled = torch.randn(5, 3, SIZE, SIZE), torch.randn(5), torch.randn(5, 4)
    images = torch.nn.functional.normalize(head.image_encoder(x, snr))
    texts = torch.nn.functional.normalize(head.project(pooled))
    logits = texts @ images.T / 0.07
    rows, columns = logits.softmax(dim=1).diagonal().log(), logits.softmax(dim=0).diagonal().log()
    loss = symmetric_cross_entropy(head(x, snr, pooled), torch.eye(5, dtype=torch.bool))
    torch.testing.assert_close(loss, -(rows.mean() + columns.mean()) / 2)


def test_captions_that_say_the_same_share_the_probability() -> None:
    same = says_the_same(["red", "blue", "red"], ["green"])
    assert same.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0]]
    logits = torch.randn(3, 4)
    of_images, of_texts = logits.log_softmax(1), logits[:, :3].T.log_softmax(1)
    expected = sum(
        (one[0, 0] + one[0, 2] + one[2, 0] + one[2, 2]) / 2 + one[1, 1] for one in (of_images, of_texts)
    )
    torch.testing.assert_close(symmetric_cross_entropy(logits, same), -expected / 6)


def test_captions_that_are_no_image_s_count_against_images_alone() -> None:
    """Yuksekgonul et al. 2023, section 4: more columns for an image to be told from, no more rows."""
    head = ContrastiveHead(3, SIZE, 4).eval()
    x, snr, pooled = torch.randn(5, 3, SIZE, SIZE), torch.randn(5), torch.randn(8, 4)
    images = torch.nn.functional.normalize(head.image_encoder(x, snr))
    texts = torch.nn.functional.normalize(head.project(pooled))
    logits = texts @ images.T / 0.07
    of_texts = logits[:5].softmax(dim=1).diagonal().log()
    of_images = logits.softmax(dim=0)[:5].diagonal().log()
    same = torch.eye(5, 8, dtype=torch.bool)
    loss = symmetric_cross_entropy(head(x, snr, pooled), same)
    torch.testing.assert_close(loss, -(of_texts.mean() + of_images.mean()) / 2)


class NearColours(Colours):
    """Of each colour the next one is said."""

    def near_misses(self, captions: Sequence[str], seed: int) -> list[str]:
        self.asked = (list(captions), seed)
        return [WORDS[(WORDS.index(caption) + 1) % len(WORDS)] for caption in captions]


def test_the_first_stage_asks_the_dataset_for_near_misses() -> None:
    dataset = NearColours()
    run = make_run(NOWHERE, dataset=dataset)
    stage = ContrastStage(config(contrastive_steps=1), run)
    images, captions = dataset.batch(0, 0, 4)
    with_misses = stage.loss(Batch(images, captions), draws.generator(0, 0))
    assert dataset.asked[0] == captions
    plain = ContrastStage(config(contrastive_steps=1), make_run(NOWHERE))
    without = plain.loss(Batch(images, captions), draws.generator(0, 0))
    assert float(with_misses.detach()) > float(without.detach())


def test_the_first_stage_needs_a_text_encoder_and_images() -> None:
    with pytest.raises(PartError, match="contrastive_steps"):
        ContrastStage(config(contrastive_steps=1), make_run(NOWHERE, text_encoder=None))
    run = make_run(NOWHERE)
    run.denoiser.image_shape = (3, SIZE)
    with pytest.raises(PartError, match="1 spatial dimensions"):
        ContrastStage(config(contrastive_steps=1), run)


def test_the_draws_of_a_step_differ_by_seed_by_step_and_by_purpose() -> None:
    streams = [
        torch.rand(8, generator=draws.generator(seed, step, purpose))
        for seed in range(5)
        for step in range(5)
        for purpose in (draws.STEP, draws.DROPOUT, draws.ORDER, draws.SAMPLE)
    ]
    assert len({tuple(stream.tolist()) for stream in streams}) == len(streams)
    assert torch.equal(streams[0], torch.rand(8, generator=draws.generator(0, 0)))


def one_loss(stage: TrainingStage, run: Run) -> Tensor:
    stage.modules.train()
    return stage.loss(Batch(*run.dataset.batch(0, 0, stage.batch)), draws.generator(0, 0))


def seen(run: Run) -> list[Any]:
    assert isinstance(run.denoiser, TinyDenoiser)
    return run.denoiser.seen
