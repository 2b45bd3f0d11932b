"""Pipelines are built and walked under torch's own defaults, whatever the application around them has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Within it, a tensor that says neither is float32 and on the CPU, and autocast is off.

    What the application had set is so again afterwards. The default dtype is of the process, the others are
    of the thread. Where nothing was set, this takes microseconds and leaves no mode on torch's functions.
    """
    with ExitStack() as before:
        dtype = torch.get_default_dtype()
        if dtype != torch.float32:
            before.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            before.enter_context(torch.device("cpu"))
        for device in _AUTOCAST:
            if torch.is_autocast_enabled(device):
                before.enter_context(torch.autocast(device, enabled=False))
        yield
