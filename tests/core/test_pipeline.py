"""From prompts to images, with the smallest parts that can do it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import attrs
import pytest
import torch
from torch import Tensor, nn

from glidepath.core.codec import IdentityCodec
from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.denoiser import Bind, Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import Guidance
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise, ReferenceNoise
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.core.request import Request
from glidepath.core.text_encoder import TextEncoder
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler

SHAPE = (3, 4, 6)


class Letters(TextEncoder):
    """A prompt is its length."""

    pooled_width, token_width, context = 1, 1, 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.01))
        self.calls: list[list[str]] = []

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        self.calls.append(list(prompts))
        pooled = self.scale * torch.tensor([[float(len(prompt))] for prompt in prompts])
        return TextEmbedding(pooled, pooled[:, None], torch.ones(len(prompts), 1, dtype=torch.bool))

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        return self.forward([""] if negative is None else negative)


class Grey(Denoiser):
    """x_0 is a grey that the text, or the label, says."""

    predicts = "sample"
    learned_variance = False
    image_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.steps = 0
        self.reads = frozenset({"text", "labels"})

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        grey = torch.zeros(conditioning.batch)
        if conditioning.get("text", TextEmbedding) is not None:
            grey = conditioning.get("text", TextEmbedding).pooled[:, 0].float()
        if conditioning.get("labels") is not None:
            grey = conditioning.get("labels") / 10
        return grey.reshape(-1, 1, 1, 1) + 0.1 * x

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        def predict(x: Tensor, step: Step) -> Prediction:
            self.steps += 1
            return self.interpret(self(x, step.t, conditioning), x, step)

        return predict


class Bright(Guidance):
    """x_0 becomes white."""

    def __call__(self, bind: Bind) -> Bind:
        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)
            return lambda x, step: predict(x, step).with_sample(torch.ones_like(x))

        return bound


def pipeline(text: bool = True, guidance: Sequence[Guidance] = (), eta: float | None = None) -> Pipeline:
    sampler = DdpmSampler(DdpmConfig(steps=5, variance="fixed-small"))
    return Pipeline(
        schedule=VariancePreservingSchedule([0.01, 0.1, 0.2, 0.4, 0.8]),
        denoiser=Grey(),
        sampler=sampler if eta is None else DdimSampler(DdimConfig(steps=5, eta=eta)),
        text_encoder=Letters() if text else None,
        guidance=guidance,
    )


def test_prompts_become_images_of_the_denoisers_shape() -> None:
    images = pipeline()(["a", "bb"])
    assert images.shape == (2, *SHAPE)
    assert images.dtype == torch.uint8


def test_the_same_seed_gives_the_same_image_and_another_seed_another() -> None:
    parts = pipeline()
    first = parts(["a"], seed=1)
    assert torch.equal(first, parts(["a"], seed=1))
    assert not torch.equal(first, parts(["a"], seed=2))


def test_an_image_does_not_depend_on_the_batch_it_was_made_in() -> None:
    parts = pipeline()
    together = parts(["a", "bb", "a", "ccc"], seed=5)
    assert torch.equal(together[1:2], parts(["bb"], seed=5))
    assert torch.equal(together[2:3], parts(["a"], seed=5, samples=[1]))
    assert torch.equal(together[:1], parts(["a"], seed=5, samples=[0]))


def test_repeated_prompts_count_their_samples() -> None:
    images = pipeline()(["a", "a"])
    assert not torch.equal(images[0], images[1])


def test_each_different_prompt_is_embedded_once() -> None:
    parts = pipeline()
    conditioning = parts.conditioning(Request(prompts=["a", "bb", "a"]))
    assert parts.text_encoder.calls == [["a", "bb"], [""]]  # type: ignore[union-attr]
    assert conditioning.get("text", TextEmbedding) is not None
    assert conditioning.get("text", TextEmbedding).pooled.flatten().tolist() == pytest.approx(
        [0.01, 0.02, 0.01]
    )
    assert conditioning.conditions["text"].null is not None
    assert conditioning.conditions["text"].null.pooled.tolist() == [[0]]


def test_states_come_as_they_are_made_and_the_last_is_the_image() -> None:
    parts = pipeline()
    states = list(parts.states(["a"], seed=3))
    assert [(state.index, state.total) for state in states] == [(index, 5) for index in range(1, 6)]
    assert torch.equal(parts.decode(states[-1].x), parts(["a"], seed=3))


def test_a_walk_that_is_left_early_goes_no_further() -> None:
    parts = pipeline()
    list(islice(parts.states(["a"]), 2))
    assert parts.denoiser.steps == 2


def test_guidance_is_folded_around_the_denoiser() -> None:
    assert bool((pipeline(guidance=[Bright()], eta=0.0)(["a"]) == 255).all())


def test_labels_steer_a_denoiser_of_classes() -> None:
    images = pipeline(text=False, eta=0.0)(["", ""], labels=[-9, 9])
    assert images[0].float().mean() < images[1].float().mean()


def test_prompts_only_count_where_nothing_reads_them() -> None:
    conditioning = pipeline(text=False).conditioning(Request(prompts=["a", "b"]))
    assert (conditioning.batch, conditioning.get("text", TextEmbedding), conditioning.get("labels")) == (
        2,
        None,
        None,
    )


def test_another_source_of_noise_may_take_the_place_of_the_seed() -> None:
    parts = pipeline()

    def reference() -> ReferenceNoise:
        return ReferenceNoise(torch.Generator().manual_seed(0))

    images = parts(["a", "b"], noise=reference())
    assert torch.equal(images, parts(["a", "b"], seed=99, noise=reference()))


def test_the_walk_stays_in_float32_whatever_the_networks_run_in() -> None:
    parts = Pipeline(
        schedule=VariancePreservingSchedule([0.1, 0.5]),
        denoiser=Grey(),
        sampler=DdimSampler(DdimConfig(steps=2)),
        text_encoder=Letters(),
        dtype=torch.bfloat16,
    )
    assert {parameter.dtype for parameter in parts.denoiser.parameters()} == {torch.bfloat16}
    assert {state.x.dtype for state in parts.states(["a"])} == {torch.float32}


def test_it_counts_the_parameters_of_each_network() -> None:
    assert pipeline().parameters() == {"text_encoder": 1, "denoiser": 2}
    assert pipeline(text=False).parameters() == {"denoiser": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": "a red circle"}, r"write \['a red circle'\] for a single one"),
        ({"prompts": []}, "there are no prompts"),
        ({"prompts": ["a", "b"], "samples": [0]}, "1 sample indices were given for 2 prompts"),
        ({"prompts": ["a", 3]}, "a prompt is a text, not 3"),
        ({"prompts": ["a"], "samples": 3}, "samples is a list of sample indices, one for each prompt, not 3"),
        ({"prompts": ["a"], "samples": ["b"]}, "a sample index is a whole number, not 'b'"),
        ({"prompts": ["a"], "seed": None}, "a seed is a whole number, not None"),
        ({"prompts": ["a"], "seed": 1.5}, "a seed is a whole number, not 1.5"),
        ({"prompts": ["a", "b"], "labels": [1]}, "1 labels were given for 2 prompts"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(PartError, match=message):
        pipeline(text=False)(**arguments)  # type: ignore[arg-type]


def test_a_guidance_may_take_gradients_through_the_denoiser_if_it_says_so() -> None:
    class Brighter(Guidance):
        differentiates = True

        def __call__(self, bind: Bind) -> Bind:
            def bound(conditioning: Conditioning) -> Predict:
                predict = bind(conditioning)

                def guided(x: Tensor, step: Step) -> Prediction:
                    with torch.enable_grad():
                        x = x.detach().requires_grad_()
                        prediction = predict(x, step)
                        (gradient,) = torch.autograd.grad(prediction.sample.sum(), x)
                    return attrs.evolve(prediction, value=prediction.value.detach()).with_gradient(gradient)

                return guided

            return bound

    plain, brighter = pipeline(), pipeline(guidance=[Brighter()])
    assert brighter(["a"]).float().mean() > plain(["a"]).float().mean()


class Recorder(Denoiser):
    """x_0 is always the same picture; what it was shown is remembered."""

    predicts = "sample"
    learned_variance = False
    image_shape = SHAPE

    def __init__(
        self, sample: float = 0.25, *, needs_low_res: bool = False, num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.sample, self.num_classes = sample, num_classes
        read = {"low_res": needs_low_res, "labels": num_classes is not None, "image": True, "mask": True}
        self.reads = frozenset(name for name, is_read in read.items() if is_read)
        self.conditionings: list[Conditioning] = []
        self.seen: list[tuple[int, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise NotImplementedError

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        self.conditionings.append(conditioning)

        def predict(x: Tensor, step: Step) -> Prediction:
            self.seen.append((int(step.t), x))
            return self.interpret(torch.full_like(x, self.sample), x, step)

        return predict


BETAS = [0.01, 0.1, 0.2, 0.4, 0.8]
PICTURE = torch.randint(0, 256, (1, *SHAPE), generator=torch.Generator().manual_seed(0)).byte()


def recording(denoiser: Denoiser, *, temperature: float = 1.0, guidance: Sequence[Guidance] = ()) -> Pipeline:
    return Pipeline(
        schedule=VariancePreservingSchedule(BETAS),
        denoiser=denoiser,
        sampler=DdimSampler(DdimConfig(steps=5, temperature=temperature)),
        guidance=guidance,
    )


def first_noise(batch: int = 1) -> Tensor:
    return PerSampleNoise([(7, 0)] * batch).initial((batch, *SHAPE), "cpu")


@pytest.mark.parametrize("temperature", [1.0, 0.997, 0.5])
def test_the_first_noise_is_multiplied_by_the_temperature_of_the_sampler(temperature: float) -> None:
    denoiser = Recorder()
    recording(denoiser, temperature=temperature)(["a"], seed=7)
    assert torch.equal(denoiser.seen[0][1], temperature * first_noise())


@pytest.mark.parametrize(
    ("strength", "timesteps"),
    [(1, [4, 3, 2, 1, 0]), (0.6, [2, 1, 0]), (0.5, [1, 0]), (0.2, [0]), (0.01, [0])],
)
def test_strength_is_the_share_of_the_steps_that_are_walked(strength: float, timesteps: list[int]) -> None:
    denoiser = Recorder()
    parts = recording(denoiser)
    states = list(parts.states(["a"], image=PICTURE, strength=strength))
    assert [t for t, _ in denoiser.seen] == timesteps
    assert {state.total for state in states} == {len(timesteps)}
    assert len(parts.levels(strength)) == len(timesteps)


@pytest.mark.parametrize("strength", [1.0, 0.6, 0.2])
def test_a_walk_from_an_image_begins_where_q_of_its_level_is(strength: float) -> None:
    """x_t = alpha x_0 + sigma epsilon, with the alpha_bar of the first timestep that is visited."""
    denoiser = Recorder()
    recording(denoiser, temperature=0.9)(["a"], seed=7, image=PICTURE, strength=strength)
    t, x = denoiser.seen[0]
    alpha_bar = torch.tensor([1 - beta for beta in BETAS], dtype=torch.float64)[: t + 1].prod()
    x_0 = PICTURE.double() / 127.5 - 1
    expected = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * 0.9 * first_noise()
    assert torch.allclose(x.double(), expected, atol=1e-6)


def test_an_exact_denoiser_gives_the_image_back_whatever_the_strength() -> None:
    image = torch.full((1, *SHAPE), 200, dtype=torch.uint8)
    for strength in (0.2, 0.6, 1):
        made = recording(Recorder(200 / 127.5 - 1))(["a"], image=image, strength=strength)
        assert torch.equal(made, image)


def test_a_walk_from_an_image_follows_the_flow_of_gaussian_data() -> None:
    """Deterministic sampling keeps (x_t - alpha mean) / deviation of x_t: the solution of the flow's ODE."""
    mean, spread = 0.1, 0.2

    class Exact(Recorder):
        def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
            def predict(x: Tensor, step: Step) -> Prediction:
                self.seen.append((step.index, x))
                variance = step.alpha**2 * spread**2 + step.sigma**2
                return Prediction(
                    mean + step.alpha * spread**2 / variance * (x - step.alpha * mean), "sample", x, step
                )

            return predict

    denoiser = Exact()
    parts = Pipeline(
        schedule=VariancePreservingSchedule(torch.linspace(1e-5, 0.01, 2000, dtype=torch.float64)),
        denoiser=denoiser,
        sampler=DdimSampler(DdimConfig(steps=2000, clip=False)),
    )
    levels = parts.levels(0.5)
    *_, last = parts.states(["a"], seed=7, image=PICTURE, strength=0.5)
    alpha, sigma = levels.alpha[0], levels.sigma[0]
    quantile = (denoiser.seen[0][1].double() - alpha * mean) / (alpha**2 * spread**2 + sigma**2).sqrt()
    assert torch.allclose(last.x.double(), mean + spread * quantile, atol=2e-3)  # O(1 / steps)


