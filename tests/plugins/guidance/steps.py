"""A grid of four steps, and predictions to guide, all in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind

SHAPE = (2, 3, 4, 5)
LEVELS = NoiseLevels(
    torch.tensor([900, 600, 300, 0]),
    torch.tensor([0.28, 0.6, 0.8, 0.96, 1.0], dtype=torch.float64),
    torch.tensor([0.96, 0.8, 0.6, 0.28, 0.0], dtype=torch.float64),
)
STEPS = list(LEVELS.steps("cpu"))


def noise(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@attrs.define
class Labelled:
    """Predicts a noise of its own for each label and step; remembers the batches it saw.

    kind: in which form it predicts. scale: of that noise.
    """

    kind: PredictionKind = "epsilon"
    scale: float = 1.0
    learned_variance: bool = True
    batches: list[int] = attrs.Factory(list)

    def value(self, labels: Sequence[int], step: Step) -> Tensor:
        return torch.stack(
            [noise(100 * label + step.index, self.scale)[row % SHAPE[0]] for row, label in enumerate(labels)]
        )

    def __call__(self, conditioning: Conditioning) -> Predict:
        assert conditioning.get("labels") is not None
        labels: list[int] = conditioning.get("labels").tolist()

        def predict(x: Tensor, step: Step) -> Prediction:
            self.batches.append(len(x))
            fraction = torch.full_like(x, 0.5) if self.learned_variance else None
            return Prediction(self.value(labels, step), self.kind, x, step, fraction)

        return predict


BATCH = Conditioning.of(2, labels=Condition(torch.tensor([5, 7]), torch.tensor([1, 2])))


def walk(*guidances: Guidance, denoiser: Labelled | None = None) -> list[Prediction]:
    """The guided prediction at each step, of one bound predictor."""
    predict = fold(guidances, denoiser or Labelled(), LEVELS)(BATCH)
    return [predict(noise(step.index), step) for step in STEPS]
