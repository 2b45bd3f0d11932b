"""A generator makes images in a pipeline that is called as any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import pytest
import torch
from torch import Tensor, nn

from glidepath.core import (
    Conditioning,
    Diverged,
    Generator,
    GeneratorPipeline,
    Noise,
    PartError,
    State,
    TextEmbedding,
    TextEncoder,
)

SHAPE = (3, 4, 6)


class Letters(TextEncoder):
    """A prompt is its length."""

    pooled_width, token_width, context = 1, 1, 1

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        pooled = torch.tensor([[float(len(prompt))] for prompt in prompts])
        return TextEmbedding(pooled, pooled[:, None], torch.ones(len(prompts), 1, dtype=torch.bool))

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        return self.forward([""] if negative is None else negative)


class Blocks(Generator):
    """A grey that the text says, a third of it in each state, and a little noise."""

    image_shape = SHAPE
    reads = frozenset({"text"})
    steps = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        assert torch.is_inference_mode_enabled()
        pooled = conditioning.conditions["text"].value.pooled
        made = 0.01 * x
        for index in range(self.steps):
            made = made + self.scale * pooled[:, :, None, None] / 3 + 0.01 * noise.step(index, x)
            yield State(index + 1, self.steps, made, made)


@pytest.fixture
def pipeline() -> GeneratorPipeline:
    return GeneratorPipeline(Blocks(), text_encoder=Letters())


def test_images_are_made_of_prompts_and_seeds(pipeline: GeneratorPipeline) -> None:
    images = pipeline(["abc", "abcdef"], seed=1)
    assert images.shape == (2, *SHAPE)
    assert images.dtype == torch.uint8
    expected = (torch.tensor([0.3, 0.6]) + 1) * 127.5
    # four draws of deviation 0.01, and a mean of so many values
    deviation = 127.5 * 0.02 / prod(SHAPE) ** 0.5
    assert torch.allclose(images.float().mean((1, 2, 3)), expected, atol=5 * deviation)
    assert not torch.equal(images, pipeline(["abc", "abcdef"], seed=2))


def test_there_are_as_many_states_as_are_announced(pipeline: GeneratorPipeline) -> None:
    states = list(pipeline.states(["abc"]))
    assert [(state.index, state.total) for state in states] == [(1, 3), (2, 3), (3, 3)]
    assert pipeline.lengths() == [3]
    assert pipeline.images(states[0]).shape == (1, *SHAPE)


def test_an_image_does_not_depend_on_its_batch(pipeline: GeneratorPipeline) -> None:
    together = pipeline(["abc", "d", "abc"], seed=5)
    assert torch.equal(together[2:], pipeline(["abc"], seed=5, samples=[1]))


def test_the_callers_modes_are_his_own_between_states(pipeline: GeneratorPipeline) -> None:
    states = pipeline.states(["abc"])
    next(states)
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"image": torch.zeros(1, 3, 4, 6, dtype=torch.uint8)}, "it takes no pictures"),
        ({"labels": [1]}, "it knows no classes"),
        ({"size": (8, 8)}, r"no images of 8 x 8 pixels: the generator takes an x of 4 x 6|8x8"),
    ],
)
def test_what_it_cannot_make_is_refused(pipeline: GeneratorPipeline, asked: dict, message: str) -> None:
    with pytest.raises(PartError, match=message):
        pipeline(["abc"], **asked)


def test_what_is_no_number_is_no_image(pipeline: GeneratorPipeline) -> None:
    pipeline.model.scale.fill_(torch.nan)
    with pytest.raises(Diverged):
        pipeline(["abc"])


def test_a_condition_that_the_generator_does_not_read_is_refused() -> None:
    generator = Blocks()
    generator.reads = frozenset()
    with pytest.raises(PartError, match="nothing reads it"):
        GeneratorPipeline(generator, text_encoder=Letters())


def test_networks_are_on_the_device_while_it_is_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    pipeline = GeneratorPipeline(Blocks(), text_encoder=Letters(), offload=True)
    move = Blocks.to
    monkeypatch.setattr(Blocks, "to", lambda self, *to: (turns.append(str(to[0])), move(self, *to))[1])
    image = pipeline(["abc"], seed=1)
    assert turns == ["cpu", "cpu", "cpu"]  # away for the text, here for its turn, away for the codec
    assert torch.equal(image, GeneratorPipeline(Blocks(), text_encoder=Letters())(["abc"], seed=1))
