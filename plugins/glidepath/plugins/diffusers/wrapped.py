"""Networks of diffusers and transformers as modules of glidepath."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core import ByLayers, PartError, Step

STEP: ContextVar[Step | None] = ContextVar("STEP", default=None)
"""The step that a denoiser is asked for, for layers in it that change with the noise level."""

_INSIDE = "network."


class Wrapped(nn.Module, ByLayers):
    """A module around a foreign one, whose published weights do not know of the wrapper.

    network: the foreign module.
    """

    network: Any
    _runs_on: torch.device | None = None

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
        """Where the network runs."""
        device: torch.device = next(self.network.parameters()).device
        return self._runs_on or device

    def offload_layers(self, device: torch.device) -> None:
        """From now on each layer is on the device while it runs, by the hooks of diffusers."""
        try:
            from diffusers.hooks import apply_group_offloading
        except ImportError as error:
            raise PartError(
                "runtime.offload: layers needs diffusers: pip install 'glidepath-diffusion[diffusers]'"
            ) from error
        apply_group_offloading(self.network, onload_device=device, offload_type="leaf_level")
        self._runs_on = device

    def _apply(self, change: Any, recurse: bool = True) -> Any:
        """What `to` does to the module: not to a network whose layers are moved one by one."""
        modules = self._modules
        if self._runs_on is not None:
            self._modules = {name: module for name, module in modules.items() if name != "network"}
        try:
            return super()._apply(change, recurse)  # type: ignore[no-untyped-call]
        finally:
            self._modules = modules


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
