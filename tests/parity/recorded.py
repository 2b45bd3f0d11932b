"""Walks that the reference programs recorded, and our parts set up to repeat them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.denoiser import Bind, Predict
from glidepath.core.guidance import Guidance
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.core.sampler import Sampler
from glidepath.core.schedule import NoiseSchedule
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.schedules.betas import LinearSchedule
from glidepath.plugins.schedules.configs import CosineConfig, LinearConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

DATA = Path(__file__).parent / "data"


def described(name: str) -> dict[str, Any]:
    """The settings of a file of golden tensors."""
    description: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return description


def difference(ours: Tensor, reference: Tensor) -> float:
    """max |ours - reference| / max |reference|."""
    assert ours.shape == reference.shape
    return float((ours - reference).abs().max() / reference.abs().max())


def make_schedule(settings: Mapping[str, Any]) -> NoiseSchedule:
    """Our schedule for the reference's diffusion settings."""
    rescale = settings.get("rescale_timesteps", False)
    if settings["schedule"] == "linear":
        return LinearSchedule(LinearConfig(num_steps=settings["T"], rescale_timesteps=rescale))
    return CosineSchedule(CosineConfig(num_steps=settings["T"], rescale_timesteps=rescale))


@attrs.frozen(eq=False)
class Walk:
    """One recorded trajectory.

    settings: as recorded.
    shared: the tensors common to the file (x_T, noise, cond_c, ...).
    tensors: this trajectory's, stacked over steps.
    """

    settings: Mapping[str, Any]
    shared: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]

    @classmethod
    def load(cls, file: str, name: str) -> Walk:
        description = described(file)
        recorded = load_file(DATA / f"{file}.safetensors")
        # a name may begin another's, so the field is what follows the last full stop
        tensors = {
            key.rpartition(".")[2]: value for key, value in recorded.items() if key.rpartition(".")[0] == name
        }
        shared = {key: recorded[key] for key in description["inputs"]}
        return cls(description["trajectories"][name], shared, tensors)

    @property
    def diffusion(self) -> Mapping[str, Any]:
        """Its settings, GLIDE's defaults filled in."""
        return {"mean": "EPSILON", "var": "LEARNED_RANGE", **self.settings["diffusion"]}

    @property
    def levels(self) -> NoiseLevels:
        """Our levels for its schedule and spacing."""
        schedule = make_schedule(self.diffusion)
        levels = schedule.levels(self.diffusion.get("respacing", schedule.num_steps))
        return reverse_of(levels) if self.settings["sampler"] == "ddim_reverse_sample" else levels

    @property
    def sampler(self) -> Sampler:
        """Ours with the reference's settings.

        A reference that predicts x_{t-1} takes it as the mean even where the x_0 that follows is clipped, so
        there clipping is left out for `p_sample`.
        """
        clip = self.settings["clip_denoised"]
        if self.settings["sampler"] == "p_sample":
            variance: Any = self.diffusion["var"].lower().replace("_", "-")
            return DdpmSampler(
                DdpmConfig(variance=variance, clip=clip and self.diffusion["mean"] != "PREVIOUS_X")
            )
        return DdimSampler(DdimConfig(eta=self.settings["eta"], clip=clip))

    @property
    def inputs(self) -> list[Tensor]:
        """The x_t that each step received."""
        return [self.shared["x_T"], *self.tensors["sample"][:-1]]

    def interpret(self, output: Tensor, x: Tensor, step: Step) -> Prediction:
        """The reference's model output as a Prediction."""
        fraction = None
        if self.diffusion["var"].startswith("LEARNED"):
            output, variance = output.chunk(2, dim=1)
            fraction = (variance + 1) / 2
        if self.diffusion["mean"] == "PREVIOUS_X":
            # no published model predicts it, so no kind of Prediction is: the posterior's mean gives x_0
            levels = self.levels
            coef1, coef2 = (
                float(coef[step.index]) for coef in (levels.posterior_mean_coef1, levels.posterior_mean_coef2)
            )
            output = (output - coef2 * x) / coef1
        kind: PredictionKind = "epsilon" if self.diffusion["mean"] == "EPSILON" else "sample"
        return Prediction(output, kind, x, step, variance_fraction=fraction)

    def analytic(self, x: Tensor, step: Step) -> Prediction:
        """The closed formula that stands for a network in the recordings."""
        t = step.t.float()
        output = 0.85 * x + 0.35 * torch.tanh(x + torch.cos(t / 180)) + 0.1 * torch.sin(t / 97)
        if self.settings["model"]["learn_sigma"]:
            shift = self.settings["model"].get("var_shift", 0.0)
            variance = 0.8 * torch.cos(1.5 * torch.tanh(0.5 * x) + t / 150) + shift
            output = torch.cat([output, variance], dim=1)
        return self.interpret(output, x, step)

    def replay(self, x: Tensor, step: Step) -> Prediction:
        """The model output that was recorded, whatever x is."""
        return self.interpret(self.tensors["model_output"][step.index], x, step)

    @property
    def guidances(self) -> list[Guidance]:
        """What the reference's `denoised_fn` and `cond_fn` did."""
        guidances: list[Guidance] = []
        if "denoised_fn" in self.settings:
            guidances.append(Soften())
        cond = self.settings.get("cond", {})
        if cond.get("type") == "quadratic":
            guidances.append(Quadratic(self.shared["cond_c"], cond["scale"], cond["t_weight"]))
        elif cond:
            guidances.append(RecordedGradient(self.tensors["cond_grad"]))
        return guidances


