"""From a request to images: conditions, guided predictor, sampler, codec."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from glidepath.core.adapter import Adapter
from glidepath.core.codec import Codec, IdentityCodec
from glidepath.core.conditioner import Conditioner
from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.defaults import torch_defaults
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.finite import FiniteWatch, require_finite
from glidepath.core.guidance import Guidance, fold
from glidepath.core.handover import Handover
from glidepath.core.inpainting import keep_known, put_back
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise
from glidepath.core.pictures import encoded_pictures
from glidepath.core.request import Input, Request, check_inputs, check_texts
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.size import checked_size, sides
from glidepath.core.text_encoder import NEGATIVE, TextEncoder

TURNS: Mapping[str, tuple[str, ...]] = {
    "text_encoder": ("text_encoder", "conditioners", "codec"),  # the codec encodes pictures
    "denoiser": ("denoiser", "guidance"),
    "codec": ("codec",),
}
"""Which slots work at the same time: before the walk, in it and after it."""


class Pipeline:
    """Makes images. It holds parts and keeps no state between calls: several threads may share it.

    With `offload` its networks are moved as it runs, and one thread at a time may use it.

    Images do not depend on torch's defaults (`torch_defaults`): an application may set its own.

    Args:
        schedule, denoiser, sampler: the parts that every pipeline has.
        text_encoder: None for a denoiser that is not conditioned on text.
        conditioners: what else makes conditions of a request.
        guidance: folded left to right around the denoiser. Their networks are moved too.
        codec: pixels to x_0 and back; the identity where None.
        adapters: change the networks, in order, before they are moved.
        handover: how a stage of a cascade that is no upsampler begins from what the stage before it made.
        device, dtype: where the modules are moved, and in which precision the networks run. x_t is
            float32 whatever the dtype.
        channels_last: the memory layout of a denoiser of two-dimensional images; faster convolutions on
            CPU and on GPUs with tensor cores.
        offload: networks wait on the CPU, and are on the device while it is their turn (`bring`). Images are
            the same; it takes the memory of one turn, and the time of moving.

    Raises:
        PartError: weights do not fit the dtype, or conditions are made that nothing reads.
    """

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
        self.device = torch.device(device)
        self.offload = offload
        self._here: tuple[str, ...] = ()
        self.dtype = dtype
        self.schedule = schedule
        self.text_encoder = text_encoder
        self._conditioners = tuple(conditioners)
        self.guidance = tuple(guidance)
        self.codec = codec or IdentityCodec()
        self.sampler = sampler.for_codec(self.codec)
        self.denoiser = denoiser
        self.handover = handover
        networks = self.networks()
        self.adapters = tuple(adapters)
        for adapter in self.adapters:
            adapter.apply(networks)
        for name, network in networks.items():
            in_dtype = isinstance(network, Denoiser) or network in self.conditioners
            waits = "cpu" if offload else self.device
            network.to(waits, dtype if in_dtype else None).eval().requires_grad_(False)
            if channels_last and isinstance(network, Denoiser) and len(network.image_shape) == 3:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            require_finite(dict(network.named_parameters()), f"the weights of {name}")
        for name in sorted(frozenset().union(*(made.makes for made in self.conditioners)) - self.reads):
            raise PartError(f"this pipeline makes the condition {name!r}, and nothing reads it (`reads`)")

    def __call__(
        self, prompts: Sequence[str] | Request, *, noise: Noise | None = None, **values: Any
    ) -> Tensor:
        """Images of B prompts, [B, 3, H, W] uint8 on the pipeline's device; arguments as for `states`."""
        (last,) = deque(self.states(prompts, noise=noise, **values), maxlen=1)  # there is at least one step
        return self.images(last)

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
        levels = levels or self.levels(request.strength, request.size)
        return self._walk(request, levels, noise or request.noise(), x_0, x)

    def _walk(
        self, request: Request, levels: NoiseLevels, noise: Noise, x_0: Tensor | None, given: Tensor | None
    ) -> Iterator[State]:
        watch, last = FiniteWatch(), None
        # The modes are entered anew for each step: a generator that held them would leak them to its caller.
        with torch_defaults(), self._without_gradients():
            conditioning = self.conditioning(request, noise)
            x = noise.initial((request.batch, *self.latent_shape(request.size)), self.device)
            predict = watch(self.predictor(conditioning, levels, x))
            if x_0 is None and request.strength is not None:
                x_0 = conditioning.conditions["image"].value
            if given is not None:
                x = given
            elif x_0 is None:
                x = self.sampler.first(x, levels)
            else:
                x = float(levels.alpha[0]) * x_0 + float(levels.sigma[0]) * (self.sampler.temperature * x)
            states = self.sampler.states(predict, x, levels, noise)
        while True:
            with torch_defaults(), self._without_gradients():
                self.bring(*TURNS["denoiser"])  # again: a preview has decoded since
                state = next(states, None)
            if state is None:
                break
            last = state
            yield state if levels.after else put_back(state, conditioning)
        if last is not None:
            watch.require_finite(last.x, len(levels), self.dtype)

    def images(self, state: State) -> Tensor:
        """A state as images, [B, 3, H, W] uint8: the result when it is the last, a preview before."""
        return self.decode(state.x)

    @torch_defaults()
    def decode(self, x: Tensor) -> Tensor:
        """x_0 [B, C, *spatial] to images [B, 3, H, W] uint8."""
        self.bring("codec")
        with torch.inference_mode():
            decoded: Tensor = self.codec.decode(x)
        return decoded

    def check(self, request: Request) -> None:
        """Refuse what this pipeline cannot make.

        Raises:
            PartError: saying what of the request does not fit which part.
        """
        self.latent_shape(request.size)
        check_inputs(request.inputs, self.inputs, request.size or self.image_size)
        if "image" in request.inputs and not (
            "mask" in request.inputs or request.strength is not None or "image" in self.denoiser.reads
        ):
            raise PartError("image was given, and neither a mask nor a strength says what is kept of it")
        if request.negative is not None and self.text_encoder is None:
            raise PartError("a negative prompt was given, and this pipeline reads no text")
        check_texts(request.texts, self.texts)
        if request.labels is None:
            return
        if "labels" not in self.reads:
            raise PartError("labels were given, and nothing in this pipeline reads any: it knows no classes")
        known = self.num_classes
        wrong = [label for label in request.labels if known is not None and not 0 <= label < known]
        if known is not None and wrong:
            raise PartError(f"label {wrong[0]} is out of range: this pipeline has classes 0 to {known - 1}")

    @torch_defaults()
    def conditioning(self, request: Request, noise: Noise | None = None) -> Conditioning:
        """What steers a batch: the pictures and labels of a request, and what conditioners make of it."""
        self.bring(*TURNS["text_encoder"])
        shape = (request.batch, *self.latent_shape(request.size))
        pictures = encoded_pictures(self.codec, request, shape, noise or request.noise(), self.device)
        conditions = {name: Condition(picture) for name, picture in pictures.items()}
        if request.labels is not None:
            labels, null = torch.tensor(request.labels), self.denoiser.null_label
            conditions["labels"] = Condition(labels, None if null is None else torch.full_like(labels, null))
        sized = request
        if request.size is None and len(self.image_size) == 2:
            sized = attrs.evolve(request, size=self.image_size)
        for conditioner in self.conditioners:
            conditions |= conditioner.conditions(sized, self.codec)
        return Conditioning(request.batch, conditions, request.prompts).to(self.device)

    @torch_defaults()
    def levels(self, strength: float | None = None, size: Sequence[int] | None = None) -> NoiseLevels:
        """The noise levels that the sampler visits: all, or the share `strength` that is nearest the image.

        size: as of a `Request`; some schedules depend on it.

        Raises:
            PartError: strength is not above 0, or is above 1.
        """
        schedule = self.schedule.for_size(self.latent_shape(size)[1:])
        if strength is None:
            return self.sampler.levels(schedule)
        if not 0 < strength <= 1:
            raise PartError(
                f"strength is above 0 and at most 1 (1 keeps nothing of the image), not {strength}"
            )
        return self.sampler.levels(schedule, strength)

    def levels_after(self, size: Sequence[int] | None = None) -> NoiseLevels:
        """The noise levels that it visits as a stage after another: those that its handover leaves to it.

        Raises:
            PartError: there are none.
        """
        if self.handover is None:
            return self.levels(None, size)
        if self.handover.level is None:
            return self.levels(self.handover.strength, size)
        return self.levels(None, size).below(self.handover.level)

    @property
    def image_size(self) -> tuple[int, ...]:
        """(H, W) in pixels of the images that it makes where no other size is asked for."""
        return self.codec.image_size(self.denoiser.image_shape[1:])

    def latent_shape(self, size: Sequence[int] | None = None) -> tuple[int, ...]:
        """(C, *spatial) of the x of an image of a size in pixels, (H, W); None: of `image_size`.

        Raises:
            PartError: the codec or the denoiser does not take that size.
        """
        if size is None:
            return self.denoiser.image_shape
        pixels = checked_size(size)
        try:
            latent = self.codec.latent_size(pixels)
            if fault := self.denoiser.takes(latent):
                raise PartError(fault)
        except PartError as error:
            raise PartError(f"this pipeline makes no images of {sides(pixels)} pixels: {error}") from error
        return (self.denoiser.image_shape[0], *latent)

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The pictures that it takes, by name."""
        low_res = {"low_res": Input("what it enlarges, the images to start from", size="any")}
        return {
            "image": Input("what is changed", required=False),
            "mask": Input("where the image is kept", required=False),
            **(low_res if self.denoiser.needs_low_res else {}),
            **{name: input for made in self.conditioners for name, input in made.inputs.items()},
        }

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the texts that it reads beside prompts: "prompt_2", "negative_prompt_2"."""
        names = self.text_encoder.texts if self.text_encoder is not None else ()
        return (*names, *(f"{NEGATIVE}{name}" for name in names))

    @property
    def num_classes(self) -> int | None:
        """How many class labels there are, for a denoiser or a guidance that reads them; None for none."""
        known = (self.denoiser.num_classes, *(guidance.num_classes for guidance in self.guidance))
        return min((count for count in known if count is not None), default=None)

    @property
    def conditioners(self) -> tuple[Conditioner, ...]:
        """What makes conditions of a request: the text encoder, if there is one, and others."""
        return (*(() if self.text_encoder is None else (self.text_encoder,)), *self._conditioners)

    @property
    def reads(self) -> frozenset[str]:
        """The names of the conditions that the denoiser or a guidance reads."""
        return self.denoiser.reads.union(*(guidance.reads for guidance in self.guidance))

    def predictor(
        self, conditioning: Conditioning, levels: NoiseLevels, noise: Tensor | None = None
    ) -> Predict:
        """The denoiser under all guidance, bound to a batch; with a mask, known pixels are restored.

        noise: [B, C, *spatial], that of the first x, for a sampler that restores them in each x_t.
        """
        self.bring(*TURNS["denoiser"])
        bind = fold(self.guidance, lambda given: self.prepare(given, levels), levels)
        if "mask" in conditioning.conditions:
            bind = keep_known(bind, noise if self.sampler.known == "x_t" else None)
        return bind(conditioning)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """The denoiser bound to what it reads of a batch."""
        self.bring(*TURNS["denoiser"])
        return self.denoiser.prepare(conditioning.only(self.denoiser.reads), levels)

    def parameters(self) -> Mapping[str, int]:
        """How many parameters each network has, by its path: "denoiser", "guidance[0].clip"."""
        counts = {
            name: sum(parameter.numel() for parameter in part.parameters())
            for name, part in self.networks().items()
        }
        return {name: count for name, count in counts.items() if count}

    def networks(self) -> dict[str, nn.Module]:
        """All networks, by path: "denoiser", "guidance[0].clip"."""
        return {
            **({} if self.text_encoder is None else {"text_encoder": self.text_encoder}),
            **{f"conditioners[{index}]": network for index, network in enumerate(self._conditioners)},
            "denoiser": self.denoiser,
            **{
                f"guidance[{index}].{name}": network
                for index, guidance in enumerate(self.guidance)
                for name, network in guidance.networks().items()
            },
            "codec": self.codec,
        }

    def bring(self, *slots: str) -> None:
        """Have the networks of some slots on the device, and no others. Without `offload` all are there.

        What the methods of a pipeline need they bring themselves; this is for who calls a part directly.
        """
        if not self.offload or slots == self._here:
            return
        at_work = {name: name.partition("[")[0] in slots for name in self.networks()}
        self._here = ()
        with torch.inference_mode(False):  # parameters that are moved in it could not take gradients
            for name, network in sorted(self.networks().items(), key=lambda item: at_work[item[0]]):
                network.to(self.device if at_work[name] else "cpu")
        self._here = slots

    def _without_gradients(self) -> AbstractContextManager[None]:
        """Inference mode, or where a guidance takes gradients, which that would refuse, no_grad."""
        differentiates = any(guidance.differentiates for guidance in self.guidance)
        return torch.no_grad() if differentiates else torch.inference_mode()
