"""Activation checkpointing: what a block computes is computed again for its gradient, and not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glidepath.plugins.train.run.compiling import compiled_blocks

_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)


def checkpoint_blocks(network: nn.Module, *, compiled: bool = False) -> bool:
    """Have the blocks of a network forget their activations (Chen et al. 2016, arXiv:1604.06174).

    Blocks are the members of its lists of modules, outermost first, where they are called with tensors alone.
    Gradients are the same. It takes a forward pass more. Networks of diffusers do it themselves.

    compiled: such blocks are compiled, each by itself.
    Returns whether there are blocks, and the network does not do it itself.
    """
    own: list[Any] = [it for it in network.modules() if hasattr(it, "enable_gradient_checkpointing")]
    for foreign in own[:1]:
        foreign.enable_gradient_checkpointing()
        return False
    blocks: list[Any] = list(_blocks(network))
    forwards = [block.forward for block in blocks]
    computes = compiled_blocks(forwards) if compiled else forwards
    for block, forward, whole in zip(blocks, forwards, computes, strict=True):
        block.forward = _Forgetful(forward, whole)
    return bool(blocks)


def keep_activations(network: nn.Module) -> None:
    """Take back what `checkpoint_blocks` did to the blocks of a network."""
    for block in _blocks(network):
        if isinstance(vars(block).get("forward"), _Forgetful):
            del block.forward


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            yield from (child for child in module.children() if any(True for _ in child.parameters()))


class _Forgetful:
    """In the place of a block's `forward`; `whole` computes the same, as one piece."""

    def __init__(self, forward: Callable[..., Any], whole: Callable[..., Any]) -> None:
        self.forward, self.whole = forward, whole

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        within = torch.compiler.is_compiling() or _INSIDE.get()
        if within or not torch.is_grad_enabled() or not _plain((*inputs, *named.values())):
            return self.forward(*inputs, **named)
        return checkpoint(self._inside, *inputs, use_reentrant=False, **named)

    def _inside(self, *inputs: Any, **named: Any) -> Any:
        token = _INSIDE.set(True)
        try:
            return self.whole(*inputs, **named)
        finally:
            _INSIDE.reset(token)


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    return value is None or isinstance(value, Tensor | float | int)
