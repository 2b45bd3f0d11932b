"""Networks of diffusers and transformers as modules of glidepath."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core import PartError, Step

STEP: ContextVar[Step | None] = ContextVar("STEP", default=None)
"""The step that a denoiser is asked for, for layers in it that change with the noise level."""

_INSIDE = "network."


class Wrapped(nn.Module):
    """A module around a foreign one, whose published weights do not know of the wrapper.

    network: the foreign module.
    """

    network: Any

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a published file under the names that they have here."""
        return {f"{_INSIDE}{name}": tensor for name, tensor in tensors.items()}

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the network runs in."""
        dtype: torch.dtype = next(self.network.parameters()).dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        device: torch.device = next(self.network.parameters()).device
        return device


@contextmanager
def at_step(step: Step | None) -> Iterator[None]:
    """Tell the layers of a denoiser which step it is asked for."""
    token = STEP.set(step)
    try:
        yield
    finally:
        STEP.reset(token)


def build_network(config: Mapping[str, Any]) -> Any:
    """A network of diffusers from its config.json, with random weights.

    Raises:
        PartError: diffusers has no network of that name.
    """
    import diffusers

    name = str(config.get("_class_name", ""))
    found: Any = getattr(diffusers, name, None)
    is_network = isinstance(found, type) and issubclass(found, diffusers.ModelMixin)
    if not is_network:
        raise PartError(f"diffusers {diffusers.__version__} has no network {name!r}")
    return found.from_config(dict(config))