def test_an_upsampler_sees_the_small_image_from_minus_1_to_1() -> None:
    denoiser = Recorder(needs_low_res=True)
    low_res = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    recording(denoiser)(["a", "b"], low_res=low_res)
    (conditioning,) = denoiser.conditionings
    assert conditioning.get("low_res") is not None
    assert conditioning.get("low_res").shape == (2, 3, 1, 1)
    assert conditioning.get("low_res")[1].flatten().tolist() == pytest.approx([-1, -0.6, 1])


def test_each_image_may_start_from_a_picture_of_its_own() -> None:
    denoiser = Recorder(needs_low_res=True)
    pictures = torch.cat([PICTURE, 255 - PICTURE])
    recording(denoiser)(["a", "b"], low_res=pictures, image=pictures, strength=1)
    (conditioning,) = denoiser.conditionings
    for given in (conditioning.get("low_res"), conditioning.get("image")):
        assert given is not None
        assert torch.allclose((given + 1) * 127.5, pictures.float(), atol=1e-4)


def test_without_pictures_a_conditioning_has_none() -> None:
    denoiser = Recorder()
    recording(denoiser)(["a"])
    (conditioning,) = denoiser.conditionings
    assert (conditioning.get("low_res"), conditioning.get("image"), conditioning.get("mask")) == (
        None,
        None,
        None,
    )
    assert conditioning.prompts == ("a",)


