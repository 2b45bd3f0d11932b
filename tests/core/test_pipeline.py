"""From prompts to images, with the smallest parts that can do it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import attrs
import pytest
import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.denoiser import Bind, Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import Guidance
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import ReferenceNoise
from glidepath.core.pipeline import Pipeline, occurrences
from glidepath.core.prediction import Prediction
from glidepath.core.text_encoder import TextEncoder
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.diffusion.ddim import DdimSampler
from glidepath.plugins.diffusion.ddpm import DdpmSampler
from glidepath.plugins.diffusion.plugin import DdimConfig, DdpmConfig

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

    def unconditional(self) -> TextEmbedding:
        return self.forward([""])


class Grey(Denoiser):
    """x_0 is a grey that the text, or the label, says."""

    predicts = "sample"
    learned_variance = False
    image_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.steps = 0

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        grey = torch.zeros(conditioning.batch)
        if conditioning.text is not None:
            grey = conditioning.text.pooled[:, 0].float()
        if conditioning.labels is not None:
            grey = conditioning.labels / 10
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
    assert occurrences(["a", "b", "a", "a", "b"]) == [0, 0, 1, 2, 1]
    images = pipeline()(["a", "a"])
    assert not torch.equal(images[0], images[1])


def test_each_different_prompt_is_embedded_once() -> None:
    parts = pipeline()
    conditioning = parts.conditioning(["a", "bb", "a"])
    assert parts.text_encoder.calls == [["a", "bb"], [""]]  # type: ignore[union-attr]
    assert conditioning.text is not None
    assert conditioning.text.pooled.flatten().tolist() == pytest.approx([0.01, 0.02, 0.01])
    assert conditioning.null_text is not None
    assert conditioning.null_text.pooled.tolist() == [[0]]


def test_states_come_as_they_are_made_and_the_last_is_the_image() -> None:
    parts = pipeline()
    states = list(parts.states(["a"], seed=3))
    assert [(state.index, state.total) for state in states] == [(index, 5) for index in range(1, 6)]
    assert torch.equal(parts.decode(states[-1].x), parts(["a"], seed=3))


def test_a_walk_that_is_left_early_goes_no_further() -> None:
    parts = pipeline()
    list(islice(parts.states(["a"]), 2))
    assert parts.denoiser.steps == 2


def test_nothing_of_a_walks_mode_leaks_to_its_caller() -> None:
    for _ in pipeline().states(["a"]):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_walks_in_several_threads_do_not_disturb_each_other() -> None:
    parts = pipeline()
    alone = [parts(["a"], seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: parts(["a"], seed=seed), range(8)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_guidance_is_folded_around_the_denoiser() -> None:
    assert bool((pipeline(guidance=[Bright()], eta=0.0)(["a"]) == 255).all())


def test_labels_steer_a_denoiser_of_classes() -> None:
    images = pipeline(text=False, eta=0.0)(["", ""], labels=[-9, 9])
    assert images[0].float().mean() < images[1].float().mean()


def test_prompts_only_count_where_nothing_reads_them() -> None:
    conditioning = pipeline(text=False).conditioning(["a", "b"])
    assert (conditioning.batch, conditioning.text, conditioning.labels) == (2, None, None)


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
