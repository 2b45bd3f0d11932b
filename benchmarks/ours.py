"""glidepath's side of the comparison: a pipeline from a spec, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from timing import Clock, Counter, Stopwatch, Timing, replaced
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glidepath.core import Noise, Pipeline, State
from glidepath.registry import build_pipeline, load_catalogue, make_plan, read_spec
from glidepath.registry.assembly.cost import measure

PROMPT = "a red circle"


class GivenNoise(Noise):
    """The first noise is given; DDIM asks for no other."""

    def __init__(self, first: Tensor) -> None:
        self.first = first

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        """It, on the device."""
        return self.first.reshape(shape).to(device)

    def step(self, index: int, like: Tensor) -> Tensor:
        """Nothing."""
        raise AssertionError("DDIM with eta 0 draws no noise")

    def skip(self, index: int, like: Tensor) -> None:
        """Nothing."""


class Ours:
    """A pipeline of glidepath on the CPU.

    spec: a preset or a file. Its weights are left out: the time does not depend on them.
    dtype: "float32" or "bfloat16".
    """

    def __init__(self, spec: str | Path, steps: int, dtype: str) -> None:
        self.catalogue = catalogue = load_catalogue()
        overrides = [f"sampler.steps={steps}", "runtime.device=cpu", f"runtime.dtype={dtype}"]
        self.plan = plan = make_plan(read_spec(spec, overrides, catalogue=catalogue), catalogue)
        torch.manual_seed(0)
        self.pipeline: Pipeline = build_pipeline(plan, catalogue, load=False)
        self.network: Any = self.pipeline.denoiser
        self.encoder: Any = self.pipeline.text_encoder

    def walk(self, batch: int, clock: Clock) -> Timing:
        """Make `batch` images of one prompt.

        The loop begins where the sampler is called, when all is prepared, and ends with its last state. The
        network is the denoiser's trunk: what runs once for each step.
        """
        stopwatch, loop_began = Stopwatch(clock), 0.0
        sampler_states: Callable[..., Iterator[State]] = self.pipeline.sampler.states

        def states(*args: Any) -> Iterator[State]:
            nonlocal loop_began
            loop_began = clock()
            return sampler_states(*args)

        with ExitStack() as stack:
            stack.enter_context(replaced(self.pipeline.sampler, "states", states))
            stack.enter_context(replaced(self.network, "trunk", stopwatch.watched(self.network.trunk)))
            began = clock()
            for state in self.pipeline.states([PROMPT] * batch):
                x = state.x
            loop_ended = clock()
            self.pipeline.decode(x)
            ended = clock()
        return Timing(whole=ended - began, loop=loop_ended - loop_began, network=stopwatch.inside)

    def warm_up(self, batch: int) -> None:
        """Two steps, so that nothing is timed that happens once in a process."""
        states = self.pipeline.states([PROMPT] * batch)
        next(states)
        next(states)

    def counts(self) -> dict[str, float]:
        """Calls in one walk of one prompt; text projections are counted for each attention layer."""
        names = ("network", "text_encoder", "text_projections")
        network, encoder, projections = counters = [Counter() for _ in names]
        layers = [layer for name, layer in self.network.named_modules() if name.endswith("encoder_kv")]
        with ExitStack() as stack:
            # the functions themselves: a hook does not see who calls `forward`
            stack.enter_context(replaced(self.network, "trunk", network.counted(self.network.trunk)))
            stack.enter_context(replaced(self.encoder, "forward", encoder.counted(self.encoder.forward)))
            for layer in layers:
                stack.enter_context(replaced(layer, "forward", projections.counted(layer.forward)))
            self.pipeline([PROMPT])
        calls = dict(zip(names, (counter.calls for counter in counters), strict=True))
        return {**calls, "text_projections": calls["text_projections"] / len(layers)}

    @property
    def parameters(self) -> int:
        """Of the network that runs at each step."""
        return parameters(self.network)

    def gigaflops(self) -> float:
        """Of one step for one image, as the network is written: its convolutions may take fewer."""
        return measure(self.plan, self.catalogue)[""].flops["model"] / 1e9


def parameters(network: nn.Module) -> int:
    """How many a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def gigaflops(step: Callable[[], object]) -> float:
    """Of the convolutions and linear layers; a multiplication and its addition count as two."""
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops()) / 1e9
