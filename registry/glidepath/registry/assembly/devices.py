"""On which device a pipeline runs, and in which dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glidepath.core.errors import PartError
from glidepath.registry.plan.plan import Plan

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """The torch device of a runtime's `device`; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        PartError: the device is not there.
    """
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {"cuda": cards > 0, "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(known for known, is_there in there.items() if is_there)
    family, _, number = name.partition(":")
    if not there.get(family, False) or (number and int(number) >= cards):
        usable = ["cuda:0" if cards == 1 else f"cuda:0 to cuda:{cards - 1}"] if cards else []
        usable += [known for known, is_there in there.items() if is_there and known != "cuda"]
        raise PartError(f"device {name!r} is not available here; available: {', '.join(usable)}")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The torch dtype of a runtime's `dtype`; `auto` is bfloat16 on a GPU that has it, else float32."""
    import torch

    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def dtype_of(plan: Plan, device: torch.device) -> torch.dtype:
    """The dtype of a plan's networks; `auto` is float32 where there is a generator: it may be exact."""
    exact = plan.runtime.dtype == "auto" and plan.model_slot != "denoiser"
    return choose_dtype("float32" if exact else plan.runtime.dtype, device)
