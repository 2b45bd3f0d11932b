"""In which precision losses are computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from glidepath.core import PartError


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Within what it gives losses are computed in a precision; `auto`: bfloat16 on a GPU that has it.

    Raises:
        PartError: there is no such precision.
    """
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if precision not in ("float32", "bfloat16", "float16"):
        raise PartError(f"train.precision is auto, float32, bfloat16 or float16, not {precision!r}")
    if precision == "float32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=getattr(torch, precision))
