"""What `edm2-unet` promises beyond the numbers of its reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from glidepath.core import Conditioning, NoiseLevels, PartError
from glidepath.plugins.edm2.configs import Edm2UNetConfig
from glidepath.plugins.edm2.layers import mp_cat, mp_silu, mp_sum, normalized, resampled
from glidepath.plugins.edm2.network import Edm2UNet
from glidepath.registry import SpecError, load_catalogue, make_plan, read_spec

TINY: dict[str, Any] = {
    "image_size": 8,
    "channels": 16,
    "channel_mult": (1, 2),
    "res_blocks": 1,
    "attention_resolutions": (4,),
    "head_channels": 16,
    "logvar_channels": 8,
}


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def magnitude(x: torch.Tensor) -> float:
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 1.0])
def test_sums_and_joins_of_independent_values_keep_their_magnitude(balance: float) -> None:
    a, b = normal(2, 2, 32, 64, 64)
    assert magnitude(mp_sum(a, b, balance)) == pytest.approx(1, abs=0.01)
    joined = mp_cat(a, b[:, :8], balance)
    assert magnitude(joined) == pytest.approx(1, abs=0.01)
    # what either contributes is its share, however many channels it has
    parts = [part.square().sum() for part in (joined[:, :32], joined[:, 32:])]
    ends = (1 - balance) ** 2, balance**2
    assert float(parts[1] / sum(parts)) == pytest.approx(ends[1] / sum(ends), abs=0.01)


def test_silu_of_normal_values_keeps_their_magnitude() -> None:
    assert magnitude(mp_silu(normal(1_000_000))) == pytest.approx(1, abs=0.002)


def test_a_normalised_tensor_has_magnitude_1_along_what_was_normalised() -> None:
    x = 7 * normal(3, 5, 4, 4)
    assert normalized(x, dim=1).square().mean(1).sqrt().sub(1).abs().max() < 1e-3
    assert normalized(x).square().mean((1, 2, 3)).sqrt().sub(1).abs().max() < 1e-4


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 3.0, 3.0, 1.0)])
def test_another_size_keeps_what_is_the_same_everywhere(weights: tuple[float, ...]) -> None:
    flat = torch.full((1, 2, 8, 8), 3.0)
    for how, size in (("down", 4), ("up", 16)):
        other = resampled(flat, weights, how)  # type: ignore[arg-type]
        assert other.shape == (1, 2, size, size)
        inside = other[..., 1:-1, 1:-1]
        torch.testing.assert_close(inside, torch.full_like(inside, 3.0))


def test_an_untrained_network_predicts_the_image_that_no_network_knows_of() -> None:
    """Its gain is 0 at first: D = c_skip x (Karras et al. 2022, table 1)."""
    network, x, sigma = Edm2UNet(Edm2UNetConfig(**TINY)).eval(), normal(2, 4, 8, 8), torch.tensor([0.1, 3.0])
    with torch.no_grad():
        denoised = network(x, sigma.log() / 4, Conditioning(2))
    torch.testing.assert_close(denoised, 0.25 / (sigma**2 + 0.25).reshape(-1, 1, 1, 1) * x)


def test_a_training_step_of_any_size_leaves_weights_whose_magnitude_says_nothing() -> None:
    torch.manual_seed(0)  # where a weight drawn is near nothing, the epsilon beside its norm is seen
    network = Edm2UNet(Edm2UNetConfig(**TINY)).eval()
    torch.nn.init.ones_(network.unet.out_gain)
    x, t = normal(1, 4, 8, 8), torch.tensor([0.1])
    with torch.no_grad():
        before = network(x, t, Conditioning(1))
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
        torch.testing.assert_close(network(x, t, Conditioning(1)), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("conditioning", "size", "message"),
    [
        (Conditioning(1), 8, "needs labels"),
        (Conditioning.of(1, labels=torch.tensor([0])), 7, "multiples of 2"),
    ],
)
def test_what_does_not_fit_is_refused(conditioning: Conditioning, size: int, message: str) -> None:
    with pytest.raises(PartError, match=message):
        Edm2UNet(Edm2UNetConfig(**TINY, num_classes=3))(
            torch.zeros(1, 4, size, size), torch.zeros(1), conditioning
        )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"denoiser.image_size": 9}, "denoiser.image_size"),
        ({"denoiser.attention_resolutions": [3]}, "denoiser.attention_resolutions"),
        ({"denoiser.head_channels": 5}, "denoiser.head_channels"),
        ({"denoiser.resample_filter": [1, 2, 1]}, "denoiser.resample_filter"),
        ({"schedule": "linear"}, "denoiser"),
        ({"schedule": "flow"}, "denoiser"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(changes: dict[str, Any], place: str) -> None:
    catalogue = load_catalogue()
    denoiser = {"use": "edm2-unet", "in_channels": 3, **TINY}
    spec: dict[str, Any] = {"schedule": "edm", "sampler": "heun", "denoiser": denoiser}
    make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    for path, value in changes.items():
        *above, name = path.split(".")
        (spec[above[0]] if above else spec)[name] = value
    with pytest.raises(SpecError) as caught:
        make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    assert place in [problem.path for problem in caught.value.problems]


@pytest.mark.thorough
def test_it_is_compiled_whole_in_training() -> None:
    network, x = Edm2UNet(Edm2UNetConfig(**TINY)).train(), normal(2, 4, 8, 8)
    graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    network.compile(backend=backend, fullgraph=True, dynamic=False)
    for _ in range(2):
        network(x, torch.tensor([0.1, 0.1]), Conditioning(2))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(2)
    weight = network.unet.out_conv.weight.detach()
    network(x, torch.tensor([0.1, 0.1]), Conditioning(2))
    assert len(graphs) == 1
    # what it is divided by is never 0: 1e-4 more than its magnitude, which was 2
    assert float(weight.square().mean().sqrt()) == pytest.approx(1, abs=1e-4)


@pytest.mark.thorough
def test_forward_and_prepared_predictors_share_the_compiled_network() -> None:
    network, x = Edm2UNet(Edm2UNetConfig(**TINY)).eval(), normal(2, 4, 8, 8)
    torch.nn.init.ones_(network.unet.out_gain)
    levels = NoiseLevels(torch.tensor([0.1]), torch.ones(2), torch.tensor([math.exp(0.4), 0.0]))
    graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    with torch.no_grad():
        expected = network(x, torch.tensor([0.1, 0.1]), Conditioning(2))
        network.compile(backend=backend, fullgraph=True, dynamic=False)
        prepared = network.prepare(Conditioning(2), levels)(x, next(levels.steps("cpu")))
        torch.testing.assert_close(prepared.value, expected)
    assert len(graphs) == 1
