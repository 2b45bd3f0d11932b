"""How the conformance kit uses a control: `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from glidepath.core import Conditioning, GlidepathError, TextEmbedding
from glidepath.plugins.diffusers.configs import NetworkConfig
from glidepath.plugins.diffusers.control import Control
from glidepath.plugins.diffusers.denoiser import DiffusersDenoiser
from glidepath.plugins.diffusers.examples import network
from glidepath.testing import Attempt, CannotRun, Trial, random_rows, require

_CHANNELS, _SIDE = 3, 16
"""Of a picture in pixels: twice the side of the latents of the UNet."""


class ControlTrial(Trial):
    """Stands beside a small UNet of Stable Diffusion, for which each row has an x, a text and a picture."""

    def use(self, built: Control, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """What the UNet predicts."""
        try:
            return [_predicted(built, rows, device=device)]
        except GlidepathError as error:
            raise CannotRun(f"it does not fit a small UNet of Stable Diffusion: {error}") from error

    def require_shapes(self, built: Control) -> None:
        """The UNet predicts as before: numbers, in the shape of x, which depend on the picture."""
        (predicted,) = self.use(built, (0, 1))
        wanted = [2, 4, 8, 8]
        require(list(predicted.shape) == wanted, f"the UNet predicts {list(predicted.shape)}, not {wanted}")
        require(bool(predicted.isfinite().all()), "the UNet predicts what is not finite")
        require(
            not torch.equal(predicted, _predicted(built, (0, 1), of=3)),
            "whatever the picture, the UNet predicts the same",
        )

    def require_dtypes(self, built: Control) -> None:
        """Numbers, whatever precision both run in."""
        for dtype in (torch.float32, torch.bfloat16):
            predicted = _predicted(built.to(dtype), (0,), dtype=dtype)
            require(bool(predicted.isfinite().all()), f"in {dtype} the UNet predicts what is not finite")

    def bad_inputs(self, built: Control) -> Iterator[Attempt]:
        """A picture with a channel too many."""
        call = partial(_predicted, built, (0,), channels=_CHANNELS + 1)
        yield "a picture with a channel too many", call, True


def _predicted(
    built: Control,
    rows: Sequence[int],
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels: int = _CHANNELS,
    of: int = 1,
) -> Tensor:
    """What the UNet predicts. of: which of the pictures of a row."""
    with TemporaryDirectory() as folder, torch.device("meta"):  # where initialising draws from no generator
        config = NetworkConfig(config=network(Path(folder))["config"])
        denoiser = DiffusersDenoiser(config, controls=(built,)).eval()
    denoiser.network.to_empty(device="cpu")
    with torch.no_grad():
        for stream, parameter in enumerate(denoiser.network.parameters()):
            parameter.copy_(random_rows([0], parameter.shape, stream)[0] / 8)
    denoiser.to(device, dtype)
    width = denoiser.network.config.cross_attention_dim
    conditioning = Conditioning.of(
        len(rows),
        text=TextEmbedding(None, random_rows(rows, (4, width), 2)),
        prompts=None,
        **{built.picture: random_rows(rows, (channels, _SIDE, _SIDE), of).sigmoid()},
    )
    x = random_rows(rows, denoiser.image_shape).to(device)
    t = torch.full((len(rows),), 500, device=device)
    with torch.no_grad():
        predicted: Tensor = denoiser(x, t, conditioning.to(device, dtype))
    return predicted