def test_labels_in_range_reach_the_denoiser() -> None:
    denoiser = Recorder(num_classes=10)
    recording(denoiser)(["", ""], labels=[0, 9])
    labels = denoiser.conditionings[0].get("labels")
    assert labels is not None
    assert labels.tolist() == [0, 9]


MASK = torch.ones(1, 1, *SHAPE[1:])


@pytest.mark.parametrize(
    ("denoiser", "arguments", "message"),
    [
        (Recorder(num_classes=10), {"labels": [10]}, "label 10 is out of range: .* classes 0 to 9"),
        (Recorder(num_classes=10), {"labels": [-1]}, "label -1 is out of range"),
        (Recorder(), {"low_res": PICTURE}, "nothing in this pipeline reads it"),
        (Recorder(needs_low_res=True), {}, "this pipeline needs low_res"),
        (Recorder(needs_low_res=True), {"low_res": PICTURE.long()}, r"low_res is \[B, 3, H, W\] uint8"),
        (
            Recorder(needs_low_res=True),
            {"low_res": PICTURE.expand(3, -1, -1, -1)},
            "3 rows of low_res were given for 1 prompts",
        ),
        (Recorder(), {"image": PICTURE[..., :4], "strength": 1}, "image is 4x4 pixels, and .* images of 6x4"),
        (Recorder(), {"image": PICTURE[0], "strength": 1}, r"image is \[B, 3, H, W\] uint8"),
        (Recorder(), {"image": PICTURE / 255, "strength": 1}, r"image is \[B, 3, H, W\] uint8"),
        (Recorder(), {"image": PICTURE[:, :1], "strength": 1}, r"image is \[B, 3, H, W\] uint8"),
        (Recorder(), {"strength": 0.5}, "strength says what is kept of an image, and there is no image"),
        (Recorder(), {"mask": MASK}, "mask says what is kept of an image, and there is no image"),
        (Recorder(), {"image": PICTURE, "mask": MASK[..., :4]}, "mask is 4x4 pixels, and .* images of 6x4"),
        (Recorder(), {"image": PICTURE, "mask": 0.5 * MASK}, "values other than 0 .* and 1"),
        (Recorder(), {"image": PICTURE, "mask": MASK.expand(3, -1, -1, -1)}, "3 rows of mask"),
        (Recorder(), {"image": PICTURE, "strength": 0}, "strength is above 0 and at most 1"),
        (Recorder(), {"image": PICTURE, "strength": 1.01}, "strength is above 0 and at most 1"),
        (Recorder(), {"image": PICTURE, "strength": float("nan")}, "strength is above 0 and at most 1"),
    ],
)
def test_pictures_and_labels_that_do_not_fit_are_refused_before_the_walk_begins(
    denoiser: Recorder, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(PartError, match=message):
        recording(denoiser).states(["a"], **arguments)  # type: ignore[arg-type]
    assert not denoiser.conditionings


def offloading(moves: list[str], offload: bool = True) -> Pipeline:
    """Its device is `cpu:0`, which torch tells apart from `cpu` and takes for the same."""

    def told(part: nn.Module, name: str) -> nn.Module:
        plain = part.to

        def to(place: object = None, *more: object, **layout: object) -> nn.Module:
            if place and not more:  # what is moved before anything runs has a precision with it, or None
                assert not torch.is_inference_mode_enabled()
                moves.append(f"{name} {place}")
            moved: nn.Module = plain(place, *more, **layout) if place else plain(**layout)
            return moved

        part.to = to  # type: ignore[assignment, method-assign]
        return part

    parts = pipeline()
    return Pipeline(
        schedule=parts.schedule,
        denoiser=told(parts.denoiser, "denoiser"),  # type: ignore[arg-type]
        sampler=parts.sampler,
        text_encoder=told(parts.text_encoder, "text"),  # type: ignore[arg-type]
        codec=told(IdentityCodec(), "codec"),  # type: ignore[arg-type]
        device="cpu:0",
        offload=offload,
    )


def test_parts_are_on_the_device_while_it_is_their_turn() -> None:
    moves: list[str] = []
    offloaded = offloading(moves)
    before = ["denoiser cpu", "text cpu:0", "codec cpu:0"]
    walk = ["text cpu", "codec cpu", "denoiser cpu:0"]
    after = ["text cpu", "denoiser cpu", "codec cpu:0"]
    states = offloaded.states(["a"], seed=1)
    state = next(states)
    assert moves == [*before, *walk]
    offloaded.images(state)
    assert moves[6:] == after
    *_, last = states
    assert moves[9:] == walk
    image = offloaded.images(last)
    assert moves[12:] == after
    assert torch.equal(image, offloading([], offload=False)(["a"], seed=1))


def test_without_offloading_nothing_is_moved_in_a_walk() -> None:
    moves: list[str] = []
    offloading(moves, offload=False)(["a"])
    assert moves == []
