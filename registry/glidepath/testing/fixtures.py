"""What a part under test is given: a schedule, noise levels, conditioning, and a small pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning, TextEmbedding
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise
from glidepath.core.pipeline import Pipeline
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.registry.assembly.build import build_part
from glidepath.registry.describe.component import Need
from glidepath.registry.plan.parts import flat_parts
from glidepath.testing.check import NotApplicable
from glidepath.testing.part import Part
from glidepath.testing.trial import PROMPTS, random_rows

_POSITIONS = 5


class QuarterCircleSchedule(NoiseSchedule):
    """A variance-preserving schedule along a quarter of a circle.

    alpha = cos(pi u / 2) and sigma = sin(pi u / 2), u = (t + 1) / (N + 1).
    """

    def __init__(self, num_steps: int = 1000) -> None:
        self.num_steps = num_steps

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Defined between the timesteps too."""
        angle = (t.to(torch.float64) + 1) / (self.num_steps + 1) * math.pi / 2
        return angle.cos(), angle.sin()


class HalfNoiseDenoiser(Denoiser):
    """Predicts epsilon = x / 2: a denoiser that costs nothing, for tests that do not look at the images."""

    predicts = "epsilon"
    learned_variance = False
    image_shape = (3, 32, 32)

    def takes(self, size: Sequence[int]) -> str:
        """Every size."""
        return ""

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """x / 2."""
        return x / 2

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """Nothing changes from step to step."""
        return lambda x, step: self.interpret(self(x, step.t, conditioning), x, step)


class ReferenceSampler(Sampler):
    """x_s = alpha_s x_0 + sigma_s epsilon, as predicted."""

    steps = 4

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Walk along `levels`; no noise is drawn."""
        rows = levels.to_device(x.device, levels.alpha[1:], levels.sigma[1:])
        for step in levels.steps(x.device):
            alpha, sigma = rows[step.index]
            prediction = predict(x, step)
            x = alpha * prediction.sample + sigma * prediction.epsilon
            noise.skip(step.index, x)
            yield State(step.index + 1, len(levels), x, prediction.sample)


def small_pipeline() -> Pipeline:
    """A pipeline of 32 x 32 pixels that costs nothing and reads no text, for a part that is given one."""
    return Pipeline(
        schedule=QuarterCircleSchedule(16), denoiser=HalfNoiseDenoiser(), sampler=ReferenceSampler()
    )


def schedule_for(part: Part) -> NoiseSchedule:
    """A schedule on which a part can be tried: the kit's own, unless the part needs another.

    Then it is an installed one that provides what is needed, of the part's own distribution if it has one.

    Raises:
        NotApplicable: no installed schedule does.
    """
    steps = part.needed("schedule.num_steps")
    needs = [
        (key, need)
        for part_plan in flat_parts({"": part.planned})
        for key, need in part_plan.registered.component.needs(part_plan.config).items()
        if key.startswith("schedule.")
    ]
    count = int(steps or 1000)
    own = {"schedule.num_steps": count, "schedule.continuous": False, "schedule.rescale_timesteps": False}
    if all(_met(need, own.get(key), key in own) for key, need in needs):
        return QuarterCircleSchedule(count)
    installed = part.catalogue.components("schedule")
    for registered in sorted(installed, key=lambda other: other.distribution != part.registered.distribution):
        try:
            planned = Part(registered, part.catalogue).planned
            given = planned.provided()
        except Exception:  # whatever is wrong with it is the fault of another part
            continue
        if all(_met(need, given.get(key), key in given) for key, need in needs):
            built: NoiseSchedule = build_part(planned, part.catalogue)
            return built
    wanted = ", ".join(sorted({key for key, _ in needs}))
    raise NotApplicable(f"no installed schedule provides what it needs ({wanted})")


def levels_for(part: Part, count: int) -> NoiseLevels:
    """So many levels of a schedule on which it can be tried."""
    schedule = schedule_for(part)
    return schedule.levels(count if schedule.continuous else f"trailing{min(count, schedule.num_steps)}")


def conditioning_for(
    part: Part,
    rows: Sequence[int],
    *,
    device: str = "cpu",
    text: bool = False,
    num_classes: int | None = None,
    low_res: Sequence[int] | None = None,
) -> Conditioning:
    """What steers a batch, each sample by its row.

    text: there is one, even if the part does not need it. num_classes: there are labels. low_res: [C, h, w]
        of the images to start from.
    """
    width, pooled = part.needed("text.width"), part.needed("text.pooled")
    conditions = {}
    if low_res is not None:
        conditions["low_res"] = Condition(random_rows(rows, low_res, stream=3).clamp(-1, 1))
    if text or width is not None or pooled is not None:
        sizes = (int(width or 8), int(pooled or 8))
        conditions["text"] = Condition(_text(rows, *sizes), _text([99], *sizes))
    if num_classes is not None:
        labels = torch.tensor([row % num_classes for row in rows])
        conditions["labels"] = Condition(labels, labels)
    prompts = tuple(PROMPTS[row % len(PROMPTS)] for row in rows)
    return Conditioning(len(rows), conditions, prompts).to(device)


def _text(rows: Sequence[int], width: int, pooled: int) -> TextEmbedding:
    mask = torch.tensor([[position <= row % _POSITIONS for position in range(_POSITIONS)] for row in rows])
    return TextEmbedding(random_rows(rows, (pooled,), 1), random_rows(rows, (_POSITIONS, width), 2), mask)


def _met(need: Need, value: object, is_given: bool) -> bool:
    """Whether a need is met by what is provided, if it is."""
    if not is_given:
        return need.optional
    if need.test is not None:
        return not need.test(value)
    return value in (need.value if isinstance(need.value, tuple) else (need.value,))
