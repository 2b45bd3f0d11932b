"""The codecs of pixels, on values between two colours."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest
import torch

from glidepath.core import Codec
from glidepath.plugins.codecs import plugin

COMPONENTS = {it.name: it for it in plugin.components() if it.kind == "codec"}
COLOURS = torch.arange(1, 255, dtype=torch.float64).reshape(1, 1, 1, 254).expand(1, 3, 1, 254)


def made(name: str) -> Codec:
    codec = resolve_name(COMPONENTS[name].target)()
    assert isinstance(codec, Codec)
    return codec


def test_the_plugin_supplies_codecs() -> None:
    assert list(COMPONENTS) == ["identity", "truncating"]


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("identity", 0.4, 0),
        ("identity", 0.6, 1),
        ("identity", -0.4, 0),
        ("truncating", 0.4, 0),
        ("truncating", 0.6, 0),
        ("truncating", -0.4, -1),
    ],
)
def test_identity_rounds_and_truncating_cuts_off(name: str, beside: float, expected: int) -> None:
    x = ((COLOURS + beside) / 127.5 - 1).to(torch.float32)
    assert torch.equal(made(name).decode(x), (COLOURS + expected).to(torch.uint8))


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_colour_comes_back(name: str) -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(made(name).decode(made(name).encode(images)), images)
    assert float(made(name).encode(images).abs().max()) <= 1
