"""The samplers walk as the schedulers of diffusers do, on a closed-form model.

28 recorded walks of 7 schedulers. There x is divided by alpha for euler and heun, and heun and pndm record
every prediction; the tests read both back into the points of our grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig, PndmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.samplers.dpmpp import DpmppSampler
from glidepath.plugins.samplers.grid_configs import EulerConfig, HeunConfig
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.samplers.multistep_configs import DpmppConfig, UniPcConfig
from glidepath.plugins.samplers.pndm import PndmSampler
from glidepath.plugins.samplers.unipc import UniPcSampler
from glidepath.plugins.schedules.betas import LinearSchedule, QuadraticSchedule
from glidepath.plugins.schedules.configs import CosineConfig, LinearConfig, QuadraticConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

from .recorded import DATA, RecordedNoise, described, difference

TOLERANCES = {
    "ddpm": 2e-5,
    "ddim": 2e-5,
    "dpmpp": 1e-5,
    "euler": 1e-5,
    "heun": 1e-5,
    "unipc": 1e-5,
    "pndm": 1e-5,
}
RUNS = [(name, run) for name in TOLERANCES for run in described(f"diffusers_{name}")["runs"]]
every_run = pytest.mark.parametrize(("scheduler", "run"), RUNS)


@every_run
def test_a_walk_is_that_of_diffusers(scheduler: str, run: str) -> None:
    recording = Recording.load(scheduler, run)
    walked = recording.walk()
    ours = torch.stack([recording.scaled(state) for state in walked])
    assert difference(ours, recording.tensors["samples"][recording.visible]) < TOLERANCES[scheduler]


@every_run
def test_the_denoiser_receives_the_timesteps_of_diffusers(scheduler: str, run: str) -> None:
    recording = Recording.load(scheduler, run)
    recording.walk()
    received, expected = torch.stack(recording.received), recording.tensors["timesteps"]
    if received.is_floating_point():
        assert difference(received, expected) < TOLERANCES[scheduler]
    else:
        assert torch.equal(received, expected.to(received.dtype))


@every_run
def test_the_predicted_images_are_those_of_diffusers(scheduler: str, run: str) -> None:
    recording = Recording.load(scheduler, run)
    walked = recording.walk()
    if "pred_original_sample" not in recording.tensors:
        return
    expected = recording.tensors["pred_original_sample"]
    if scheduler == "heun":
        expected = expected[[*range(1, len(expected) - 1, 2), len(expected) - 1]]
    ours = torch.stack([state.sample for state in walked])
    assert difference(ours, expected) < TOLERANCES[scheduler]


@pytest.mark.parametrize(
    ("scheduler", "run"), [row for row in RUNS if row[0] in ("dpmpp", "euler", "heun", "unipc")]
)
def test_the_noise_levels_are_those_of_diffusers(scheduler: str, run: str) -> None:
    """To the digits that diffusers keeps: it builds alpha_bar in float32, and 1 - alpha_bar loses some."""
    recording = Recording.load(scheduler, run)
    expected = recording.tensors["sigmas"]
    if scheduler == "heun":
        expected = torch.cat([expected[:1], expected[1::2]])
    ratio = (recording.levels.sigma / recording.levels.alpha).float()
    torch.testing.assert_close(ratio, expected, rtol=5e-4, atol=0)
    assert difference(ratio, expected) < 1e-4


@attrs.define(eq=False)
class Recording:
    """One recorded walk, and our parts set up to repeat it."""

    scheduler: str
    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    noise: Tensor
    x_start: Tensor
    received: list[Tensor] = attrs.field(factory=list)

    @classmethod
    def load(cls, scheduler: str, run: str) -> Recording:
        recorded = load_file(DATA / f"diffusers_{scheduler}.safetensors")
        row = described(f"diffusers_{scheduler}")["runs"][run]
        tensors = {
            key.partition(".")[2]: value for key, value in recorded.items() if key.startswith(f"{run}.")
        }
        return cls(scheduler, row, tensors, recorded["noise"], recorded["x_T"])

    @property
    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {**self.settings["kwargs"], **self.settings.get("step_kwargs", {})}
        return given

    @property
    def schedule(self) -> NoiseSchedule:
        kind, start, end = (self.arguments.get(key) for key in ("beta_schedule", "beta_start", "beta_end"))
        if kind == "squaredcos_cap_v2":
            return CosineSchedule(CosineConfig())
        if kind == "scaled_linear":
            zero = self.arguments.get("rescale_betas_zero_snr", False)
            return QuadraticSchedule(QuadraticConfig(beta_start=start, beta_end=end, zero_terminal_snr=zero))
        if self.scheduler == "heun":  # whose defaults are not those of the others
            return LinearSchedule(LinearConfig(beta_start=0.00085, beta_end=0.012))
        return LinearSchedule(LinearConfig())

    @property
    def sampler(self) -> Sampler:
        return SAMPLERS[self.scheduler](self)

    @property
    def levels(self) -> NoiseLevels:
        return self.sampler.levels(self.schedule)

    @property
    def steps(self) -> int | str:
        """Our name of its timesteps; the default differs between schedulers."""
        count, offset = self.settings["steps"], self.arguments.get("steps_offset", 0)
        spacing = self.arguments.get("timestep_spacing", SPACINGS.get(self.scheduler, "leading"))
        if spacing == "leading" and offset:
            return f"leading{count}+{offset}"
        karras = self.arguments.get("use_karras_sigmas", False)
        # spaced anew between all of the schedule's noise levels, the cleanest one included
        return count if spacing == "linspace" or karras else f"{spacing}{count}"

    @property
    def by_ratio(self) -> bool:
        """Whether x is divided by alpha in the recording."""
        return self.scheduler in ("euler", "heun")

    @property
    def visible(self) -> list[int]:
        """Which of the recorded samples are states of ours: all but the trials within a step."""
        count = len(self.tensors["samples"])
        if self.scheduler == "heun":
            return [*range(1, count - 1, 2), count - 1]
        if self.scheduler == "pndm":
            warmed = 12 if not self.arguments.get("skip_prk_steps") else 0
            return [*range(1, warmed, 2), *range(warmed or 1, count)]
        return list(range(count))

    def walk(self) -> list[State]:
        """Our states; `received` holds the timesteps that the model saw."""
        levels = self.levels
        x = self.x_start.double() * self.tensors["init_noise_sigma"]
        if self.by_ratio:
            x = x * levels.alpha[0]
        return list(self.sampler.states(self.predict, x.float(), levels, RecordedNoise(self.noise)))

    def scaled(self, state: State) -> Tensor:
        """A state in the recording's units."""
        return state.x / self.levels.alpha[state.index].float() if self.by_ratio else state.x

    def predict(self, x: Tensor, step: Step) -> Prediction:
        """The closed formula that stands for a network in the recordings."""
        self.received.append(step.t)
        t = step.t.double()
        value = 0.1 * x + torch.sin(t / 100).float()
        fraction = None
        if self.settings.get("learned_range"):
            fraction = (0.8 * torch.cos(0.7 * x + t.float() / 150) + 1) / 2
        kind = KINDS[self.arguments.get("prediction_type", "epsilon")]
        return Prediction(value, kind, x, step, variance_fraction=fraction)


