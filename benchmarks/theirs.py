"""diffusers' side of the comparison: UNet2DConditionModel and DDIMScheduler, in its pipelines' loop."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from ours import gigaflops, parameters
from timing import Clock, Stopwatch, Timing
from torch import Tensor

CROSS = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
PLAIN = ("DownBlock2D", "UpBlock2D")


@attrs.frozen(kw_only=True)
class Peer:
    """A network of theirs that is about as large as one of ours.

    size, channels: of the images, as the network sees them.
    widths: channels of each level; attention: which of the levels have it.
    head_channels: of each attention head.
    text: positions and width of the text.
    variance: whether the network says the variance too.
    """

    size: int
    channels: int
    widths: tuple[int, ...]
    attention: tuple[bool, ...]
    head_channels: int
    text: tuple[int, int]
    variance: bool
    predicts: str

    def network(self) -> Any:
        """With random weights."""
        kinds = [CROSS if attends else PLAIN for attends in self.attention]
        return UNet2DConditionModel(
            sample_size=self.size,
            in_channels=self.channels,
            out_channels=self.channels * (2 if self.variance else 1),
            block_out_channels=self.widths,
            layers_per_block=1,
            down_block_types=tuple(down for down, _ in kinds),
            up_block_types=tuple(up for _, up in reversed(kinds)),
            # by its name the width of a head; what it sets is how many there are
            attention_head_dim=tuple(max(1, width // self.head_channels) for width in self.widths),
            cross_attention_dim=self.text[1],
            resnet_time_scale_shift="scale_shift",
        )


class Theirs:
    """A pipeline of diffusers on the CPU, its text embedded beforehand, as theirs do it."""

    def __init__(self, peer: Peer, steps: int, scale: float = 3.0) -> None:
        torch.manual_seed(0)
        self.peer, self.steps, self.scale = peer, steps, scale
        self.network = peer.network().eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.scheduler = DDIMScheduler(
            beta_schedule="squaredcos_cap_v2", prediction_type=peer.predicts, clip_sample=True
        )

    @torch.no_grad()
    def walk(self, batch: int, clock: Clock, steps: int | None = None) -> Timing:
        """Make `batch` images. steps: stop after so many."""
        stopwatch = Stopwatch(clock)
        network = stopwatch.watched(self.network)
        began = clock()
        self.scheduler.set_timesteps(self.steps)
        x, text = self._inputs(batch)
        loop_began = clock()
        for t in self.scheduler.timesteps[:steps]:
            both = self.scheduler.scale_model_input(torch.cat([x] * 2), t)
            output = network(both, t, encoder_hidden_states=text, return_dict=False)[0]
            without, with_prompt = output.chunk(2)
            guided = without + self.scale * (with_prompt - without)
            if self.peer.variance:
                guided = guided.split(self.peer.channels, dim=1)[0]
            x = self.scheduler.step(guided, t, x, return_dict=False)[0]
        loop_ended = clock()
        ((x / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        ended = clock()
        return Timing(whole=ended - began, loop=loop_ended - loop_began, network=stopwatch.inside)

    def warm_up(self, batch: int) -> None:
        """Two steps, so that nothing is timed that happens once in a process."""
        self.walk(batch, lambda: 0.0, steps=2)

    @property
    def parameters(self) -> int:
        """Of the network that runs at each step."""
        return parameters(self.network)

    @torch.no_grad()
    def gigaflops(self) -> float:
        """Of one step for one image."""
        x, text = self._inputs(1)
        both = torch.cat([x] * 2)
        return gigaflops(lambda: self.network(both, torch.tensor(500), encoder_hidden_states=text))

    def _inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        shape = (batch, self.peer.channels, self.peer.size, self.peer.size)
        return (
            torch.randn(shape, generator=generator),
            torch.randn(2 * batch, *self.peer.text, generator=generator),
        )
