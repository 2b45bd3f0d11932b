"""From a request to images by diffusion: conditions, guided predictor, sampler, codec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core.adapter import Adapter
from glidepath.core.codec import Codec
from glidepath.core.conditioner import Conditioner
from glidepath.core.conditioning import Conditioning
from glidepath.core.defaults import torch_defaults
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.finite import FiniteWatch
from glidepath.core.guidance import Guidance, fold, networks_of, without_gradients
from glidepath.core.handover import Handover
from glidepath.core.image_pipeline import TURNS, ImagePipeline
from glidepath.core.inpainting import keep_known, put_back
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise
from glidepath.core.request import Input, Request, checked_strength
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.text_encoder import TextEncoder
from glidepath.core.walk import walked


class Pipeline(ImagePipeline):
    """Makes images by diffusion: a sampler asks a denoiser along a schedule.

    Args:
        schedule, denoiser, sampler: the parts that every pipeline has.
        text_encoder: None for a denoiser that is not conditioned on text.
        conditioners: what else makes conditions of a request.
        guidance: folded left to right around the denoiser. Their networks are moved too.
        codec: pixels to x_0 and back; the identity where None.
        adapters: change the networks, in order, before they are moved.
        handover: how a stage of a cascade takes over what the stage before it made.
        device, dtype: where the modules are moved, and in which precision the networks run. x_t is
            float32 whatever the dtype.
        channels_last: the memory layout of a denoiser of two-dimensional images; faster convolutions on
            CPU and on GPUs with tensor cores.
        offload: networks wait on the CPU, and are on the device while it is their turn (`bring`). Images are
            the same; it takes the memory of one turn, and the time of moving.

    Raises:
        PartError: weights do not fit the dtype, or conditions are made that nothing reads.
    """

    model: Denoiser

    def __init__(
        self,
        *,
        schedule: NoiseSchedule,
        denoiser: Denoiser,
        sampler: Sampler,
        text_encoder: TextEncoder | None = None,
        conditioners: Sequence[Conditioner] = (),
        guidance: Sequence[Guidance] = (),
        codec: Codec | None = None,
        adapters: Sequence[Adapter] = (),
        handover: Handover | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = True,
        offload: bool = False,
    ) -> None:
        self.schedule = schedule
        self.denoiser = denoiser
        self.guidance = tuple(guidance)
        self.handover = handover
        super().__init__(
            denoiser,
            text_encoder=text_encoder,
            conditioners=conditioners,
            codec=codec,
            adapters=adapters,
            device=device,
            dtype=dtype,
            channels_last=channels_last,
            offload=offload,
        )
        self.sampler = sampler.for_codec(self.codec)

    @torch_defaults()
    def states(
        self,
        prompts: Sequence[str] | Request,
        *,
        noise: Noise | None = None,
        levels: NoiseLevels | None = None,
        x_0: Tensor | None = None,
        x: Tensor | None = None,
        **values: Any,
    ) -> Iterator[State]:
        """The state after each step, for previews; stop iterating to cancel.

        prompts, values: a request, or what makes one (`Request.of`): `states(["a red star"], seed=3)`.
        noise: another source of noise in place of the request's seed and samples.
        levels: those that are visited, in place of `levels(strength, size)`.
        x_0: [B, C, *spatial], what the walk begins from, noised to the first level: a cascade hands it over.
        x: [B, C, *spatial], the same with its noise, as another walk left it at the first level.

        Raises:
            PartError: the request does not fit the parts.
            Diverged: after the last state: something that was predicted on the way is not finite.
        """
        request = Request.of(prompts, **values)
        self.check(request)
        visited = levels or self.levels(request.strength, request.size)
        drawn_from = noise or request.noise()

        def begin(watch: FiniteWatch) -> Iterator[State]:
            conditioning = self.conditioning(request, drawn_from)
            drawn = drawn_from.initial((request.batch, *self.latent_shape(request.size)), self.device)
            predict = watch(self.predictor(conditioning, visited, drawn))
            from_image = x_0 is None and request.strength is not None
            clean = conditioning.conditions["image"].value if from_image else x_0
            first = self.sampler.first(drawn, visited, clean) if x is None else x
            states = self.sampler.states(predict, first, visited, drawn_from)
            return states if visited.after else put_back(states, conditioning)

        at_work = partial(self.bring, *TURNS["model"])
        modes = partial(without_gradients, self.guidance)
        return walked(begin, modes=modes, bring=at_work, dtype=self.dtype)

    @torch_defaults()
    def levels(self, strength: float | None = None, size: Sequence[int] | None = None) -> NoiseLevels:
        """The noise levels that the sampler visits: all, or the share `strength` that is nearest the image.

        size: as of a `Request`; some schedules depend on it.

        Raises:
            PartError: strength is not above 0, or is above 1.
        """
        schedule = self.schedule.for_size(self.latent_shape(size)[1:])
        return self.sampler.levels(schedule, 1 if strength is None else checked_strength(strength))

    def predictor(
        self, conditioning: Conditioning, levels: NoiseLevels, noise: Tensor | None = None
    ) -> Predict:
        """The denoiser under all guidance, bound to a batch; with a mask, known pixels are restored.

        noise: [B, C, *spatial], that of the first x, for a sampler that restores them in each x_t.
        """
        self.bring(*TURNS["model"])
        bind = fold(self.guidance, lambda given: self.prepare(given, levels), levels)
        if "mask" in conditioning.conditions:
            bind = keep_known(bind, noise if self.sampler.known == "x_t" else None)
        return bind(conditioning)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """The denoiser bound to what it reads of a batch."""
        self.bring(*TURNS["model"])
        return self.denoiser.prepare(conditioning.only(self.denoiser.reads), levels)

    def check(self, request: Request) -> None:
        """Refuse what this pipeline cannot make.

        Raises:
            PartError: saying what of the request does not fit which part.
        """
        super().check(request)
        if "image" in request.inputs and not (
            "mask" in request.inputs or request.strength is not None or "image" in self.denoiser.reads
        ):
            raise PartError("image was given, and neither a mask nor a strength says what is kept of it")

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The pictures that it takes, by name."""
        return {
            "image": Input("what is changed", required=False),
            "mask": Input("where the image is kept", required=False),
            **super().inputs,
        }

    @property
    def num_classes(self) -> int | None:
        """How many class labels there are, for a denoiser or a guidance that reads them; None for none."""
        known = (self.denoiser.num_classes, *(guidance.num_classes for guidance in self.guidance))
        return min((count for count in known if count is not None), default=None)

    @property
    def reads(self) -> frozenset[str]:
        """The names of the conditions that the denoiser or a guidance reads."""
        return self.denoiser.reads.union(*(guidance.reads for guidance in self.guidance))

    def making(self) -> dict[str, nn.Module]:
        """The denoiser, and the networks of guidances."""
        return {"denoiser": self.denoiser, **networks_of(self.guidance)}

    def lengths(self, strength: float | None = None, size: Sequence[int] | None = None) -> list[int]:
        """How many steps it takes, in a list of one."""
        return [len(self.levels(strength, size))]
