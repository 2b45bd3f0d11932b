"""From prompts to images: text encoder, conditioning, guided predictor, sampler, codec."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from glidepath.core.codec import Codec, IdentityCodec
from glidepath.core.conditioning import Condition, Conditioning, map_tensors
from glidepath.core.defaults import torch_defaults
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.finite import FiniteWatch, require_finite
from glidepath.core.guidance import Guidance, fold
from glidepath.core.inpainting import keep_known, put_back
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise, PerSampleNoise
from glidepath.core.pictures import encoded_pictures
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.size import checked_size, sides
from glidepath.core.text_encoder import TextEncoder


class Pipeline:
    """Makes images. It holds parts and keeps no state between calls: several threads may share it.

    Images do not depend on torch's defaults (`torch_defaults`): an application may set its own.

    Args:
        schedule, denoiser, sampler: the parts that every pipeline has.
        text_encoder: None for a denoiser that is not conditioned on text.
        guidance: folded left to right around the denoiser. Their networks are moved too.
        codec: pixels to x_0 and back; the identity where None.
        device, dtype: where the modules are moved, and in which precision the networks run. x_t is
            float32 whatever the dtype.
        channels_last: the memory layout of a denoiser of two-dimensional images; faster convolutions on
            CPU and on GPUs with tensor cores.

    Raises:
        PartError: weights do not fit the dtype, or there is a text encoder, and nothing reads its text.
    """

    def __init__(
        self,
        *,
        schedule: NoiseSchedule,
        denoiser: Denoiser,
        sampler: Sampler,
        text_encoder: TextEncoder | None = None,
        guidance: Sequence[Guidance] = (),
        codec: Codec | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = True,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        self.schedule = schedule
        self.guidance = tuple(guidance)
        self.codec = (codec or IdentityCodec()).to(self.device).eval().requires_grad_(False)
        self.sampler = sampler.for_codec(self.codec)
        self.denoiser = denoiser
        for network in (denoiser, *self._guiding_networks().values()):
            network.to(self.device, dtype if isinstance(network, Denoiser) else None)
            network.eval().requires_grad_(False)
            if channels_last and isinstance(network, Denoiser) and len(network.image_shape) == 3:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.text_encoder = text_encoder
        if text_encoder is not None and "text" not in self.reads:
            raise PartError("this pipeline has a text encoder, and its denoiser reads no text (`reads`)")
        if text_encoder is not None:
            self.text_encoder = text_encoder.to(self.device, dtype).eval().requires_grad_(False)
        for name, part in self._networks().items():
            require_finite(dict(part.named_parameters()), f"the weights of {name}")

    def __call__(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        low_res: Tensor | None = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        size: Sequence[int] | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Images of B prompts, [B, 3, H, W] uint8 on the pipeline's device; arguments as for `states`."""
        walk = self.states(
            prompts,
            seed=seed,
            samples=samples,
            labels=labels,
            low_res=low_res,
            image=image,
            mask=mask,
            strength=strength,
            size=size,
            noise=noise,
        )
        (last,) = deque(walk, maxlen=1)  # levels have at least one step
        return self.images(last)

    @torch_defaults()
    def states(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        low_res: Tensor | None = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        size: Sequence[int] | None = None,
        noise: Noise | None = None,
    ) -> Iterator[State]:
        """The state after each step, for previews; stop iterating to cancel.

        prompts: B texts; for a denoiser without text they only say how many images there are.
        seed, samples: which image of a prompt is made. Row i is decided by (prompts[i], seed, samples[i]),
            whatever else is in the batch. `samples` defaults to counting each prompt's repetitions: 0 for its
            first occurrence, 1 for its second.
        labels: B class labels, for a class-conditional denoiser.
        low_res: [1 or B, 3, h, w] uint8, what an upsampler starts from.
        image: [1 or B, 3, H, W] uint8, of the size of the images; what is changed.
        mask: [1 or B, 1, H, W], 1 where the image is known: what it covers is restored in each predicted x_0.
        strength: how far the image is noised, above 0 to 1: the last `strength` of the steps are taken, from
            the image noised to their level (Meng et al. 2022, "SDEdit"). None: from noise alone.
        size: (H, W) of the images in pixels; None: `image_size`, which the denoiser was made for.
        noise: another source of noise in place of `seed` and `samples`.

        Raises:
            PartError: the arguments do not fit the parts.
            Diverged: after the last state: something that was predicted on the way is not finite.
        """
        prompts = _checked_prompts(prompts)
        chosen = sample_indices(prompts, samples)
        noise = noise or PerSampleNoise([(seed, sample) for sample in chosen])
        levels = self.levels(strength, size)
        shape = (len(prompts), *self.latent_shape(size))
        given = self._pictures(shape, low_res, image, mask, strength, noise)
        steering = (prompts, _checked_labels(labels, len(prompts), self.num_classes))
        return self._walk(*steering, given, levels, noise, shape, start=strength is not None)

    def images(self, state: State) -> Tensor:
        """A state as images, [B, 3, H, W] uint8: the result when it is the last, a preview before."""
        return self.decode(state.x)

    @torch_defaults()
    def decode(self, x: Tensor) -> Tensor:
        """x_0 [B, C, *spatial] to images [B, 3, H, W] uint8."""
        with torch.inference_mode():
            decoded: Tensor = self.codec.decode(x)
        return decoded

    @torch_defaults()
    def conditioning(
        self,
        prompts: Sequence[str],
        labels: Sequence[int] | None = None,
        pictures: Mapping[str, Tensor] | None = None,
    ) -> Conditioning:
        """The conditioning of a batch: each different prompt is embedded once.

        pictures: the conditioning's `low_res`, `image` and `mask`, where it has them.
        """
        conditions = {name: Condition(picture) for name, picture in (pictures or {}).items()}
        given = _checked_labels(labels, len(prompts), self.num_classes)
        if given is not None:
            if "labels" not in self.reads:
                raise PartError(
                    "labels were given, and nothing in this pipeline reads any: it knows no classes"
                )
            chosen, null = torch.tensor(given).to(self.device, non_blocking=True), self.denoiser.null_label
            conditions["labels"] = Condition(chosen, None if null is None else torch.full_like(chosen, null))
        if self.text_encoder is not None:
            distinct = list(dict.fromkeys(prompts))
            text = self.text_encoder(distinct)
            if len(distinct) < len(prompts):
                order = torch.tensor([distinct.index(prompt) for prompt in prompts])
                rows = order.to(self.device, non_blocking=True)
                text = map_tensors(lambda tensor: tensor[rows], text)
            conditions["text"] = Condition(text, self.text_encoder.unconditional())
        return Conditioning(len(prompts), conditions, tuple(prompts))

    @torch_defaults()
    def levels(self, strength: float | None = None, size: Sequence[int] | None = None) -> NoiseLevels:
        """The noise levels that the sampler visits: all, or the share `strength` that is nearest the image.

        size: as of `states`; some schedules depend on it.

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
    def num_classes(self) -> int | None:
        """How many class labels there are, for a denoiser or a guidance that reads them; None for none."""
        known = (self.denoiser.num_classes, *(guidance.num_classes for guidance in self.guidance))
        return min((count for count in known if count is not None), default=None)

    @property
    def reads(self) -> frozenset[str]:
        """The names of the conditions that the denoiser or a guidance reads."""
        return self.denoiser.reads.union(*(guidance.reads for guidance in self.guidance))

    def predictor(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """The denoiser under all guidance, bound to a batch; with a mask, known pixels are restored."""
        bind = fold(self.guidance, lambda given: self.prepare(given, levels), levels)
        return (keep_known(bind) if "mask" in conditioning.conditions else bind)(conditioning)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """The denoiser bound to what it reads of a batch."""
        return self.denoiser.prepare(conditioning.only(self.denoiser.reads), levels)

    def parameters(self) -> Mapping[str, int]:
        """How many parameters each network has, by its path: "denoiser", "guidance[0].clip"."""
        counts = {
            name: sum(parameter.numel() for parameter in part.parameters())
            for name, part in self._networks().items()
        }
        return {name: count for name, count in counts.items() if count}

    def _networks(self) -> dict[str, nn.Module]:
        """All networks, by path."""
        text = {} if self.text_encoder is None else {"text_encoder": self.text_encoder}
        return {**text, "denoiser": self.denoiser, **self._guiding_networks(), "codec": self.codec}

    def _guiding_networks(self) -> dict[str, nn.Module]:
        """The networks of all guidances, by path."""
        return {
            f"guidance[{index}].{name}": network
            for index, guidance in enumerate(self.guidance)
            for name, network in guidance.networks().items()
        }

    def _pictures(
        self,
        shape: tuple[int, ...],
        low_res: Tensor | None,
        image: Tensor | None,
        mask: Tensor | None,
        strength: float | None,
        noise: Noise,
    ) -> dict[str, Tensor]:
        """The pictures that steer a batch whose x is [B, C, *spatial], as `Conditioning` holds them."""
        if image is None and (mask is not None or strength is not None):
            name = "strength" if mask is None else "mask"
            raise PartError(f"{name} says what is kept of an image, and there is no image")
        if self.denoiser.needs_low_res and low_res is None:
            raise PartError("this denoiser is an upsampler: it needs low_res, the images to start from")
        if low_res is not None and not self.denoiser.needs_low_res:
            raise PartError("low_res was given, and this denoiser is no upsampler: it does not read it")
        with torch.inference_mode():
            return encoded_pictures(
                self.codec, shape, noise, self.device, low_res=low_res, image=image, mask=mask
            )

    def _walk(
        self,
        prompts: list[str],
        labels: list[int] | None,
        pictures: Mapping[str, Tensor],
        levels: NoiseLevels,
        noise: Noise,
        shape: tuple[int, ...],
        *,
        start: bool,
    ) -> Iterator[State]:
        differentiates = any(guidance.differentiates for guidance in self.guidance)
        without_gradients = torch.no_grad if differentiates else torch.inference_mode
        watch, last = FiniteWatch(), None
        # The modes are entered anew for each step: a generator that held them would leak them to its caller.
        with torch_defaults(), without_gradients():
            conditioning = self.conditioning(prompts, labels, pictures)
            predict = watch(self.predictor(conditioning, levels))
            x = noise.initial(shape, self.device)
            if start:
                x = self.sampler.temperature * x
                x = float(levels.alpha[0]) * pictures["image"] + float(levels.sigma[0]) * x
            else:
                x = self.sampler.first(x, levels)
            states = self.sampler.states(predict, x, levels, noise)
        while True:
            with torch_defaults(), without_gradients():
                state = next(states, None)
            if state is None:
                break
            last = state
            yield put_back(state, conditioning)
        if last is not None:
            watch.require_finite(last.x, len(levels), self.dtype)


def sample_indices(prompts: Sequence[str], samples: Sequence[int] | None) -> list[int]:
    """The index of each prompt's sample: as given, or by how often the prompt stands before in the list."""
    if samples is None:
        return occurrences(prompts)
    if not isinstance(samples, Iterable):
        raise PartError(f"samples is a list of sample indices, one for each prompt, not {samples!r}")
    chosen = list(samples)
    if len(chosen) != len(prompts):
        raise PartError(f"{len(chosen)} sample indices were given for {len(prompts)} prompts")
    return chosen


def occurrences(prompts: Sequence[str]) -> list[int]:
    """For each prompt, how often it stands before in the list."""
    seen: Counter[str] = Counter()
    counts = []
    for prompt in prompts:
        counts.append(seen[prompt])
        seen[prompt] += 1
    return counts


def _checked_prompts(prompts: Sequence[str]) -> list[str]:
    if isinstance(prompts, str):
        raise PartError(f"prompts is a list of texts; write [{prompts!r}] for a single one")
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise PartError(f"a prompt is a text, not {prompt!r}")
    if not prompts:
        raise PartError("there are no prompts; an image needs at least one (it may be the empty text)")
    return list(prompts)


def _checked_labels(labels: Sequence[int] | None, batch: int, num_classes: int | None) -> list[int] | None:
    if labels is None:
        return None
    given = list(labels)
    if len(given) != batch:
        raise PartError(f"{len(given)} labels were given for {batch} prompts")
    if num_classes is not None:
        for label in given:
            if not 0 <= label < num_classes:
                raise PartError(
                    f"label {label} is out of range: this pipeline has classes 0 to {num_classes - 1}"
                )
    return given
