"""The request whose cost is told, and how often a sampler asks its denoiser for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

if TYPE_CHECKING:
    from torch import Tensor

    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.core.levels import NoiseLevels
    from glidepath.core.pipeline import Pipeline
    from glidepath.core.request import Request
    from glidepath.core.sampler import State


def request_of(pipeline: ImagePipeline, levels: NoiseLevels | None, size: Sequence[int] | None) -> Request:
    """One image, with the pictures that it cannot be made without, those of any size a quarter of its own.

    With a class label where there are classes, or for a denoiser that refuses to go without one.
    """
    import torch

    from glidepath.core.errors import PartError
    from glidepath.core.request import Request

    whole = size or pipeline.image_size
    sides = {"image": whole, "any": [max(1, side // 4) for side in whole]}
    inputs = {
        name: torch.empty((1, 3, *sides[input.size]), dtype=torch.uint8)
        for name, input in pipeline.inputs.items()
        if input.required
    }
    request = Request(prompts=[""], inputs=inputs, size=size)
    labelled = attrs.evolve(request, labels=[0])
    if pipeline.num_classes is None:
        try:
            if levels is not None:
                cast("Pipeline", pipeline).prepare(pipeline.conditioning(request), levels)
        except PartError:
            return labelled
        return request
    return labelled


def evaluations_of(pipeline: Pipeline, levels: NoiseLevels) -> int:
    """How often the sampler asks its predictor, found by a walk over a single number."""
    import torch

    from glidepath.core.noise import PerSampleNoise
    from glidepath.core.prediction import Prediction

    calls = 0

    def predict(x: Tensor, step: Any) -> Prediction:
        nonlocal calls
        calls += 1
        zeros = torch.zeros_like(x)
        fraction = zeros if pipeline.denoiser.learned_variance else None
        return Prediction(zeros, pipeline.denoiser.predicts, x, step, variance_fraction=fraction)

    x = torch.zeros((1,) * (1 + len(pipeline.denoiser.image_shape)))
    states: list[State] = list(pipeline.sampler.states(predict, x, levels, PerSampleNoise([(0, 0)])))
    return calls if states else 0
