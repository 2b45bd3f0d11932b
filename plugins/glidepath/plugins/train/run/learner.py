"""The modules of a stage, the moving average of their weights, and the optimizer that changes them."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from glidepath.plugins.train.run.activations import checkpoint_blocks, keep_activations
from glidepath.plugins.train.run.checkpoint import CheckpointError, TrainingCheckpoint
from glidepath.plugins.train.run.compiling import compile_network
from glidepath.plugins.train.run.optimizers import build_optimizers, check_state
from glidepath.plugins.train.scale.shards import own, placed

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import TrainingConfig

_SCALER = ("scale", "_growth_tracker")
"""What changes of the scale of losses in float16."""


class Learner:
    """Weights that learn, and their exponential moving average."""

    def __init__(
        self,
        modules: nn.ModuleDict,
        device: torch.device,
        config: TrainingConfig,
        *,
        rates: Mapping[str, float] = MappingProxyType({}),
        only: Sequence[str] | None = None,
        divide: Callable[[nn.ModuleDict, nn.ModuleDict], None] | None = None,
        compiled: str = "",
    ) -> None:
        """modules: on `device`; parameters that do not require gradients stay as they are.

        config: says the optimizer and its options, what gradients are clipped to, and in which precision
            losses are computed.
        rates: for some of the modules a factor of the learning rate.
        only: patterns of the parameters that learn (`matching`); the others stay too.
        divide: divides modules and averages among several processes.
        compiled: the name of the module that is compiled; "": none.

        Raises:
            PartError: it cannot be compiled.
        """
        self.modules = modules.train()
        self._stilled: list[Tensor] = []
        if only is not None:
            learns = matching([name for name, _ in modules.named_parameters()], only)
            for name, parameter in modules.named_parameters():
                if parameter.requires_grad and name not in learns:
                    self._stilled.append(parameter.requires_grad_(False))
        for module in modules.values():
            if not any(parameter.requires_grad for parameter in module.parameters()):
                module.eval()
        self.frozen = {name: it for name, it in modules.named_parameters() if not it.requires_grad}
        # what is frozen is its own average
        shared: dict[int, object] = {id(it): it for it in self.frozen.values()}
        self.averaged = copy.deepcopy(modules, shared).eval().requires_grad_(False)
        if divide is not None:
            divide(self.modules, self.averaged)
            self.frozen = {name: it for name, it in modules.named_parameters() if not it.requires_grad}
        self._learning: list[Tensor] = [it for it in modules.parameters() if it.requires_grad]
        averaged = dict(self.averaged.named_parameters())
        self._averages: list[Tensor] = [
            averaged[name] for name, it in modules.named_parameters() if it.requires_grad
        ]
        self.gradient_clip = config.gradient_clip
        self.whole = True  # false while weights and average are of different steps
        self._named: dict[str, nn.Parameter] = {}
        groups = []
        for name, module in modules.items():
            own = {f"{name}.{key}": it for key, it in module.named_parameters() if it.requires_grad}
            self._named |= own
            groups.append((list(own.values()), rates.get(name, 1.0)))
        self._optimizers = build_optimizers(config, groups, device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        for name, module in modules.items():
            in_blocks = config.checkpointing and checkpoint_blocks(module, compiled=name == compiled)
            if name == compiled and not in_blocks:
                compile_network(name, module)

    def update(self, losses: Iterable[Tensor], learning_rate: float, decay: float) -> Tensor:
        """One step down the gradient of the sum of `losses`; averaged = decay averaged + (1 - decay) weights.

        Each loss is differentiated before the next is computed. Gradients whose norm, over all parameters
        together, exceeds `gradient_clip` are scaled down to it; 0: never. Returns the sum, without gradients.
        """
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * learning_rate
            optimizer.zero_grad(set_to_none=True)
        total: Tensor | None = None
        for loss in losses:
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None  # a batch has a loss
        for optimizer in self._optimizers:
            self._scaler.unscale_(optimizer)
        if self.gradient_clip:
            nn.utils.clip_grad_norm_(self._named.values(), self.gradient_clip)
        self.whole = False
        for optimizer in self._optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        for parameter in self._learning:  # fused optimizers do not tell that they have changed them
            torch.autograd.graph.increment_version(parameter)
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._learning, 1 - decay)
            for averaged, buffer in zip(self.averaged.buffers(), self.modules.buffers(), strict=True):
                averaged.copy_(buffer)
        self.whole = True
        return total

    def release(self) -> None:
        """Undo what another stage, which may train the same modules, is not to find."""
        for module in self.modules.values():
            keep_activations(module)
        for parameter in self._stilled:
            parameter.requires_grad_(True)

    @property
    def learning(self) -> dict[str, Tensor]:
        """The parameters that learn, by name."""
        return dict(self._named)

    def forget_forward(self) -> None:
        """Take back what a forward pass without its update has changed: buffers."""
        for buffer, averaged in zip(self.modules.buffers(), self.averaged.buffers(), strict=True):
            buffer.copy_(averaged)

    def is_finite(self) -> bool:
        """Whether all weights, averages and moments that are here are numbers. Waits for the device, once."""
        moments = (value for _, state in self._states() for value in state.values())
        return _all_finite([*self._learning, *self._averages]) and _all_finite(moments)

    def _states(self) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """What optimizers remember of each parameter that ever had a gradient."""
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                yield parameter, {key: it for key, it in state.items() if isinstance(it, Tensor)}

    def tensors(self, *, frozen: bool = True) -> dict[str, Tensor]:
        """All of the state, as checkpoints name it. frozen: with the parameters that do not learn."""
        groups = {"model": self.modules.state_dict(), "ema": self.averaged.state_dict()}
        tensors = {
            f"{group}.{name}": value
            for group, values in groups.items()
            for name, value in values.items()
            if name not in self.frozen or (frozen and group == "model")
        }
        names: dict[Tensor, str] = {parameter: name for name, parameter in self._named.items()}
        for parameter, state in self._states():
            tensors |= {f"optimizer.{names[parameter]}.{key}": value for key, value in state.items()}
        if self._scaler.is_enabled():
            scaler = self._scaler.state_dict()
            tensors |= {f"scaler.{key}": torch.tensor(float(scaler[key])) for key in _SCALER}
        return tensors

    def restore(self, found: TrainingCheckpoint) -> None:
        """Take over the state of a checkpoint, bit for bit.

        Raises:
            CheckpointError: it is of other modules.
        """
        try:
            self._restore(found)
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(f"the checkpoint of step {found.step} does not fit: {error}") from error

    def _restore(self, found: TrainingCheckpoint) -> None:
        kept = {**self.frozen, **found.group("model")}
        ema = {**{name: kept[name] for name in self.frozen}, **found.group("ema")}
        for module, values in ((self.modules, kept), (self.averaged, ema)):
            like = module.state_dict()
            module.load_state_dict({name: placed(it, like.get(name, it)) for name, it in values.items()})
        names: dict[Tensor, str] = {parameter: name for name, parameter in self._named.items()}
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in found.group("optimizer").items():
            name, _, what = key.rpartition(".")
            moments.setdefault(name, {})[what] = _laid_out_as(self._named[name], value)
        for optimizer in self._optimizers:
            mine = [it for group in optimizer.param_groups for it in group["params"]]
            state = optimizer.state_dict()
            # a parameter that never had a gradient has no state
            known = {index: moments.get(names[parameter]) for index, parameter in enumerate(mine)}
            state["state"] = {index: it for index, it in known.items() if it is not None}
            for index, it in state["state"].items():
                check_state(optimizer, mine[index], it)
            optimizer.load_state_dict(state)
        if self._scaler.is_enabled():
            scaler = {key: value.item() for key, value in found.group("scaler").items()}
            kinds = {key: type(value) for key, value in self._scaler.state_dict().items()}
            self._scaler.load_state_dict(
                {**self._scaler.state_dict(), **{key: kinds[key](scaler[key]) for key in _SCALER}}
            )


def matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """The names that a pattern is, or begins up to a dot or bracket; `*` and `?` stand for any letters."""
    texts = (re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".") for pattern in patterns)
    whole = re.compile("|".join(rf"(?:{text})(?:[.[].*)?" for text in texts))
    return {name for name in names if whole.fullmatch(name)}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A hash of the names, shapes and bits of tensors, by sums in no order; "" where there are none."""
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        (name, list(it.shape), int(it.detach().view(bits[it.element_size()]).sum(dtype=torch.int64)))
        for name, it in sorted(tensors.items())
    ]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest() if sums else ""


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of `value` in the memory layout of `parameter`.

    Files hold tensors row by row, and parameters may be channels-last. Fused AdamW walks the memory of both
    side by side, whatever their strides say. What has another shape has no layout to take over.
    """
    if value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype).copy_(placed(value, parameter))


def _all_finite(tensors: Iterable[Tensor]) -> bool:
    verdicts = [own(tensor).isfinite().all() for tensor in tensors if tensor.ndim]
    return not verdicts or bool(torch.stack(verdicts).all())