KINDS: dict[str, PredictionKind] = {"epsilon": "epsilon", "sample": "sample", "v_prediction": "velocity"}
SPACINGS = {"dpmpp": "uniform", "unipc": "uniform", "euler": "linspace", "heun": "linspace"}


def _ddpm(recording: Recording) -> Sampler:
    name = recording.arguments.get("variance_type", "fixed_small").removesuffix("_log").replace("_", "-")
    clip = recording.arguments.get("clip_sample", True)
    return DdpmSampler(
        DdpmConfig(steps=recording.steps, variance="learned-range" if "learned" in name else name, clip=clip)
    )


def _ddim(recording: Recording) -> Sampler:
    given = recording.arguments
    config = DdimConfig(
        steps=recording.steps,
        eta=given.get("eta", 0.0),
        clip=given.get("clip_sample", True),
        epsilon="clipped" if given.get("use_clipped_model_output") else "predicted",
        end="clean" if given.get("set_alpha_to_one", True) else "first",
    )
    return DdimSampler(config)


def _dpmpp(recording: Recording) -> Sampler:
    given = recording.arguments
    config = DpmppConfig(
        steps=recording.steps,
        solver=given.get("solver_type", "midpoint"),
        lower_order_final=given.get("lower_order_final", True),
        sigmas="karras" if given.get("use_karras_sigmas") else "schedule",
        timesteps="rounded",
        end="first" if given.get("final_sigmas_type") == "sigma_min" else "clean",
        clip=False,
    )
    return DpmppSampler(config)


def _euler(recording: Recording) -> Sampler:
    karras = recording.arguments.get("use_karras_sigmas")
    return DdimSampler(
        EulerConfig(steps=recording.steps, sigmas="karras" if karras else "schedule", clip=False)
    )


def _heun(recording: Recording) -> Sampler:
    return HeunSampler(HeunConfig(steps=recording.steps, clip=False))


def _unipc(recording: Recording) -> Sampler:
    given = recording.arguments
    config = UniPcConfig(
        steps=recording.steps,
        order=given.get("solver_order", 2),
        solver=given.get("solver_type", "bh2"),
        end="first" if given.get("final_sigmas_type") == "sigma_min" else "clean",
        clip=False,
    )
    return UniPcSampler(config)


def _pndm(recording: Recording) -> Sampler:
    given = recording.arguments
    config = PndmConfig(
        steps=recording.steps,
        warm_up="heun" if given.get("skip_prk_steps") else "runge-kutta",
        end="clean" if given.get("set_alpha_to_one") else "first",
        clip=False,
    )
    return PndmSampler(config)


SAMPLERS: dict[str, Callable[[Recording], Sampler]] = {
    "ddpm": _ddpm,
    "ddim": _ddim,
    "dpmpp": _dpmpp,
    "euler": _euler,
    "heun": _heun,
    "unipc": _unipc,
    "pndm": _pndm,
}
