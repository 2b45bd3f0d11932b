"""Any denoiser of diffusers: a declared mapping says which of its arguments gets which condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import (
    Conditioning,
    Denoiser,
    NoiseLevels,
    PartError,
    Predict,
    Prediction,
    Step,
    TextEmbedding,
)
from glidepath.plugins.diffusers.configs import NetworkConfig
from glidepath.plugins.diffusers.control import Control
from glidepath.plugins.diffusers.known import JOIN, Network, describe
from glidepath.plugins.diffusers.original import denoiser_tensors
from glidepath.plugins.diffusers.patches import PATCH, packed, positions, unpacked
from glidepath.plugins.diffusers.prepared import Prepared, can_prepare
from glidepath.plugins.diffusers.wrapped import Wrapped, at_step, build_network

_CONTROLS = "control_networks"


class DiffusersDenoiser(Wrapped, Denoiser):
    """A UNet or a transformer of diffusers."""

    def __init__(self, config: NetworkConfig, controls: Sequence[Control] = ()) -> None:
        super().__init__()
        self.known: Network = describe(config)
        self.network = build_network(self.known.config)
        self.distilled_guidance = config.distilled_guidance
        self.predicts = config.predicts
        self.learned_variance = self.known.learned_variance
        self.image_shape = (self.known.channels, *self.known.size)
        self.controls = tuple(controls)
        self.control_networks = nn.ModuleList(controls)
        self.reads = self.known.reads.union(control.picture for control in controls)
        self.num_classes = self.known.num_classes
        self.null_label = self.known.num_classes

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Its tensors in a published file, also of a whole model; ControlNets have files of their own."""
        controls = f"{_CONTROLS}."
        own = {name: value for name, value in self.state_dict().items() if name.startswith(controls)}
        return {**super().read_weights(denoiser_tensors(tensors, self.network)), **own}

    def takes(self, size: Sequence[int]) -> str:
        """Sides that it can halve, or cut into patches, as often as it does, and has positions for."""
        divisor, most = self.known.divisor, self.known.most
        if any(side % divisor for side in size):
            return f"its sides are no multiples of {divisor}"
        return f"its sides are more than {most}" if most is not None and max(size) > most else ""

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """[B, C or 2C, H, W] float32 from x [B, C, H, W], t [B] and what the network reads."""
        return self._run(x, t, self._arguments(conditioning, x), conditioning, self.controls)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network, which `forward` and predictors share. Arguments: `torch.compile`'s."""
        self.network.compile(*args, **kwargs)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """The conditions are sorted to their arguments once, and what x does not reach is computed once."""
        known: dict[tuple[int, ...], tuple[dict[str, Any], Tensor]] = {}
        prepared: dict[object, Prepared] = {}
        plain = not can_prepare((self.network, self.control_networks))
        scales = list(_scales(self.network))
        repeats = conditioning.repeats if conditioning.alike.issuperset(self.known.beside) else 1

        def predict(x: Tensor, step: Step) -> Prediction:
            shape = tuple(x.shape)
            if shape not in known:
                known[shape] = (self._arguments(conditioning, x), self._time(levels.asked.to(x.device)))
            arguments, times = known[shape]
            asked = tuple(control for control in self.controls if control.is_asked(step))

            def around(
                run: Callable[[], Tensor], given: Tensor, time: Tensor, alike: Sequence[Tensor]
            ) -> Tensor:
                if plain:
                    return run()
                # controls may have a say in some steps only, and so may LoRA
                state = (shape, asked, tuple(scale[name] for scale in scales for name in scale))
                if state not in prepared:
                    prepared.clear()
                    prepared[state] = Prepared((self.network, *asked), times, repeats)
                return prepared[state](run, given, time, step.row, alike)

            t = step.t.expand(x.shape[0])
            # what a layer gives may change from level to level, where LoRA has a range of them
            with at_step(step):
                output = self._run(x, t, arguments, conditioning, asked, around)
            return self.interpret(output, x, step)

        return predict

    def _run(
        self,
        x: Tensor,
        t: Tensor,
        arguments: Mapping[str, Any],
        conditioning: Conditioning,
        controls: Sequence[Control],
        around: Callable[..., Tensor] = lambda run, *_: run(),
    ) -> Tensor:
        """`forward`, with arguments that are sorted.

        around: calls the networks, given their x and t, and what they read that is alike for each x.
        """
        if x.shape[1] != self.known.channels:
            raise PartError(
                f"{self.known.name} takes an x of {self.known.channels} channels, not {x.shape[1]}"
            )
        if fault := self.takes(x.shape[2:]):
            raise PartError(f"x is {list(x.shape[2:])}: {fault}")
        beside = [self._needed(conditioning.get(name), name) for name in self.known.beside]
        given = torch.cat([x, *beside], dim=1) if beside else x
        given = (packed(given) if self.known.patches else given).to(self.dtype)
        time = self._time(t)
        pictures = [self._needed(conditioning.get(control.picture), control.picture) for control in controls]
        pictures = [picture.to(self.dtype) for picture in pictures]
        seen = [(control.picture, picture) for control, picture in zip(controls, pictures, strict=True)]
        told = [(self.known.arguments.get(name), value) for name, value in arguments.items()]
        alike = [value for source, value in (*seen, *told) if source in conditioning.alike]

        def run() -> Tensor:
            said: dict[str, Any] = {}
            for control, picture in zip(controls, pictures, strict=True):
                said = control.add(said, given, time, arguments, picture, self.network)
            output: Tensor = self.network(given, timestep=time, **arguments, **said, return_dict=False)[0]
            return output

        output = around(run, given, time, alike).to(torch.float32)
        # x_0 = alpha x + sigma F is that of a velocity -F; more channels are unread
        if self.known.preconditioned:
            output = -output[:, : self.known.channels]
        return unpacked(output, x.shape) if self.known.patches else output

    def _time(self, t: Tensor) -> Tensor:
        """t as the network takes it."""
        if self.known.time_scale == 1:
            return t.to(torch.float32) if t.dtype == torch.float64 else t
        return t.to(torch.float32) * self.known.time_scale

    def _arguments(self, conditioning: Conditioning, x: Tensor) -> dict[str, Any]:
        """What the network gets beside x and t, by argument. Entries of dictionaries are put into these."""
        arguments: dict[str, Any] = {}
        for name, source in self.known.arguments.items():
            value: Any = (
                self._value(source, conditioning, x)
                if isinstance(source, str)
                else [self._value(one, conditioning, x) for one in source]
            )
            outer, _, inner = name.partition(".")
            if inner:
                arguments.setdefault(outer, {})[inner] = value
            else:
                arguments[name] = value
        return arguments

    def _value(self, source: str, conditioning: Conditioning, x: Tensor) -> Tensor:
        if JOIN in source:
            joined = [self._value(one.strip(), conditioning, x) for one in source.split(JOIN)]
            return torch.cat(joined, dim=-1)
        if source == "guidance":
            return torch.full((x.shape[0],), self.distilled_guidance, device=x.device, dtype=self.dtype)
        if source == "image_ids":
            return positions(x.shape[2] // PATCH, x.shape[3] // PATCH).to(x.device)
        name, _, field = source.partition(".")
        if name not in ("text", "text_ids", "joint_mask"):
            return self._typed(self._needed(conditioning.get(name), name))
        text = self._needed(conditioning.get("text", TextEmbedding), "text")
        if source == "text_ids":
            return torch.zeros(text.tokens.shape[1], 3, device=x.device)
        if source == "joint_mask":
            mask, patches = self._needed(text.mask, "text.mask"), x.shape[2] * x.shape[3] // PATCH**2
            return F.pad(_and_one_more(mask).to(self.dtype), (0, patches), value=1)
        value = getattr(text, field) if field in ("tokens", "mask", "pooled") else text.extras.get(field)
        return self._typed(self._needed(value, source))

    def _typed(self, value: Tensor) -> Tensor:
        """In the precision of the network; whole numbers and truths as they are."""
        return value.to(self.dtype) if value.is_floating_point() else value

    def _needed(self, value: Any, source: str) -> Any:
        if value is None:
            raise PartError(f"{self.known.name} reads {source!r}, and there is none")
        return value


def _and_one_more(mask: Tensor) -> Tensor:
    """A mask of tokens [B, L] with the first position of the padding too, as Chroma was trained."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    return positions <= mask.sum(dim=1, keepdim=True)


def _scales(network: nn.Module) -> Iterator[Mapping[str, float]]:
    """What the layers of LoRA that stand beside weights are multiplied by, by name."""
    for module in network.modules():
        if isinstance(scaling := getattr(module, "scaling", None), dict):
            yield scaling
