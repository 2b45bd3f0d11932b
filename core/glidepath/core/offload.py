"""The interface of networks whose layers need not be on the device together."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class ByLayers(ABC):
    """A module that can have the layers of its `network` on a device one by one, with `offload: layers`."""

    network: nn.Module

    @abstractmethod
    def offload_layers(self, device: torch.device) -> None:
        """From now on each layer of `network` is on the device while it runs, and waits on the CPU.

        The network itself is moved no more. What it is given may be on either.

        Raises:
            PartError: a package is absent that this needs.
        """
