"""Reading a network's output as a prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import PredictionKind

STEP = Step(0, torch.tensor(0), torch.tensor(0.6), torch.tensor(0.8))


class Fixed(Denoiser):
    """Only what `interpret` looks at."""

    image_shape = (3, 4, 4)

    def __init__(self, predicts: PredictionKind, learned_variance: bool) -> None:
        super().__init__()
        self.predicts = predicts
        self.learned_variance = learned_variance

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise NotImplementedError

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        raise NotImplementedError


def test_an_output_without_variance_is_the_prediction() -> None:
    output, x = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    prediction = Fixed("velocity", learned_variance=False).interpret(output, x, STEP)
    assert prediction.velocity is output
    assert prediction.x is x
    assert prediction.variance_fraction is None


def test_the_second_half_of_an_output_is_the_variance_mapped_to_a_fraction() -> None:
    value, v = torch.randn(2, 3, 4, 4), torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    prediction = Fixed("sample", learned_variance=True).interpret(torch.cat([value, v], 1), value, STEP)
    assert torch.equal(prediction.sample, value)
    assert prediction.variance_fraction is not None
    assert prediction.variance_fraction[0, :, 0, 0].tolist() == [0, 0.5, 1]
