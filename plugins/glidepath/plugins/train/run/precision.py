"""In which precision losses are computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from glidepath.core import PartError


def chosen(precision: str, device: torch.device) -> str:
    """What `auto` stands for on a device: bfloat16 on a GPU that has it, else float32.

    Raises:
        PartError: there is no such precision.
    """
    if precision == "auto":
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if precision not in ("float32", "bfloat16", "float16"):
        raise PartError(f"train.precision is auto, float32, bfloat16 or float16, not {precision!r}")
    return precision


def is_emulated(precision: str, device: torch.device) -> bool:
    """Whether a processor has no instructions for a precision, as far as oneDNN tells."""
    name = {"bfloat16": "bf16", "float16": "fp16"}.get(precision)
    asked = getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported", None) if name else None
    return device.type == "cpu" and asked is not None and not asked()


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Within what it gives losses are computed in a `chosen` precision."""
    if precision == "float32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=getattr(torch, precision))
