"""Denoisers: what was prepared gives the numbers of what was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser
from glidepath.core.levels import NoiseLevels
from glidepath.core.prediction import Prediction
from glidepath.testing.check import Check, check, require
from glidepath.testing.part import Part
from glidepath.testing.trial import Attempt, Trial, difference, random
from glidepath.testing.world import conditioning_for, levels_for

_STEPS = 3
_ROUNDING = 1e-4


class DenoiserTrial(Trial):
    """Predicts along a few levels, with what it prepared."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "image.channels": lambda made: made.image_shape[0],
        "image.size": lambda made: made.image_shape[-1],
        "image.upsamples": lambda made: made.needs_low_res,
        "prediction.kind": lambda made: made.predicts,
        "prediction.learned_variance": lambda made: made.learned_variance,
    }

    def use(self, made: Denoiser, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """What it predicts at each level, variance and all."""
        levels = levels_for(self.part, _STEPS)
        predict = made.prepare(self.conditioning(made, rows, device), levels)
        x = random(rows, made.image_shape).to(device)
        results = []
        for step in levels.steps(device):
            prediction = predict(x, step)
            results.append(prediction.value)
            if prediction.variance_fraction is not None:
                results.append(prediction.variance_fraction)
        return results

    def conditioning(self, made: Denoiser, rows: Sequence[int], device: str = "cpu") -> Conditioning:
        """All that it needs to hear."""
        low_res = None
        if made.needs_low_res:
            low_res = [made.image_shape[0], *(max(1, size // 2) for size in made.image_shape[1:])]
        return conditioning_for(self.part, rows, device=device, num_classes=made.num_classes, low_res=low_res)

    def require_shapes(self, made: Denoiser) -> None:
        """C channels, or 2C where the variance is learned."""
        require(
            made.predicts in ("epsilon", "sample", "velocity"),
            f"predicts is {made.predicts!r}, and must be epsilon, sample or velocity",
        )
        channels, *spatial = made.image_shape
        wanted = [2, channels * (2 if made.learned_variance else 1), *spatial]
        x, conditioning = random((0, 1), made.image_shape), self.conditioning(made, (0, 1))
        levels = levels_for(self.part, _STEPS)
        output = made(x, levels.t[:1].expand(2), conditioning)
        require(
            list(output.shape) == wanted,
            f"forward of 2 samples gives {list(output.shape)}, and must give {wanted}",
        )
        prediction = made.prepare(conditioning, levels)(x, next(levels.steps("cpu")))
        require(
            prediction.value.shape == x.shape,
            f"it predicts {list(prediction.value.shape)} of an x of {list(x.shape)}",
        )
        require(
            (prediction.variance_fraction is not None) == made.learned_variance,
            f"learned_variance is {made.learned_variance}, and its predictions say otherwise",
        )

    def require_dtypes(self, made: Denoiser) -> None:
        """float32, whatever precision it runs in."""
        levels = levels_for(self.part, _STEPS)
        x = random((0,), made.image_shape)
        for dtype in (torch.float32, torch.bfloat16):
            made = made.to(dtype)
            conditioning = self.conditioning(made, (0,)).to("cpu", dtype)
            for how, output in (
                ("forward", made(x, levels.t[:1], conditioning)),
                ("a prediction", made.prepare(conditioning, levels)(x, next(levels.steps("cpu"))).value),
            ):
                require(
                    output.dtype == torch.float32,
                    f"with weights in {dtype}, {how} is {output.dtype}, and must be float32",
                )
                require(bool(output.isfinite().all()), f"with weights in {dtype}, {how} is not finite")

    def bad_inputs(self, made: Denoiser) -> Iterator[Attempt]:
        """An x of another shape; a batch without what it needs."""
        levels = levels_for(self.part, _STEPS)
        conditioning = self.conditioning(made, (0,))
        more = random((0,), (made.image_shape[0] + 1, *made.image_shape[1:]))
        x = random((0,), made.image_shape)
        yield "an x with a channel too many", partial(_predicted, made, conditioning, levels, more), True
        less = {
            "text": attrs.evolve(conditioning, text=None),
            "low_res": attrs.evolve(conditioning, low_res=None),
        }
        for name, without in less.items():
            if getattr(conditioning, name) is not None:
                call = partial(_predicted, made, without, levels, x)
                yield f"a conditioning without {name}, which it needs", call, True


def _predicted(made: Denoiser, conditioning: Conditioning, levels: NoiseLevels, x: Tensor) -> Prediction:
    return made.prepare(conditioning, levels)(x, next(levels.steps("cpu")))


@check("builds", "shapes", "same-seed")
def prepare(part: Part) -> None:
    """With what it prepared it predicts what it predicts without, at every level."""
    trial, made = DenoiserTrial(part), part.build()
    rows = (0, 1)
    levels = levels_for(part, _STEPS)
    conditioning, x = trial.conditioning(made, rows), random(rows, made.image_shape)
    with torch.no_grad():
        predict = made.prepare(conditioning, levels)
        for step in levels.steps("cpu"):
            plain = made.interpret(made(x, step.t.expand(len(rows)), conditioning), x, step)
            worst = difference([plain.value], [predict(x, step).value])
            require(
                worst < _ROUNDING,
                f"at level {step.index} the prepared predictor gives other numbers than forward "
                f"(relative difference {worst:.1e})",
            )


CHECKS: tuple[Check, ...] = (prepare,)
