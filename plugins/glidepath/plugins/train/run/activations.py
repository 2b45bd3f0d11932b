"""Activation checkpointing: what a block computes is computed again for its gradient, and not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)


def checkpoint_blocks(network: nn.Module) -> None:
    """Have the blocks of a network forget their activations (Chen et al. 2016, arXiv:1604.06174).

    Blocks are the members of its lists of modules, outermost first, where they are called with tensors alone.
    Gradients are the same. It takes a forward pass more. Networks of diffusers do it themselves.
    """
    own: list[Any] = [it for it in network.modules() if hasattr(it, "enable_gradient_checkpointing")]
    for foreign in own[:1]:
        foreign.enable_gradient_checkpointing()
        return
    for block in _blocks(network):
        block.forward = _forgetful(block.forward)


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            yield from (child for child in module.children() if any(True for _ in child.parameters()))


def _forgetful(forward: Callable[..., Any]) -> Callable[..., Any]:
    def whole(*inputs: Any, **named: Any) -> Any:
        token = _INSIDE.set(True)
        try:
            return forward(*inputs, **named)
        finally:
            _INSIDE.reset(token)

    def call(*inputs: Any, **named: Any) -> Any:
        if _INSIDE.get() or not torch.is_grad_enabled() or not _plain((*inputs, *named.values())):
            return forward(*inputs, **named)
        return checkpoint(whole, *inputs, use_reentrant=False, **named)

    return call


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    return value is None or isinstance(value, Tensor | float | int)
