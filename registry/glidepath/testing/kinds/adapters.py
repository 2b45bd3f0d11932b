"""Adapters: what they do to networks that are built."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from glidepath.core.adapter import Adapter
from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import GlidepathError
from glidepath.core.levels import NoiseLevels
from glidepath.registry.assembly.weights import read
from glidepath.testing.check import CannotRun, require
from glidepath.testing.trial import Attempt, Trial, random_rows


class TwoLayers(Denoiser):
    """Two convolutions, for an adapter to change."""

    predicts = "epsilon"
    learned_variance = False
    image_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):  # where initialising draws from no generator
            self.enter = nn.Conv2d(3, 4, 3, padding=1)
            self.leave = nn.Conv2d(4, 3, 3, padding=1)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for stream, parameter in enumerate(self.parameters()):
                parameter.copy_(random_rows([0], parameter.shape, stream)[0] / 4)

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """float32, as every denoiser's."""
        entered: Tensor = self.leave(self.enter(x.to(self.enter.weight.dtype)).relu())
        return entered.to(torch.float32)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """Nothing changes from step to step."""
        return lambda x, step: self.interpret(self(x, step.t, conditioning), x, step)


class AdapterTrial(Trial):
    """Changes a denoiser of two layers, and runs it; by the file of its example's `weights`, if there is one.

    The layers are convolutions `enter`, of 3 channels to 4, and `leave`, back to 3, with kernels of 3 x 3.
    """

    def use(self, built: Adapter, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """What the changed denoiser predicts."""
        return [_predicted(self._changed(built, TwoLayers().to(device)), rows, device)]

    def require_shapes(self, built: Adapter) -> None:
        """A denoiser that it changed predicts as before: numbers, in the shape of x."""
        (predicted,) = self.use(built, (0, 1))
        wanted = [2, *TwoLayers.image_shape]
        require(
            list(predicted.shape) == wanted, f"the denoiser predicts {list(predicted.shape)}, not {wanted}"
        )
        require(bool(predicted.isfinite().all()), "the denoiser predicts what is not finite")

    def require_dtypes(self, built: Adapter) -> None:
        """Networks keep their precision."""
        for dtype in (torch.float32, torch.bfloat16):
            network = self._changed(copy.deepcopy(built), TwoLayers().to(dtype))
            found = {str(parameter.dtype) for parameter in network.parameters()}
            require(
                found == {str(dtype)}, f"of a denoiser in {dtype} it makes one in {', '.join(sorted(found))}"
            )

    def bad_inputs(self, built: Adapter) -> Iterator[Attempt]:
        """A file of something else."""

        def strange() -> None:
            other = copy.deepcopy(built)
            other.load({"kit.nobody_knows": torch.ones(2)})
            other.apply({"denoiser": TwoLayers()})

        yield "a file whose tensors it does not know", strange, True

    def _changed(self, built: Adapter, network: TwoLayers) -> TwoLayers:
        try:
            if (file := self.part.planned.weights) is not None:
                built = copy.deepcopy(built)  # what a file says is for one use
                built.load(read(file, self.part.catalogue).tensors)
            built.apply({"denoiser": network})
        except GlidepathError as error:
            raise CannotRun(f"it does not fit a denoiser of two convolutions: {error}") from error
        return network


def _predicted(network: TwoLayers, rows: Sequence[int], device: str) -> Tensor:
    x = random_rows(rows, TwoLayers.image_shape).to(device)
    predicted: Tensor = network(x, torch.zeros(len(rows), device=device), Conditioning(len(rows), {}))
    return predicted
