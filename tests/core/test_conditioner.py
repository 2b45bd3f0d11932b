"""Conditioners and adapters in a pipeline, and negative prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from glidepath.core.adapter import Adapter
from glidepath.core.cascade import Cascade
from glidepath.core.codec import Codec
from glidepath.core.conditioner import Conditioner
from glidepath.core.conditioning import Condition, Conditioning, TextEmbedding
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.extrapolated import Extrapolate, ExtrapolatedGuidance, cond_and_uncond
from glidepath.core.guidance import Bind
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.core.request import Input, Request
from glidepath.core.text_encoder import TextEncoder
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.ddim import DdimSampler


class Counted(TextEncoder):
    """A prompt is as many tokens as it has words; nothing is padded."""

    pooled_width, token_width, context = None, 1, 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        counts = [len(prompt.split()) for prompt in prompts]
        mask = torch.arange(max([1, *counts])) < torch.tensor(counts)[:, None]
        return TextEmbedding(None, self.weight * mask[..., None], mask)

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        return self([""] if negative is None else negative)


class Mean(Conditioner):
    """The mean of a picture, as [B, 1]; nothing in its place is 0."""

    makes = frozenset({"mean"})

    def __init__(self, **inputs: Input) -> None:
        super().__init__()
        self.inputs = inputs or {"swatch": Input("whose mean is taken", size="any")}
        self.asked: list[Request] = []

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        self.asked.append(request)
        (name,) = self.inputs
        if name not in request.inputs:
            return {}
        mean = request.rows(name).float().flatten(1).mean(1, keepdim=True) / 255
        return {"mean": Condition(mean, torch.zeros(1, 1))}


class Grey(Denoiser):
    """x_0 is a grey: the number of words, in tenths, and the mean."""

    predicts = "sample"
    learned_variance = False

    def __init__(self, *reads: str, size: int = 4) -> None:
        super().__init__()
        self.reads = frozenset(reads)
        self.image_shape = (3, size, size)
        self.scale = nn.Parameter(torch.ones(1))
        self.heard: list[Conditioning] = []

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        grey = torch.zeros(conditioning.batch)
        if (text := conditioning.get("text", TextEmbedding)) is not None:
            assert text.mask is not None
            grey = grey + text.tokens[..., 0].mul(text.mask).sum(1) / 10
        if (mean := conditioning.get("mean")) is not None:
            grey = grey + mean[:, 0]
        return self.scale * grey.reshape(-1, 1, 1, 1).expand_as(x)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        self.heard.append(conditioning)
        return lambda x, step: self.interpret(self(x, step.t, conditioning), x, step)


class ByFour(ExtrapolatedGuidance):
    def __init__(self) -> None:
        super().__init__(4.0)

    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        pair = cond_and_uncond(bind, conditioning)

        def guided(x: Tensor, step: Step, scale: float) -> Prediction:
            cond, uncond = pair(x, step)
            return cond.guided(uncond.value + scale * (cond.value - uncond.value))

        return guided


def pipeline(denoiser: Denoiser, **parts: object) -> Pipeline:
    return Pipeline(
        schedule=VariancePreservingSchedule([0.1, 0.5]),
        denoiser=denoiser,
        sampler=DdimSampler(DdimConfig(steps=2)),
        **parts,  # type: ignore[arg-type]
    )


def grey(images: Tensor) -> list[float]:
    return [round(float(value) / 127.5 - 1, 2) for value in images.float().flatten(1).mean(1)]


def test_a_negative_prompt_takes_the_place_of_no_prompt() -> None:
    """uncond + 4 (cond - uncond), in tenths, whatever the lengths are."""
    made = pipeline(Grey("text"), text_encoder=Counted(), guidance=[ByFour()])
    assert grey(made(["one two", "one"])) == pytest.approx([0.8, 0.4], abs=0.01)
    assert grey(made(["one two", "one"], negative="one two three")) == pytest.approx([-0.1, -0.5], abs=0.01)
    assert grey(made(["one two", "one"], negative=["one", "one"])) == pytest.approx([0.5, 0.1], abs=0.01)


def test_a_negative_prompt_where_nothing_reads_text_is_refused() -> None:
    with pytest.raises(PartError, match="a negative prompt was given, and this pipeline reads no text"):
        pipeline(Grey())(["a"], negative="b")


def test_a_conditioner_makes_what_a_denoiser_reads_of_a_picture() -> None:
    denoiser, swatch = Grey("mean", "text"), torch.full((1, 3, 1, 2), 51, dtype=torch.uint8)
    made = pipeline(denoiser, text_encoder=Counted(), conditioners=[Mean()], guidance=[ByFour()])
    assert grey(made(["", ""], swatch=swatch)) == pytest.approx([0.8, 0.8], abs=0.01)
    assert set(denoiser.heard[0].conditions) == {"mean", "text"}


def test_a_conditioner_is_told_the_size_of_the_images() -> None:
    conditioner = Mean(swatch=Input("a", size="any", required=False))
    pipeline(Grey("mean"), conditioners=[conditioner])(["a"])
    assert conditioner.asked[0].size == (4, 4)


def test_what_a_denoiser_does_not_read_does_not_reach_it() -> None:
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    denoiser = Grey()
    pipeline(denoiser)(["a"], image=image, strength=1.0)
    assert not denoiser.heard[0].conditions


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "this pipeline needs swatch: whose mean is taken"),
        (
            {"swatch": (1, 2), "pose": (4, 4)},
            "pose was given, and nothing in this pipeline reads it; it takes image, mask, swatch",
        ),
    ],
)
def test_a_picture_that_nothing_takes_or_that_is_missing_is_refused(
    inputs: dict[str, tuple[int, int]], message: str
) -> None:
    made = pipeline(Grey("mean"), conditioners=[Mean()])
    pictures = {name: torch.zeros(1, 3, *size, dtype=torch.uint8) for name, size in inputs.items()}
    with pytest.raises(PartError, match=message):
        made.states(["a"], **pictures)


def test_a_picture_of_the_size_of_the_images_has_it() -> None:
    made = pipeline(Grey("mean"), conditioners=[Mean(pose=Input("a"))])
    with pytest.raises(PartError, match="pose is 2x1 pixels, and this pipeline makes images of 4x4"):
        made.states(["a"], pose=torch.zeros(1, 3, 1, 2, dtype=torch.uint8))


def test_a_condition_that_nothing_reads_is_refused() -> None:
    with pytest.raises(PartError, match="makes the condition 'mean', and nothing reads it"):
        pipeline(Grey(), conditioners=[Mean()])
    with pytest.raises(PartError, match="makes the condition 'text', and nothing reads it"):
        pipeline(Grey(), text_encoder=Counted())


def test_a_cascade_gives_each_stage_the_pictures_that_it_takes_in_its_size() -> None:
    first, last = Mean(pose=Input("a")), Mean(pose=Input("a"))
    made = Cascade(
        {
            "base": pipeline(Grey("mean", size=2), conditioners=[first]),
            "up": pipeline(Grey("mean", "low_res"), conditioners=[last]),
        }
    )
    made(["a"], pose=torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4))
    assert first.asked[0].inputs["pose"][0, 0].tolist() == [[2, 4], [10, 12]]
    assert last.asked[0].inputs["pose"].shape == (1, 3, 4, 4)
    with pytest.raises(PartError, match="nothing in this pipeline reads it; it takes image, mask, pose"):
        made.states(["a"], swatch=torch.zeros(1, 3, 1, 1, dtype=torch.uint8))


class Halve(Adapter):
    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        for parameter in networks["denoiser"].parameters():
            parameter.data *= 0.5


class Break(Adapter):
    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        for parameter in networks["text_encoder"].parameters():
            parameter.data *= torch.inf


def test_adapters_change_the_networks_in_their_order() -> None:
    made = pipeline(Grey("text"), text_encoder=Counted(), adapters=[Halve(), Halve()])
    assert grey(made(["one two three four"])) == pytest.approx([0.1], abs=0.01)


def test_what_an_adapter_makes_infinite_is_refused() -> None:
    with pytest.raises(PartError, match="the weights of text_encoder"):
        pipeline(Grey("text"), text_encoder=Counted(), adapters=[Break()])


def test_an_adapter_without_a_file_refuses_one() -> None:
    with pytest.raises(PartError, match="Halve takes no weights"):
        Halve().load({})
