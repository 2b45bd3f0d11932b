"""How much memory training takes."""

from __future__ import annotations

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_MOST_HEAP = 2**31 - 1
_MOST_PIECE = 2**25  # glibc allows no more


def keep_freed(device: torch.device) -> None:
    """Have this process keep what a step on a CPU frees, for the next one, where the C library can.

    glibc gives what is free at the end of a step back to the system. Each step then gets its memory anew,
    page by page, and finds none of it in the caches: a twentieth of its time, and more.
    """
    if device.type != "cpu" or sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MOST_PIECE)
        mallopt(_TRIM_THRESHOLD, _MOST_HEAP)


def peak_bytes(device: torch.device) -> int:
    """The most memory that was in use: of the GPU, or of the process; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
