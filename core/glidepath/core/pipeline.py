"""From prompts to images: text encoder, conditioning, guided predictor, sampler, codec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from glidepath.core.codec import Codec, IdentityCodec
from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise, PerSampleNoise
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.text_encoder import TextEncoder


class Pipeline:
    """Makes images. Holds parts and no state of a walk: one pipeline serves several threads at once.

    Args:
        schedule, denoiser, sampler: the parts that every pipeline has.
        text_encoder: None for a denoiser that is not conditioned on text.
        guidance: folded left to right around the denoiser.
        codec: pixels to x_0 and back; the identity where None.
        device, dtype: where the modules are moved, and in which precision the networks run. The state of the
            walk is float32 whatever the dtype.
        channels_last: the memory layout of a denoiser of two-dimensional images; faster convolutions on
            CPU and on GPUs with tensor cores.
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
        self.sampler = sampler
        self.guidance = tuple(guidance)
        self.codec = (codec or IdentityCodec()).to(self.device).eval()
        self.denoiser = denoiser.to(self.device, dtype).eval().requires_grad_(False)
        if channels_last and len(denoiser.image_shape) == 3:
            self.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.text_encoder = text_encoder
        if text_encoder is not None:
            self.text_encoder = text_encoder.to(self.device, dtype).eval().requires_grad_(False)

    def __call__(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Images of B prompts, [B, 3, H, W] uint8 on the pipeline's device; arguments as for `states`."""
        last = None
        for state in self.states(prompts, seed=seed, samples=samples, labels=labels, noise=noise):
            last = state
        assert last is not None  # levels have at least one step
        return self.decode(last.x)

    def states(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        samples: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        noise: Noise | None = None,
    ) -> Iterator[State]:
        """Each state of the walk as it is made, for previews; stop iterating to cancel.

        prompts: B texts; for a denoiser without text they only say how many images there are.
        seed, samples: which image of a prompt is made. Row i is decided by (prompts[i], seed, samples[i]),
            whatever else is in the batch. `samples` defaults to counting each prompt's repetitions: 0 for its
            first occurrence, 1 for its second.
        labels: B class labels, for a class-conditional denoiser.
        noise: another source of noise in place of `seed` and `samples`.

        Raises:
            PartError: the arguments do not fit the parts.
        """
        prompts = _checked_prompts(prompts)
        chosen = occurrences(prompts) if samples is None else list(samples)
        if len(chosen) != len(prompts):
            raise PartError(f"{len(chosen)} sample indices were given for {len(prompts)} prompts")
        noise = noise or PerSampleNoise([(seed, sample) for sample in chosen])
        return self._walk(prompts, labels, noise)

    def decode(self, x: Tensor) -> Tensor:
        """x_0 [B, C, *spatial] to images [B, 3, H, W] uint8."""
        with torch.inference_mode():
            decoded: Tensor = self.codec.decode(x)
        return decoded

    def conditioning(self, prompts: Sequence[str], labels: Sequence[int] | None = None) -> Conditioning:
        """What steers a batch: each different prompt is embedded once."""
        chosen = None if labels is None else torch.tensor(list(labels), device=self.device)
        if chosen is not None and chosen.shape != (len(prompts),):
            raise PartError(f"{len(chosen)} labels were given for {len(prompts)} prompts")
        if self.text_encoder is None:
            return Conditioning(batch=len(prompts), labels=chosen)
        distinct = list(dict.fromkeys(prompts))
        text = self.text_encoder(distinct)
        if len(distinct) < len(prompts):
            rows = torch.tensor([distinct.index(prompt) for prompt in prompts]).to(
                self.device, non_blocking=True
            )
            text = text.map(lambda tensor: tensor[rows])
        null = self.text_encoder.unconditional()
        return Conditioning(batch=len(prompts), text=text, null_text=null, labels=chosen)

    def levels(self) -> NoiseLevels:
        """The noise levels that the sampler visits."""
        return self.schedule.levels(self.sampler.steps)

    def predictor(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """The denoiser under all guidance, bound to a batch."""
        bind = fold(self.guidance, lambda given: self.denoiser.prepare(given, levels))
        return bind(conditioning)

    def parameters(self) -> Mapping[str, int]:
        """How many parameters each part has that is a network."""
        parts = {"text_encoder": self.text_encoder, "denoiser": self.denoiser, "codec": self.codec}
        counts = {
            name: sum(parameter.numel() for parameter in part.parameters())
            for name, part in parts.items()
            if part is not None
        }
        return {name: count for name, count in counts.items() if count}

    def _walk(self, prompts: list[str], labels: Sequence[int] | None, noise: Noise) -> Iterator[State]:
        levels = self.levels()
        differentiates = any(guidance.differentiates for guidance in self.guidance)
        without_gradients = torch.no_grad if differentiates else torch.inference_mode
        # The mode is entered anew for each step: a generator that held it would leak it to its caller.
        with without_gradients():
            predict = self.predictor(self.conditioning(prompts, labels), levels)
            x = levels.prior_scale * noise.initial((len(prompts), *self.denoiser.image_shape), self.device)
            states = self.sampler.states(predict, x, levels, noise)
        while True:
            with without_gradients():
                state = next(states, None)
            if state is None:
                return
            yield state


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
    if not prompts:
        raise PartError("there are no prompts; an image needs at least one (it may be the empty text)")
    return list(prompts)
