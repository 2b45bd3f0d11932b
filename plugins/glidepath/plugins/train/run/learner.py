"""The modules of a stage, the moving average of their weights, and the optimizer that changes them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from glidepath.plugins.train.run.checkpoint import CheckpointError, TrainingCheckpoint


class Learner:
    """Weights that learn, by AdamW (Loshchilov & Hutter 2019), and their exponential moving average."""

    def __init__(
        self,
        modules: nn.ModuleDict,
        device: torch.device,
        *,
        weight_decay: float,
        gradient_clip: float,
        rates: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """modules: on `device`; parameters that do not require gradients stay as they are.

        rates: for some of the modules a factor of the learning rate.
        """
        self.modules = modules.train()
        self.averaged = copy.deepcopy(modules).eval().requires_grad_(False)
        self.gradient_clip = gradient_clip
        self.whole = True  # false while weights and average are of different steps
        self._named: dict[str, nn.Parameter] = {}
        groups = []
        for name, module in modules.items():
            own = {f"{name}.{key}": it for key, it in module.named_parameters() if it.requires_grad}
            self._named |= own
            groups.append({"params": list(own.values()), "rate": rates.get(name, 1.0)})
        self._optimizer = torch.optim.AdamW(
            groups,
            betas=(0.9, 0.99),
            weight_decay=weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )

    def update(self, loss: Tensor, learning_rate: float, decay: float) -> None:
        """One step down the gradient of `loss`; then averaged = decay averaged + (1 - decay) weights.

        Gradients whose norm, over all parameters together, exceeds `gradient_clip` are scaled down to it; 0:
        never.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.gradient_clip:
            nn.utils.clip_grad_norm_(self._named.values(), self.gradient_clip)
        self.whole = False
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.modules.parameters()), 1 - decay)
            for averaged, buffer in zip(self.averaged.buffers(), self.modules.buffers(), strict=True):
                averaged.copy_(buffer)
        self.whole = True

    def is_finite(self) -> bool:
        """Whether all weights, averages and moments are numbers. Waits for the device, once."""
        moments = (value for state in self._optimizer.state.values() for value in state.values())
        return _all_finite([*self.modules.parameters(), *self.averaged.parameters()]) and _all_finite(moments)

    def tensors(self) -> dict[str, Tensor]:
        """All of the state, as checkpoints name it."""
        tensors = {f"model.{name}": value for name, value in self.modules.state_dict().items()}
        tensors |= {f"ema.{name}": value for name, value in self.averaged.state_dict().items()}
        for name, parameter in self._named.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
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
        self.modules.load_state_dict(found.group("model"))
        self.averaged.load_state_dict(found.group("ema"))
        moments = found.group("optimizer")
        state = self._optimizer.state_dict()
        state["state"] = {
            index: {
                key: _laid_out_as(parameter, moments[f"{name}.{key}"])
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
            for index, (name, parameter) in enumerate(self._named.items())
            if f"{name}.step" in moments  # a parameter that never had a gradient has no state
        }
        self._optimizer.load_state_dict(state)


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of `value` in the memory layout of `parameter`.

    Files hold tensors row by row, and parameters may be channels-last. Fused AdamW walks the memory of both
    side by side, whatever their strides say.
    """
    return value.clone() if value.ndim == 0 else torch.empty_like(parameter).copy_(value)


def _all_finite(tensors: Iterable[Tensor]) -> bool:
    verdicts = [tensor.isfinite().all() for tensor in tensors if tensor.ndim]
    return not verdicts or bool(torch.stack(verdicts).all())
