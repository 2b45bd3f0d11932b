"""Networks wide enough for every kernel: sampling in float32 gives what two renderings in float64 give.

One rendering is our own network in float64, which knows no kernels; the other shares no code with it. The
bound is that of the recorded networks of the same make, five times their own float32 noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy

import attrs
import pytest
import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.levels import NoiseLevels
from glidepath.core.prediction import Prediction
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.kernels import Kernels
from glidepath.plugins.adm.layers import ResBlock, Upsample
from glidepath.plugins.adm.unet import AdmUNet

from .rendering import Rendering

pytestmark = pytest.mark.thorough

# 32 x 32 and 16 x 16, of 128 and 192 channels: both sizes suit, and on the way up twice the channels enter
GLIDE = AdmUNetConfig(
    image_size=32,
    channels=128,
    channel_mult=(1, 1.5),
    res_blocks=1,
    attention_resolutions=(16,),
    head_channels=64,
    text_width=64,
)
ADM = attrs.evolve(GLIDE, text_width=None, num_classes=7, attention_order="new")
PLAIN = attrs.evolve(
    GLIDE,
    num_classes=7,
    scale_shift_norm=False,
    resblock_updown=False,
    head_channels=None,
    heads=2,
    learned_variance=False,
)
NETWORKS = {"text": (GLIDE, 3e-5), "classes": (ADM, 2e-5), "both, plain resampling": (PLAIN, 1e-5)}
LEVELS = NoiseLevels(torch.tensor([900, 40]), torch.tensor([0.2, 0.95, 1.0]), torch.tensor([0.98, 0.3, 0.0]))


STEPS = list(LEVELS.steps("cpu"))


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_with_kernels_gives_what_it_gives_without_them(
    network: str, capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen at the last of two steps, to which the kernels of the first serve."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    config, tolerance = NETWORKS[network]
    unet, conditioning = random_network(config), random_conditioning(config)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    used = watch(monkeypatch)
    with torch.inference_mode():
        predict = unet.to(memory_format=torch.channels_last).prepare(conditioning, LEVELS)
        *_, made = [whole(predict(x.contiguous(memory_format=torch.channels_last), step)) for step in STEPS]
    assert used == dict.fromkeys(suited(unet, tiles=capability == "AVX2"), len(STEPS))

    wide, t, text = deepcopy(unet).double(), STEPS[-1].t.expand(2), conditioning.get("text", TextEmbedding)
    with torch.no_grad():
        plain = wide(x.double(), t, conditioning)
    embedded = () if text is None else (text.pooled, text.tokens)
    again = Rendering(wide.state_dict(), config)(x, t, conditioning.get("labels"), *embedded)
    assert apart(plain, again) < 1e-6
    assert apart(made, again) < tolerance
    assert apart(made, plain) < tolerance


def watch(monkeypatch: pytest.MonkeyPatch) -> Counter[nn.Module]:
    """Count the convolutions that kernels do from here on."""
    used: Counter[nn.Module] = Counter()
    for name in ("convolve", "convolve_upsampled"):
        monkeypatch.setattr(Kernels, name, counted(getattr(Kernels, name), used))
    return used


Convolve = Callable[[Kernels, Tensor, nn.Module], Tensor]


def counted(convolve: Convolve, used: Counter[nn.Module]) -> Convolve:
    def counting(self: Kernels, x: Tensor, convolution: nn.Module) -> Tensor:
        used[convolution] += 1
        return convolve(self, x, convolution)

    return counting


def suited(unet: AdmUNet, *, tiles: bool) -> list[nn.Module]:
    """Convolutions of kernel 3: those that double the size, and with tiles those that keep it.

    But the first and the head.
    """
    convolutions: list[nn.Module] = []
    for layer in unet.modules():
        if isinstance(layer, ResBlock):
            if tiles:
                convolutions.append(layer.out_layers[3])
            if layer.resample == "up" or (tiles and layer.resample is None):
                convolutions.append(layer.in_layers[2])
        elif isinstance(layer, Upsample):
            convolutions.append(layer.conv)
    return convolutions


def random_network(config: AdmUNetConfig) -> AdmUNet:
    """A network in which nothing is zero, and whose activations keep their size."""
    generator = torch.Generator().manual_seed(0)
    unet = AdmUNet(config).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            gain = parameter.ndim == 1 and bool((parameter == 1).all())
            spread = 0.2 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            parameter.copy_(float(gain) + spread * torch.randn(parameter.shape, generator=generator))
    return unet


def random_conditioning(config: AdmUNetConfig) -> Conditioning:
    generator = torch.Generator().manual_seed(2)
    text = None
    if config.text_width is not None:
        text = TextEmbedding(
            torch.randn(2, 4 * config.channels, generator=generator),
            torch.randn(2, 9, config.text_width, generator=generator),
            torch.ones(2, 9, dtype=torch.bool),
        )
    return Conditioning.of(2, text=text, labels=None if config.num_classes is None else torch.tensor([6, 0]))


def whole(prediction: Prediction) -> Tensor:
    """The output of the network, put together again."""
    value, fraction = prediction.value, prediction.variance_fraction
    return value if fraction is None else torch.cat([value, 2 * fraction - 1], dim=1)


def apart(one: Tensor, other: Tensor) -> float:
    """max |one - other| / max |other|."""
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max())
