"""Guidances: at the neutral setting nothing changes, otherwise something does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.extrapolated import Extrapolate, ExtrapolatedGuidance, cond_and_uncond
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction
from glidepath.registry.plan.contracts import BEFORE
from glidepath.registry.plan.parts import flat_parts
from glidepath.testing.check import Check, NotApplicable, check, require
from glidepath.testing.fixtures import conditioning_for, levels_for
from glidepath.testing.mixture import conditional
from glidepath.testing.part import Part
from glidepath.testing.trial import Attempt, Trial, difference, random_rows

_STEPS = 4
_ROUNDING = 1e-4
_CHANGE = 1e-3
_SIZE = 16


class WithPrompt(ExtrapolatedGuidance):
    """Classifier-free guidance: what stands before a guidance that changes another."""

    def __init__(self) -> None:
        super().__init__(3.0)

    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        """uncond + scale (cond - uncond)."""
        predict_pair = cond_and_uncond(bind, conditioning)

        def guided(x: Tensor, step: Step, scale: float) -> Prediction:
            cond, uncond = predict_pair(x, step)
            return cond.guided(uncond.value + scale * (cond.value - uncond.value))

        return guided


class GuidanceTrial(Trial):
    """Guides a denoiser whose every number is known, at a few noise levels."""

    def use(self, built: Guidance, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """epsilon and the gradient (0 for none) at each level."""
        return self.guided([built], rows, built.num_classes, device)

    def guided(
        self,
        guidances: Sequence[Guidance],
        rows: Sequence[int],
        num_classes: int | None = None,
        device: str = "cpu",
    ) -> list[Tensor]:
        """The same of several guidances, after those that have to stand before this one."""
        results = []
        for prediction in self.predictions(guidances, rows, num_classes, device):
            gradient = prediction.gradient
            results += [prediction.epsilon, torch.zeros_like(prediction.x) if gradient is None else gradient]
        return results

    def predictions(
        self,
        guidances: Sequence[Guidance],
        rows: Sequence[int],
        num_classes: int | None = None,
        device: str = "cpu",
    ) -> list[Prediction]:
        """What is predicted at each level."""
        levels = levels_for(self.part, _STEPS)
        channels, *sides = self.shape
        low_res = [channels, *(side // 2 for side in sides)] if self.part.needed("image.upsamples") else None
        conditioning = conditioning_for(
            self.part, rows, text=True, num_classes=num_classes, low_res=low_res, device=device
        )
        predict = self.bound(guidances, conditioning, levels)
        x = random_rows(rows, self.shape).to(device)
        return [predict(x, step) for step in levels.steps(device)]

    def bound(
        self, guidances: Sequence[Guidance], conditioning: Conditioning, levels: NoiseLevels
    ) -> Predict:
        """Guidances folded around the denoiser, and bound to a batch."""
        # labels are for guidances that read them; this denoiser has no classes
        return fold([*self.before, *guidances], lambda given: conditional(given, levels), levels)(
            conditioning
        )

    @property
    def before(self) -> list[Guidance]:
        """What has to stand before it."""
        needs = self.part.component.needs(self.part.planned.config)
        return [WithPrompt()] if any(key.startswith(BEFORE) for key in needs) else []

    @property
    def shape(self) -> tuple[int, ...]:
        """[C, H, W] of the images: of the size that the guidance, or what it asks, was made for."""
        sizes = [self.part.needed("image.size"), self.part.provided("image.size")]
        size = next((size for size in sizes if isinstance(size, int)), _size_of_parts(self.part))
        return (self.part.provided("image.channels") or 3, size, size)

    def require_shapes(self, built: Guidance) -> None:
        """Predictions of the shape of x."""
        for prediction in self.predictions([built], (0, 1), built.num_classes):
            tensors = {"value": prediction.value, "gradient": prediction.gradient}
            for name, tensor in tensors.items():
                require(
                    tensor is None or tensor.shape == prediction.x.shape,
                    f"the {name} of a prediction has another shape than x, {list(prediction.x.shape)}",
                )
            require(
                prediction.x.shape == (2, *self.shape), "a prediction speaks of another x than was asked for"
            )

    def require_dtypes(self, built: Guidance) -> None:
        """float32, as x is."""
        for prediction in self.predictions([built], (0,), built.num_classes):
            tensors = {"value": prediction.value, "gradient": prediction.gradient}
            for name, tensor in tensors.items():
                require(
                    tensor is None or tensor.dtype == torch.float32,
                    f"the {name} of a prediction is {getattr(tensor, 'dtype', None)}, and must be float32",
                )

    def bad_inputs(self, built: Guidance) -> Iterator[Attempt]:
        """A batch that nothing steers."""
        levels = levels_for(self.part, _STEPS)
        x = random_rows((0,), self.shape)

        def nothing() -> object:
            return self.bound([built], Conditioning(batch=1), levels)(x, next(levels.steps("cpu")))

        def text_alone() -> object:
            conditioning = conditioning_for(self.part, (0,), text=True)
            alone = Conditioning(1, {"text": Condition(conditioning.conditions["text"].value)})
            return self.bound([built], alone, levels)(x, next(levels.steps("cpu")))

        yield "a batch without text, labels or prompts", nothing, False
        yield "a batch without an unconditional text, labels or prompts", text_alone, False


@check("builds", "shapes", "same-seed")
def neutral(part: Part) -> None:
    """With the parameters that its descriptor calls neutral, it changes nothing."""
    if part.component.neutral is None:
        raise NotApplicable("its descriptor names no parameters with which it changes nothing (neutral)")
    trial, built = GuidanceTrial(part), part.build(part.component.neutral)
    _require_unchanged(trial, built, f"with {dict(part.component.neutral)}")


@check("builds", "shapes", "same-seed")
def effect(part: Part) -> None:
    """With the parameters of its example, or its defaults, it changes what is predicted."""
    trial, built = GuidanceTrial(part), part.build()
    rows = (0, 1)
    with torch.no_grad():
        change = difference(trial.guided([], rows), trial.guided([built], rows, built.num_classes))
    require(
        change > _CHANGE,
        f"it changes nothing (relative difference {change:.1e}); an example with more of it may show some",
    )


@check("builds", "shapes", "same-seed", "effect")
def weight(part: Part) -> None:
    """Where it can be scaled by step: with the weight 0 it changes nothing, with 1 it is itself."""
    if part.planned.provided().get("guidance.weight") is not True:
        raise NotApplicable("its descriptor does not provide guidance.weight: true")
    trial, built = GuidanceTrial(part), part.build()
    _require_unchanged(trial, built.scaled_by_step(lambda _step: 0.0), "with the weight 0")
    rows = (0, 1)
    with torch.no_grad():
        whole = trial.guided([built.scaled_by_step(lambda _step: 1.0)], rows, built.num_classes)
        change = difference(whole, trial.guided([built], rows, built.num_classes))
    require(change < _ROUNDING, f"with the weight 1 it is not itself (relative difference {change:.1e})")


CHECKS: tuple[Check, ...] = (neutral, effect, weight)


def _require_unchanged(trial: GuidanceTrial, built: Guidance, how: str) -> None:
    rows = (0, 1)
    with torch.no_grad():
        plain, guided = trial.guided([], rows), trial.guided([built], rows, built.num_classes)
    change = difference(plain, guided)
    require(change < _ROUNDING, f"{how} it changes what is predicted (relative difference {change:.1e})")


def _size_of_parts(part: Part) -> int:
    """The image_size of an inner part that has such a parameter."""
    configs: list[Any] = [part_plan.config for part_plan in flat_parts({"": part.planned})]
    return next(
        (config.image_size for config in configs if isinstance(getattr(config, "image_size", None), int)),
        _SIZE,
    )
