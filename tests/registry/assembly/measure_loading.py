"""Prints how much more memory `assemble` took at its peak than the weights that it loads, in bytes each.

python measure_loading.py SPEC [OVERRIDE ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from glidepath.registry import assemble, load_catalogue, make_plan, read_spec


def resident(which: str) -> int:
    """Memory of this process: VmRSS now, VmHWM at its peak so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{which}:"))


spec, *overrides = sys.argv[1:]
catalogue = load_catalogue()
make_plan(read_spec(spec, overrides, catalogue=catalogue), catalogue)
torch.nn.Linear(8, 8)(torch.zeros(1, 8))


Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
pipeline = assemble(spec, overrides)
size = sum(tensor.nbytes for tensor in pipeline.denoiser.parameters())
print(resident("VmHWM") - before, size)
