"""Parts of which each breaks one rule, for the check that holds it. Imported as a plugin's modules are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, Self

import attrs
import torch
from torch import Tensor, nn

from glidepath.core import (
    Bind,
    Codec,
    Condition,
    Conditioner,
    Conditioning,
    Denoiser,
    Guidance,
    IdentityCodec,
    Input,
    Noise,
    NoiseLevels,
    NoiseSchedule,
    PartError,
    Predict,
    Prediction,
    Request,
    Sampler,
    Spacing,
    State,
    Step,
    TextEmbedding,
    TextEncoder,
    Weight,
)


class SoundSchedule(NoiseSchedule):
    """A flow: alpha + sigma = 1."""

    num_steps = 1000

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        sigma = (t.to(torch.float64) + 1) / (self.num_steps + 1)
        return 1 - sigma, sigma


class OfAFile(SoundSchedule):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.shift = float(config.file.read_text())


class FaultyShape(SoundSchedule):
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = super().alpha_sigma(t)
        return alpha.flatten(), sigma.flatten()


class Forgiving(SoundSchedule):
    def levels(self, spacing: Spacing) -> NoiseLevels:
        return super().levels(10 if spacing == "nonsense" else spacing)


class Wiggling(SoundSchedule):
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = super().alpha_sigma(t)
        return alpha, (sigma + 0.01 * torch.sin(t.to(torch.float64))).abs() + 1e-3


class BeginsClean(SoundSchedule):
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        sigma = t.to(torch.float64) / self.num_steps
        return 1 - sigma, sigma


class BelowNothing(SoundSchedule):
    """The root of an alpha_bar that is below 0 at one timestep."""

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = super().alpha_sigma(t)
        return torch.where(t == 900, torch.nan, alpha), sigma


class Halfway(SoundSchedule):
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        _, sigma = super().alpha_sigma(t)
        return 1 - sigma / 2, sigma / 2


class Shifted(SoundSchedule):
    def levels(self, spacing: Spacing) -> NoiseLevels:
        levels = super().levels(spacing)
        if len(levels) == self.num_steps:
            return levels
        return NoiseLevels(levels.t, levels.alpha, levels.sigma * 0.999)


class SoundSampler(Sampler):
    """DDIM, without clipping."""

    steps = 50

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        rows = levels.to_device(x.device, levels.alpha[1:], levels.sigma[1:])
        for step in levels.steps(x.device):
            alpha, sigma = rows[step.index]
            prediction = predict(x, step)
            x = alpha * prediction.sample + sigma * prediction.epsilon
            yield State(step.index + 1, len(levels), x, prediction.sample)


class NoisyEnd(SoundSampler):
    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        for state in super().states(predict, x, levels, noise):
            added = noise.step(state.index - 1, state.x) if state.index == state.total else 0
            yield attrs.evolve(state, x=state.x + 0.3 * added)


class SeedsItself(SoundSampler):
    """A little noise at the end, the same for every seed and every row."""

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        for state in super().states(predict, x, levels, noise):
            generator = torch.Generator().manual_seed(state.index)
            drawn = torch.randn(state.x.shape[1:], generator=generator).to(state.x.device)
            added = drawn if state.index == state.total else 0
            yield attrs.evolve(state, x=state.x + 0.05 * added)


class Elsewhere(SoundSampler):
    """Its coefficients stay on the CPU, where a scalar may; the noise that it adds may not."""

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        for state in super().states(predict, x, levels, noise):
            yield attrs.evolve(state, x=state.x + torch.zeros(state.x.shape))


@attrs.frozen(kw_only=True)
class ScaleConfig:
    scale: float = attrs.field(default=2.0, metadata={"glidepath.doc": "how much"})


class SoundGuidance(Guidance):
    """A gradient towards the middle."""

    scales_by_step = True

    def __init__(self, config: ScaleConfig) -> None:
        self.scale = config.scale

    def __call__(self, bind: Bind) -> Bind:
        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)

            def guided(x: Tensor, step: Step) -> Prediction:
                prediction = predict(x, step)
                scale = self.scale * self.weight_at(step)
                return prediction.with_gradient(-scale * x) if scale else prediction

            return guided

        return bound


class Unmoved(SoundGuidance):
    def __call__(self, bind: Bind) -> Bind:
        return bind


class Weightless(SoundGuidance):
    def scaled_by_step(self, weight: Weight) -> Self:
        return self


class SoundTextEncoder(TextEncoder):
    """A letter is a number; a prompt is the mean of its letters."""

    pooled_width, token_width, context = 4, 2, 24

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.table = nn.Embedding(256, self.token_width)

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        if isinstance(prompts, str) or not prompts:
            raise PartError("a list of prompts, please")
        codes = torch.zeros(len(prompts), self.context, dtype=torch.int64)
        mask = torch.zeros(len(prompts), self.context, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            letters = list(prompt.encode())[: self.context]
            codes[row, : len(letters)] = torch.tensor(letters, dtype=torch.int64)
            mask[row, : len(letters)] = True
        codes, mask = codes.to(self.table.weight.device), mask.to(self.table.weight.device)
        tokens = self.table(codes) * mask[..., None]
        mean = tokens.sum(1) / self.counts(mask)
        return TextEmbedding(mean.repeat(1, 2), tokens, mask)

    def counts(self, mask: Tensor) -> Tensor:
        return mask.sum(1, keepdim=True).clamp_min(1)

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        embedding: TextEmbedding = self([""] if negative is None else negative)
        return embedding


class SoundConditioner(Conditioner):
    """How bright a picture is."""

    makes = frozenset({"brightness"})
    inputs: Mapping[str, Input] = {"swatch": Input("whose brightness is meant", size="any")}

    def __init__(self, config: Any = None) -> None:
        super().__init__()

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        mean = request.rows("swatch").float().mean((1, 2, 3))[:, None] / 255
        return {"brightness": Condition(mean, torch.zeros(1, 1))}


class SaysMore(SoundConditioner):
    makes = frozenset({"brightness", "hue"})


class ToTheLongest(SoundTextEncoder):
    def counts(self, mask: Tensor) -> Tensor:
        return mask.sum(1).max().clamp_min(1)


class SoundDenoiser(Denoiser):
    predicts = "epsilon"
    learned_variance = False
    image_shape = (3, 4, 4)

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        if x.shape[1] != 3:
            raise PartError("x has 3 channels")
        time = t.to(x.device, torch.float32).reshape(-1, 1, 1, 1) / 1000
        mixed: Tensor = self.mix(x.to(self.mix.weight.dtype)).float()
        return mixed * (1 + time)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        return lambda x, step: self.interpret(
            self(x, self.time(step, levels).expand(len(x)), conditioning), x, step
        )

    def time(self, step: Step, levels: NoiseLevels) -> Tensor:
        return step.t


class TakesAll(SoundDenoiser):
    def takes(self, size: Sequence[int]) -> str:
        return ""

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        if x.shape[-1] % 4:
            raise PartError("the width of x is a multiple of 4")
        return super().forward(x, t, conditioning)


class FirstTimeOnly(SoundDenoiser):
    def time(self, step: Step, levels: NoiseLevels) -> Tensor:
        return levels.t[0]


class SoundTokenizer:
    """A letter, a number."""

    vocabulary_size = 257
    padding_id = 256

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def encode(self, text: str) -> list[int]:
        return list(text.encode(errors="replace"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(index for index in ids if index < 256).decode(errors="replace")


class PaddingBeyond(SoundTokenizer):
    padding_id = 257


class WithoutSpaces(SoundTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids).replace(" ", "")


class UntypedError(SoundTokenizer):
    def encode(self, text: str) -> list[int]:
        if "\x00" in text:
            raise RuntimeError("oh")
        return super().encode(text)


class SoundCodec(IdentityCodec):
    """Pixels; what stands in `added` is too little to be seen in 8 bits."""

    bounded = False

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = config

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        return super().encode(images) + 1e-3 * self.added(images)

    def added(self, images: Tensor) -> Any:
        return 0


class FailsToBuild(SoundCodec):
    def __init__(self, config: Any = None) -> None:
        raise OSError("a file is missing")


class FloatImages(SoundCodec):
    def decode(self, x: Tensor) -> Tensor:
        return super().decode(x).float()


class OfTheMoment(SoundCodec):
    moments = cycle((0, 1))  # as a clock, but that no two that follow each other are nearly alike

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.moment = next(self.moments)

    def added(self, images: Tensor) -> Any:
        return self.moment


class DrawsFromAll(SoundCodec):
    def added(self, images: Tensor) -> Any:
        return torch.rand(())


class Counts(SoundCodec):
    used = 0

    def added(self, images: Tensor) -> Any:
        self.used = min(self.used + 1, 3)
        return self.used


class ThroughItself(SoundCodec):
    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        self.given = images
        time.sleep(0.003)
        return super().encode(self.given)


class Locked(SoundCodec):
    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.lock = threading.Lock()


class KeepsToItself(SoundCodec):
    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.weight = nn.Parameter(torch.ones(1))
        self.kept = float(torch.rand(()))

    def added(self, images: Tensor) -> Any:
        return self.kept


class HearsNeighbours(SoundCodec):
    def added(self, images: Tensor) -> Any:
        return images.flatten()[0] / 255


class Unbounded(SoundCodec):
    bounded = True

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        return 2 * super().encode(images)

    def decode(self, x: Tensor) -> Tensor:
        return super().decode(x / 2)


class KnowsAll(SoundCodec):
    def reduce_mask(self, mask: Tensor) -> Tensor:
        return torch.ones_like(mask)


class Lossy(SoundCodec):
    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        return super().encode(images // 8 * 8)


class SoundMetric:
    """How light an image is."""

    name, direction, unit = "lightness", "higher", ""

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).tolist()


class Sideways(SoundMetric):
    direction = "sideways"


class OneForEachPrompt(SoundMetric):
    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).reshape(len(set(prompts)), -1).mean(1).tolist()


class PaintsOver(SoundMetric):
    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> Any:
        return images.clamp_(max=200).double().mean(dim=(1, 2, 3)).tolist()


class Ranks(SoundMetric):
    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).argsort().argsort().tolist()


class SoundSetMetric:
    """The same, of all images together."""

    name, direction, unit = "lightness", "higher", ""

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def whole_set(self, drawn: Any) -> float:
        return float(drawn.images.double().mean())


class Boundless(SoundSetMetric):
    def whole_set(self, drawn: Any) -> float:
        return float("inf")


class Straight(dict[str, int]):
    """A part of a kind that the plugin adds."""


class Crooked(Straight):
    def __init__(self) -> None:
        super().__init__(angle=3)
