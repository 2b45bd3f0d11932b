"""Denoisers: what was prepared gives the numbers of what was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, get_args

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser
from glidepath.core.levels import NoiseLevels
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.testing.check import Check, check, require
from glidepath.testing.fixtures import conditioning_for, levels_for
from glidepath.testing.kinds.conditioners import condition_for
from glidepath.testing.part import Part
from glidepath.testing.trial import Attempt, Trial, difference, random_rows

_STEPS = 3
_ROUNDING = 1e-4


class DenoiserTrial(Trial):
    """Predicts along a few levels, with what it prepared."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "image.channels": lambda built: built.image_shape[0],
        "image.size": lambda built: built.image_shape[-1],
        "image.upsamples": lambda built: built.needs_low_res,
        "prediction.kind": lambda built: built.predicts,
        "prediction.learned_variance": lambda built: built.learned_variance,
    }

    def use(self, built: Denoiser, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """What it predicts at each level, variance and all."""
        levels = levels_for(self.part, _STEPS)
        predict = built.prepare(self.conditioning(built, rows, device), levels)
        x = random_rows(rows, built.image_shape).to(device)
        results = []
        for step in levels.steps(device):
            prediction = predict(x, step)
            results.append(prediction.value)
            if prediction.variance_fraction is not None:
                results.append(prediction.variance_fraction)
        return results

    def conditioning(self, built: Denoiser, rows: Sequence[int], device: str = "cpu") -> Conditioning:
        """All that it needs to hear."""
        low_res = None
        if built.needs_low_res:
            low_res = [built.image_shape[0], *(max(1, size // 2) for size in built.image_shape[1:])]
        usual = conditioning_for(
            self.part, rows, device=device, num_classes=built.num_classes, low_res=low_res
        )
        others = {
            name: made
            for name in built.reads - set(usual.conditions)
            if (made := condition_for(self.part, name, rows)) is not None
        }
        return attrs.evolve(usual, conditions={**usual.conditions, **others}).to(device)

    def require_shapes(self, built: Denoiser) -> None:
        """C channels, or 2C where the variance is learned."""
        require(
            built.predicts in get_args(PredictionKind),
            f"predicts is {built.predicts!r}, and must be one of {', '.join(get_args(PredictionKind))}",
        )
        channels, *spatial = built.image_shape
        wanted = [2, channels * (2 if built.learned_variance else 1), *spatial]
        x, conditioning = random_rows((0, 1), built.image_shape), self.conditioning(built, (0, 1))
        levels = levels_for(self.part, _STEPS)
        output = built(x, levels.t[:1].expand(2), conditioning)
        require(
            list(output.shape) == wanted,
            f"forward of 2 samples gives {list(output.shape)}, and must give {wanted}",
        )
        prediction = built.prepare(conditioning, levels)(x, next(levels.steps("cpu")))
        require(
            prediction.value.shape == x.shape,
            f"it predicts {list(prediction.value.shape)} of an x of {list(x.shape)}",
        )
        require(
            (prediction.variance_fraction is not None) == built.learned_variance,
            f"learned_variance is {built.learned_variance}, and its predictions say otherwise",
        )

    def require_dtypes(self, built: Denoiser) -> None:
        """float32, whatever precision it runs in."""
        levels = levels_for(self.part, _STEPS)
        x = random_rows((0,), built.image_shape)
        for dtype in (torch.float32, torch.bfloat16):
            built = built.to(dtype)
            conditioning = self.conditioning(built, (0,)).to("cpu", dtype)
            for how, output in (
                ("forward", built(x, levels.t[:1], conditioning)),
                ("a prediction", built.prepare(conditioning, levels)(x, next(levels.steps("cpu"))).value),
            ):
                require(
                    output.dtype == torch.float32,
                    f"with weights in {dtype}, {how} is {output.dtype}, and must be float32",
                )
                require(bool(output.isfinite().all()), f"with weights in {dtype}, {how} is not finite")

    def bad_inputs(self, built: Denoiser) -> Iterator[Attempt]:
        """An x of another shape; a batch without what it needs."""
        levels = levels_for(self.part, _STEPS)
        conditioning = self.conditioning(built, (0,))
        more = random_rows((0,), (built.image_shape[0] + 1, *built.image_shape[1:]))
        x = random_rows((0,), built.image_shape)
        yield "an x with a channel too many", partial(_predicted, built, conditioning, levels, more), True
        for name in ("text", "low_res"):
            if name in conditioning.conditions:
                without = conditioning.only(set(conditioning.conditions) - {name})
                call = partial(_predicted, built, without, levels, x)
                yield f"a conditioning without {name}, which it needs", call, True


def _predicted(built: Denoiser, conditioning: Conditioning, levels: NoiseLevels, x: Tensor) -> Prediction:
    return built.prepare(conditioning, levels)(x, next(levels.steps("cpu")))


@check("builds", "shapes", "same-seed")
def prepare(part: Part) -> None:
    """With what it prepared it predicts what it predicts without, at every level."""
    trial, built = DenoiserTrial(part), part.build()
    rows = (0, 1)
    levels = levels_for(part, _STEPS)
    conditioning, x = trial.conditioning(built, rows), random_rows(rows, built.image_shape)
    with torch.no_grad():
        predict = built.prepare(conditioning, levels)
        for step in levels.steps("cpu"):
            plain = built.interpret(built(x, step.t.expand(len(rows)), conditioning), x, step)
            worst = difference([plain.value], [predict(x, step).value])
            require(
                worst < _ROUNDING,
                f"at level {step.index} the prepared predictor gives other numbers than forward "
                f"(relative difference {worst:.1e})",
            )


@check("builds", "shapes")
def sizes(part: Part) -> None:
    """It runs on an x of its own size, and of every other that `takes` finds nothing wrong with."""
    trial, built = DenoiserTrial(part), part.build()
    channels, *own = built.image_shape
    require(built.takes(own) == "", f"it does not take the size that it is made for: {built.takes(own)!r}")
    levels, conditioning = levels_for(part, _STEPS), trial.conditioning(built, (0, 1))
    others = [[*own[:-1], 2 * own[-1]], [*own[:-1], own[-1] + 1], [side + 1 for side in own]]
    for size in others:
        if built.takes(size):
            continue
        x = random_rows((0, 1), (channels, *size))
        try:
            with torch.no_grad():
                value = built.prepare(conditioning, levels)(x, next(levels.steps("cpu"))).value
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise AssertionError(f"it takes an x of {size}, and fails on one: {message}") from error
        require(value.shape == x.shape, f"it takes an x of {size}, and predicts {list(value.shape)[2:]}")


CHECKS: tuple[Check, ...] = (prepare, sizes)
