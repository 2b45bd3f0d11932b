"""The optimizers that a spec names, which are torch's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from glidepath.core import PartError

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import TrainingConfig

_ADAM = ({"step", "exp_avg", "exp_avg_sq"},)
_REMEMBERS: Mapping[str, Sequence[set[str]]] = {
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "SGD": ({"momentum_buffer"},),
    "Muon": ({"momentum_buffer"},),
    "Adafactor": ({"step", "row_var", "col_var"}, {"step", "variance"}),
}

Groups = Sequence[tuple[Sequence[Tensor], float]]
"""Parameters, with a factor of their learning rate."""


def build_optimizers(
    config: TrainingConfig, groups: Groups, device: torch.device
) -> list[torch.optim.Optimizer]:
    """The optimizers of a config, one beside another where one takes some of the parameters only.

    Each group of theirs has its factor of the learning rate as `rate`.

    Raises:
        PartError: torch does not have it.
    """
    fused = device.type in ("cpu", "cuda")
    # torch has no fused SGD of tensors that are divided among processes
    divided = any(hasattr(it, "full_tensor") for some, _ in groups for it in some)
    decay: dict[str, Any] = {"lr": 0.0, "weight_decay": config.weight_decay}
    adams: dict[str, Any] = {**decay, "betas": config.betas, "fused": fused}
    if config.optimizer == "sgd":
        momentum = config.betas[0]
        return [torch.optim.SGD(_named(groups), momentum=momentum, fused=fused and not divided, **decay)]
    if config.optimizer == "adam":
        return [torch.optim.Adam(_named(groups), **adams)]
    if config.optimizer == "adafactor":
        return [torch.optim.Adafactor(_named(groups), **decay)]
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(_named(groups), **adams)]
    if not hasattr(torch.optim, "Muon"):
        raise PartError(f"train.optimizer: muon is of torch 2.9 and newer, and this is {torch.__version__}")
    # Muon is of matrices; its steps have the size of AdamW's, so that one learning rate serves both
    matrices = [([it for it in some if it.ndim == 2], rate) for some, rate in groups]
    others = [([it for it in some if it.ndim != 2], rate) for some, rate in groups]
    made: list[torch.optim.Optimizer] = []
    if any(some for some, _ in matrices):
        decay |= {"momentum": config.betas[0], "adjust_lr_fn": "match_rms_adamw"}
        made.append(torch.optim.Muon(_named(matrices), **decay))
    if any(some for some, _ in others):
        made.append(torch.optim.AdamW(_named(others), **adams))
    return made


def _named(groups: Groups) -> list[dict[str, Any]]:
    return [{"params": list(some), "rate": rate} for some, rate in groups if some]


def check_state(optimizer: torch.optim.Optimizer, parameter: Tensor, state: Mapping[str, Tensor]) -> None:
    """Refuse what is not what an optimizer remembers of a parameter: fused ones would not notice.

    Raises:
        ValueError: it is of another optimizer, or another parameter.
    """
    name = type(optimizer).__name__
    if set(state) not in _REMEMBERS[name]:
        raise ValueError(f"{name} remembers {sorted(_REMEMBERS[name][0])}, and there is {sorted(state)}")
    shape = tuple(parameter.shape) or (1,)
    shapes = {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1]), "step": ()}
    for key, value in state.items():
        wanted = shapes.get(key, tuple(parameter.shape))
        if tuple(value.shape) != wanted:
            raise ValueError(f"{key} is {list(value.shape)}, and must be {list(wanted)}")