@attrs.frozen(eq=False)
class Soften(Guidance):
    """`half_tanh`: x_0 becomes 1.5 tanh(x_0 / 1.5), before it is clipped."""

    def __call__(self, bind: Bind) -> Bind:
        def soften(prediction: Prediction) -> Prediction:
            return prediction.with_sample(1.5 * torch.tanh(prediction.sample / 1.5))

        return _mapped(bind, soften)


@attrs.frozen(eq=False)
class Quadratic(Guidance):
    """The gradient of -scale w |x - c|^2."""

    centre: Tensor
    scale: float
    weigh_by_time: bool

    def __call__(self, bind: Bind) -> Bind:
        def pull(prediction: Prediction) -> Prediction:
            weight = 1 + prediction.step.t / 1000 if self.weigh_by_time else 1.0
            return prediction.with_gradient(self.scale * weight * -2 * (prediction.x - self.centre))

        return _mapped(bind, pull)


@attrs.frozen(eq=False)
class RecordedGradient(Guidance):
    """The gradient that the reference's classifier gave at each step."""

    gradients: Tensor

    def __call__(self, bind: Bind) -> Bind:
        return _mapped(
            bind, lambda prediction: prediction.with_gradient(self.gradients[prediction.step.index])
        )


def _mapped(bind: Bind, change: Callable[[Prediction], Prediction]) -> Bind:
    def bound(conditioning: Any) -> Predict:
        predict = bind(conditioning)
        return lambda x, step: change(predict(x, step))

    return bound


@attrs.frozen(eq=False)
class RecordedNoise:
    """The noise that the reference drew: [N, B, C, *spatial], one row for each step."""

    noise: Tensor

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        raise AssertionError("the walks begin at a recorded x_T")

    def step(self, index: int, like: Tensor) -> Tensor:
        return self.noise[index]

    def skip(self, index: int, like: Tensor) -> None:
        pass


def reverse_of(levels: NoiseLevels) -> NoiseLevels:
    """The same points, clean to noisy, with pure noise as the end point: DDIM's encoding of an image."""
    alpha, sigma = levels.alpha[:-1].flip(0), levels.sigma[:-1].flip(0)
    one = torch.ones(1, dtype=torch.float64)
    unused = torch.zeros(len(levels), dtype=torch.float64)
    return NoiseLevels(levels.t.flip(0), torch.cat([alpha, 0 * one]), torch.cat([sigma, one]), unused)
