"""Models that make images in another way than diffusion, and the pipeline around one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning
from glidepath.core.defaults import torch_defaults
from glidepath.core.image_pipeline import TURNS, ImagePipeline
from glidepath.core.model import ConditionalModel
from glidepath.core.noise import Noise
from glidepath.core.request import Request
from glidepath.core.sampler import State
from glidepath.core.walk import walked


class Generator(ConditionalModel):
    """Makes x_0 of noise and conditions by itself: no schedule, no sampler, no guidance stand beside it.

    A plugin's kind of generators derives from this class, and says by `Kind.instead_of` that its slot stands
    in place of theirs.

    steps: how many states `states` yields.
    """

    role = "generator"
    steps: int = 1

    @abstractmethod
    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """Make x_0; yields a State for each of `steps`, of which the last holds it.

        conditioning: the conditions of B images that it reads, on its device.
        x: [B, C, *spatial] float32, standard normal: the first noise of each image.
        noise: what else is drawn comes from `noise.step`, so that an image does not depend on its batch.
        """


class GeneratorPipeline(ImagePipeline):
    """Makes images with a generator. It is called as a `Pipeline` is.

    Args: as of an `ImagePipeline`. Without guidance a negative prompt is for the generator to hear.

    Raises:
        PartError: weights do not fit the dtype, or conditions are made that nothing reads.
    """

    model: Generator

    @torch_defaults()
    def states(
        self, prompts: Sequence[str] | Request, *, noise: Noise | None = None, **values: Any
    ) -> Iterator[State]:
        """The states that the generator yields; see `ImagePipeline.states`."""
        request = Request.of(prompts, **values)
        self.check(request)
        drawn_from = noise or request.noise()
        at_work = partial(self.bring, *TURNS["model"])

        def begin(_watch: object) -> Iterator[State]:
            conditioning = self.conditioning(request, drawn_from).only(self.model.reads)
            at_work()
            x = drawn_from.initial((request.batch, *self.latent_shape(request.size)), self.device)
            return self.model.states(conditioning, x, drawn_from)

        return walked(begin, modes=torch.inference_mode, bring=at_work, dtype=self.dtype)

    def lengths(self, strength: float | None = None, size: Sequence[int] | None = None) -> list[int]:
        """How many states its generator yields, in a list of one."""
        return [self.model.steps]

    def making(self) -> dict[str, nn.Module]:
        """The generator."""
        return {"generator": self.model}
