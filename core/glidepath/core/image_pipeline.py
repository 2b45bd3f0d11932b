"""What every pipeline does around its model: conditions before it, a codec after it, devices, sizes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from glidepath.core.adapter import Adapter
from glidepath.core.codec import Codec, IdentityCodec
from glidepath.core.conditioner import Conditioner
from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.defaults import torch_defaults
from glidepath.core.denoiser import Denoiser
from glidepath.core.errors import PartError
from glidepath.core.finite import require_finite
from glidepath.core.model import ConditionalModel
from glidepath.core.noise import Noise
from glidepath.core.pictures import encoded_pictures
from glidepath.core.request import Input, Request, check_inputs, check_texts
from glidepath.core.sampler import State
from glidepath.core.size import checked_size, sides
from glidepath.core.text_encoder import NEGATIVE, TextEncoder

TURNS: Mapping[str, tuple[str, ...]] = {
    "text_encoder": ("text_encoder", "conditioners", "codec"),  # the codec encodes pictures
    "model": ("denoiser", "guidance", "generator"),
    "codec": ("codec",),
}
"""Which slots work at the same time: before the walk, in it and after it."""


class ImagePipeline(ABC):
    """Makes images of requests: conditions, a model, a codec. How the model is asked is its subclasses'.

    It holds parts and keeps no state between calls: several threads may share it. With `offload` its networks
    are moved as it runs, and one thread at a time may use it. Images do not depend on torch's defaults
    (`torch_defaults`): an application may set its own.

    Args:
        model: what makes the x of images.
        others: as of a `Pipeline`.

    Raises:
        PartError: weights do not fit the dtype, or conditions are made that nothing reads.
    """

    model: ConditionalModel

    def __init__(
        self,
        model: ConditionalModel,
        *,
        text_encoder: TextEncoder | None = None,
        conditioners: Sequence[Conditioner] = (),
        codec: Codec | None = None,
        adapters: Sequence[Adapter] = (),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = True,
        offload: bool = False,
    ) -> None:
        self.model = model
        self.device = torch.device(device)
        self.offload = offload
        self._here: tuple[str, ...] = ()
        self.dtype = dtype
        self.text_encoder = text_encoder
        self._conditioners = tuple(conditioners)
        self.codec = codec or IdentityCodec()
        networks = self.networks()
        self.adapters = tuple(adapters)
        for adapter in self.adapters:
            adapter.apply(networks)
        for name, network in networks.items():
            in_dtype = isinstance(network, ConditionalModel) or network in self.conditioners
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

    @abstractmethod
    def states(
        self, prompts: Sequence[str] | Request, *, noise: Noise | None = None, **values: Any
    ) -> Iterator[State]:
        """The state after each step, for previews; stop iterating to cancel.

        prompts, values: a request, or what makes one (`Request.of`): `states(["a red star"], seed=3)`.
        noise: another source of noise in place of the request's seed and samples.

        Raises:
            PartError: the request does not fit the parts.
            Diverged: after the last state: something that was made on the way is not finite.
        """

    @abstractmethod
    def lengths(self, strength: float | None = None, size: Sequence[int] | None = None) -> list[int]:
        """How many states a request yields, stage by stage. strength, size: as of a `Request`."""

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
            labels, null = torch.tensor(request.labels), self.model.null_label
            conditions["labels"] = Condition(labels, None if null is None else torch.full_like(labels, null))
        sized = request
        if request.size is None and len(self.image_size) == 2:
            sized = attrs.evolve(request, size=self.image_size)
        for conditioner in self.conditioners:
            conditions |= conditioner.conditions(sized, self.codec)
        return Conditioning(request.batch, conditions, request.prompts).to(self.device)

    @property
    def image_size(self) -> tuple[int, ...]:
        """(H, W) in pixels of the images that it makes where no other size is asked for."""
        return self.codec.image_size(self.model.image_shape[1:])

    def latent_shape(self, size: Sequence[int] | None = None) -> tuple[int, ...]:
        """(C, *spatial) of the x of an image of a size in pixels, (H, W); None: of `image_size`.

        Raises:
            PartError: the codec or the denoiser does not take that size.
        """
        if size is None:
            return self.model.image_shape
        pixels = checked_size(size)
        try:
            latent = self.codec.latent_size(pixels)
            if fault := self.model.takes(latent):
                raise PartError(fault)
        except PartError as error:
            raise PartError(f"this pipeline makes no images of {sides(pixels)} pixels: {error}") from error
        return (self.model.image_shape[0], *latent)

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The pictures that it takes, by name."""
        low_res = {"low_res": Input("what it enlarges, the images to start from", size="any")}
        return {
            **(low_res if self.model.needs_low_res else {}),
            **{name: input for made in self.conditioners for name, input in made.inputs.items()},
        }

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the texts that it reads beside prompts: "prompt_2", "negative_prompt_2"."""
        names = self.text_encoder.texts if self.text_encoder is not None else ()
        return (*names, *(f"{NEGATIVE}{name}" for name in names))

    @property
    def num_classes(self) -> int | None:
        """How many class labels there are; None for a pipeline that reads none."""
        return self.model.num_classes

    @property
    def conditioners(self) -> tuple[Conditioner, ...]:
        """What makes conditions of a request: the text encoder, if there is one, and others."""
        return (*(() if self.text_encoder is None else (self.text_encoder,)), *self._conditioners)

    @property
    def reads(self) -> frozenset[str]:
        """The names of the conditions that something reads."""
        return self.model.reads

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
            **self.making(),
            "codec": self.codec,
        }

    @abstractmethod
    def making(self) -> dict[str, nn.Module]:
        """The networks that make x, by path."""

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
