"""How much memory training takes."""

from __future__ import annotations

import sys

import torch


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
