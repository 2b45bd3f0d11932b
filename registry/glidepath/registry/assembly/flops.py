"""What counts the FLOPs of what runs: 2 for each multiply-add of matrix products, convolutions, attention."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any


def flop_counter() -> Any:
    """What counts FLOPs; torch counts attention on accelerators, and not what the CPU has for it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    attention = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
    }
    counter: Any = FlopCounterMode(display=False, custom_mapping=attention)
    counter.mod_tracker = _NoModules()
    return counter


def _attention_flops(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    """Of shapes [B, H, L, c]: the products q k^T, and those of the weights with v."""
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[-2] * (width + v[-1])


def _attention_backward_flops(
    _grad: Any, q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any
) -> int:
    """Five products where forward has two: q k^T again, and one for each gradient, of the weights too."""
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[-2] * (3 * width + 2 * v[-1])


class _NoModules(nullcontext[None]):
    """In place of what tells a counter which module runs: torch's refuses gradients of a module's input."""

    parents = ("Global",)
