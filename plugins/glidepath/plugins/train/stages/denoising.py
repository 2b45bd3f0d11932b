"""The stage in which a denoiser and its text encoder learn to denoise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from glidepath.core import Condition, Conditioner, Denoiser, PartError, TextEncoder
from glidepath.plugins.train.data.dataset import Batch, batch_at
from glidepath.plugins.train.data.draws import drawn, generator
from glidepath.plugins.train.losses.density import TimestepDensity
from glidepath.plugins.train.losses.loss import (
    add_noise,
    drop_captions,
    dropped_conditions,
    encoded,
    label_condition,
    predict,
    reduced,
    request_of,
    squared_error,
    upload,
)
from glidepath.plugins.train.losses.timesteps import time_at
from glidepath.plugins.train.losses.variational import VariationalBound
from glidepath.plugins.train.losses.weighting import SimpleWeighting, Weighting
from glidepath.plugins.train.run.learner import matching
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.stages.lora import LEARNS, add_lora
from glidepath.plugins.train.stages.timed import HELD_OUT_LEVELS, TimedStage
from glidepath.registry import list_names

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import DiffusionTrainerConfig


class DenoisingStage(TimedStage):
    """The simple objective of DDPM (Ho et al. 2020, equation 14) and what the config adds to it."""

    name, network = "denoise", "denoiser"

    def __init__(
        self,
        config: DiffusionTrainerConfig,
        run: Run,
        weighting: Weighting | None = None,
        timesteps: TimestepDensity | None = None,
    ) -> None:
        """Raises PartError where the config asks for what the parts cannot do."""
        self.modules = nn.ModuleDict({"denoiser": run.denoiser})
        super().__init__(run, config.batch, config.seed, timesteps)
        self.config, self.steps, self.only = config, config.steps, config.only
        if run.text_encoder is not None:
            self.modules["text_encoder"] = run.text_encoder
            self.rates = {"text_encoder": config.text_encoder_rate}
        if config.lora is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                add_lora(self.modules, config.lora)
            self.only = LEARNS
        elif self.only is not None:
            _check_patterns(self.only, [*self.modules.items(), *named(run.conditioners)])
            for name, conditioner in learning_conditioners(run.conditioners, self.only).items():
                self.modules[name] = conditioner.requires_grad_(True)
        if "labels" in run.denoiser.reads and not hasattr(run.dataset, "labels"):
            label_condition(run.denoiser, None)
        self.weighting = weighting or SimpleWeighting()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.weighting.attach(run.denoiser)
        for name, part in (("weighting", self.weighting), ("timesteps", self.timesteps)):
            if part.state_dict():
                self.modules[name] = part
                self.only = None if self.only is None else (*self.only, name)
        self._bound: VariationalBound | None = None
        if run.denoiser.learned_variance:
            if run.schedule.continuous:
                raise PartError(
                    "a learned variance is that of a step from one timestep to the next, and this schedule "
                    "has none: train a denoiser with learned_variance: false"
                )
            self._bound = VariationalBound(run.schedule.levels(run.schedule.num_steps))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The mean squared error, weighted; for a learned variance the variational bound too."""
        config, run = self.config, self.run
        x_0 = encoded(run.codec, batch.images, run.device, generator, run.caches.latents)
        t = self.times(x_0, generator)
        noise = upload(drawn(torch.randn, x_0.shape, generator), run.device)
        dropped = drawn(torch.rand, (len(batch),), generator) < config.caption_dropout
        text = (
            None
            if run.text_encoder is None
            else drop_captions(run.caches.texts or run.text_encoder, batch.captions, dropped)
        )
        x_t, step = add_noise(run.schedule, x_0, noise, t)
        low_res = self._low_res(batch.images, generator)
        others = self._conditions(self.modules, batch, dropped)
        prediction = predict(run.denoiser, x_t, step, text=text, low_res=low_res, **others)
        losses = self.weighting.losses(squared_error(prediction, x_0, noise), prediction)
        if self._bound is not None:
            # the bound of the chain is a sum over its timesteps: num_steps times their mean
            weighed = config.variational_weight * run.schedule.num_steps
            losses = losses + weighed * self._bound.of_variance(prediction, x_0, t)
        return self.mean_loss(losses, t, batch)

    def _conditions(
        self, modules: nn.ModuleDict, batch: Batch, dropped: Tensor | None = None
    ) -> dict[str, Condition]:
        """All conditions but the text; of what is trained among `modules` with gradients, of no others."""
        run = self.run
        made: dict[str, Condition] = {}
        if "labels" in run.denoiser.reads:
            made["labels"] = label_condition(run.denoiser, batch.labels)
        for name, conditioner in named(run.conditioners):
            learns = name in modules
            asked = cast(Conditioner, modules[name]) if learns else conditioner
            with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
                made |= asked.conditions(request_of(batch), run.codec)
        return dropped_conditions(made, run.device, dropped)

    def _low_res(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor | None:
        """What an upsampler starts from; with a generator, as noisy as training makes it."""
        if self.config.low_res is None:
            return None
        low_res = reduced(upload(images, self.run.device), self.config.low_res)
        if generator is None or not self.config.low_res_noise:
            return low_res
        shape = (len(images), *[1] * (images.ndim - 1))
        deviation = self.config.low_res_noise * drawn(torch.rand, shape, generator)
        noise = drawn(torch.randn, low_res.shape, generator)
        return low_res + upload(deviation * noise, self.run.device)

    @torch.no_grad()
    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """Whether the caption is heard, and the loss of what is held out from training."""
        heard = {} if self.run.text_encoder is None else self._heard(averaged)
        return {**heard, **self._held_out(averaged)}

    def _held_out(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """The squared error of held-out images at five noise levels, and its mean; {} where there are none.

        The images, the noise and the times are the same at each probe.
        """
        run, validation = self.run, getattr(self.run.dataset, "validation", None)
        if validation is None or not self.config.validation:
            return {}
        size = min(self.config.batch, self.config.validation)
        errors: dict[float, list[Tensor]] = {level: [] for level in HELD_OUT_LEVELS}
        for index in range(-(-self.config.validation // size)):
            batch = batch_at(validation, run.conditioners, self.config.seed, index, size)
            x_0 = encoded(run.codec, batch.images, run.device, cache=run.caches.latents)
            noise = upload(torch.randn(x_0.shape, generator=generator(0, index)), run.device)
            embed = run.caches.texts or averaged["text_encoder"] if run.text_encoder is not None else None
            text = None if embed is None else embed(batch.captions)
            others = self._conditions(averaged, batch)
            for level, found in errors.items():
                t = time_at(run.schedule, torch.full((size,), level, dtype=torch.float64))
                x_t, step = add_noise(run.schedule, x_0, noise, t)
                low_res = self._low_res(batch.images)
                denoiser = cast(Denoiser, averaged["denoiser"])
                prediction = predict(denoiser, x_t, step, text=text, low_res=low_res, **others)
                found.append(squared_error(prediction, x_0, noise))
        means = {level: float(torch.cat(found).mean()) for level, found in errors.items()}
        figures = {f"held_out_at_{level}": round(mean, 6) for level, mean in means.items()}
        return {"held_out": round(sum(means.values()) / len(means), 6), **figures}

    def _heard(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """The error at t = 0.9 N under the true caption and under another's: does the model listen?

        A text encoder that is ignored makes no difference to the loss for long. The images and the noise are
        the same each time.
        """
        run = self.run
        denoiser, text_encoder = averaged["denoiser"], averaged["text_encoder"]
        assert isinstance(denoiser, Denoiser)
        assert isinstance(text_encoder, TextEncoder)
        batch = batch_at(run.dataset, run.conditioners, self.config.seed + 1, 0, min(self.config.batch, 64))
        captions = batch.captions
        x_0 = encoded(run.codec, batch.images, run.device, cache=run.caches.latents)
        noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(self.config.seed))
        noise = upload(noise, run.device)
        t = time_at(run.schedule, torch.full((len(captions),), 0.9, dtype=torch.float64))
        x_t, step = add_noise(run.schedule, x_0, noise, t)
        others = self._conditions(averaged, batch)
        figures = {}
        for name, said in (("own_caption", captions), ("other_caption", captions[1:] + captions[:1])):
            text, low_res = text_encoder(said), self._low_res(batch.images)
            prediction = predict(denoiser, x_t, step, text=text, low_res=low_res, **others)
            error = squared_error(prediction, x_0, noise)
            figures[name] = round(float(error.mean()), 6)
        return figures


def named(conditioners: Sequence[Conditioner]) -> list[tuple[str, Conditioner]]:
    """Conditioners after the names that specs and checkpoints give them: `conditioners[0]`."""
    return [(f"conditioners[{index}]", conditioner) for index, conditioner in enumerate(conditioners)]


def learning_conditioners(conditioners: Sequence[Conditioner], only: Sequence[str]) -> dict[str, Conditioner]:
    """Those with parameters that `only` names."""
    return {
        name: conditioner
        for name, conditioner in named(conditioners)
        if matching([f"{name}.{key}" for key, _ in conditioner.named_parameters()], only)
    }


def _check_patterns(only: Sequence[str], networks: Sequence[tuple[str, nn.Module]]) -> None:
    names = [f"{slot}.{name}" for slot, network in networks for name, _ in network.named_parameters()]
    for pattern in only:
        if not matching(names, [pattern]):
            raise PartError(
                f"train.only: {pattern!r} is the name of no parameter; those are of "
                f"{list_names([slot for slot, _ in networks])}, and begin with {names[0]!r}"
            )
