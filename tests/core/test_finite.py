"""Numbers that are none: in weights that do not fit, and in a walk, whichever sampler goes it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import Diverged, PartError
from glidepath.core.finite import require_finite
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.plugins.samplers import configs, grid_configs, multistep_configs
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.samplers.dpmpp import DpmppSampler, DpmppSdeSampler
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.samplers.unipc import UniPcSampler
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

STEPS = 5
SAMPLERS: dict[str, Any] = {
    "ddpm": DdpmSampler(configs.DdpmConfig(steps=STEPS)),
    "ddim": DdimSampler(configs.DdimConfig(steps=STEPS)),
    "ddim-predicted": DdimSampler(configs.DdimConfig(steps=STEPS, epsilon="predicted")),
    "euler": DdimSampler(grid_configs.EulerConfig(steps=STEPS)),
    "heun": HeunSampler(grid_configs.HeunConfig(steps=STEPS)),
    "dpmpp-2m": DpmppSampler(multistep_configs.DpmppConfig(steps=STEPS)),
    "dpmpp-2m-sde": DpmppSdeSampler(multistep_configs.DpmppSdeConfig(steps=STEPS)),
    "unipc": UniPcSampler(multistep_configs.UniPcConfig(steps=STEPS)),
}


class Breaking(Denoiser):
    """Predicts noise of 0, and at one step, in one pixel, a value that is given."""

    predicts = "epsilon"
    learned_variance = False
    image_shape = (3, 4, 4)

    def __init__(self, value: float, at: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.value, self.at = value, at

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return torch.zeros_like(x)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        def predict(x: Tensor, step: Step) -> Prediction:
            value = torch.zeros_like(x)
            if step.index == self.at:
                value[-1, 0, 2, 1] = self.value
            return Prediction(value, "epsilon", x, step)

        return predict


def pipeline(sampler: str, value: float, at: int = 2, dtype: torch.dtype = torch.float32) -> Pipeline:
    schedule = CosineSchedule(CosineConfig())
    return Pipeline(schedule=schedule, denoiser=Breaking(value, at), sampler=SAMPLERS[sampler], dtype=dtype)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_no_number_ends_a_walk_though_clipping_makes_an_image_of_it(
    sampler: str, value: float
) -> None:
    with pytest.raises(Diverged, match=f"step 3 of {STEPS} is not finite .* in float32"):
        pipeline(sampler, value)(["a", "b"])
    assert pipeline(sampler, 1e6)(["a", "b"]).shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [(torch.float16, "try bfloat16 or float32"), (torch.bfloat16, "try float32"), (torch.float32, "weights")],
)
@pytest.mark.parametrize("at", [0, STEPS - 1])
def test_it_names_the_precision_and_another_one(dtype: torch.dtype, remedy: str, at: int) -> None:
    states = pipeline("ddim", math.nan, at, dtype).states(["a"])
    with pytest.raises(Diverged, match=rf"step {at + 1} of .*{str(dtype)[6:]}, .*{remedy}"):
        deque(states, maxlen=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [3.4e38, -3.4e38])
def test_weights_that_the_precision_cannot_hold_are_refused(value: float, dtype: torch.dtype) -> None:
    denoiser = Breaking(0.0, 0)
    parts: dict[str, Any] = {"schedule": CosineSchedule(CosineConfig()), "sampler": SAMPLERS["ddim"]}
    Pipeline(denoiser=denoiser, dtype=dtype, **parts)
    denoiser = Breaking(0.0, 0)
    with torch.no_grad():
        denoiser.weight[1] = value
    Pipeline(denoiser=denoiser, **parts)
    said = (
        rf"the weights of denoiser: 1 value does not fit {str(dtype)[6:]}, .*: weight \(1 of 2\); .*float32"
    )
    with pytest.raises(PartError, match=said):
        Pipeline(denoiser=denoiser, dtype=dtype, **parts)


def test_the_first_tensors_that_do_not_fit_are_named_and_counted() -> None:
    wrong = {f"w{index}": torch.full((3,), 70000.0).half() for index in range(7)}
    kept = {"sound": torch.ones(2), "whole": torch.ones(2, dtype=torch.int64), "none": torch.ones(0)}
    require_finite(kept, "x")
    with pytest.raises(PartError) as caught:
        require_finite({**wrong, **kept}, "the weights of x")
    first = ", ".join(f"w{index} (3 of 3)" for index in range(5))
    assert str(caught.value) == (
        "the weights of x: 21 values do not fit float16, which ends at 6.55e+04: "
        f"{first}, and 2 more; bfloat16 or float32 holds larger ones"
    )
