"""Pixels to [-1, 1] and back."""

from __future__ import annotations

import torch

from glidepath.core.codec import IdentityCodec

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)


def test_every_level_survives_the_round_trip() -> None:
    codec = IdentityCodec()
    assert torch.equal(codec.decode(codec.encode(LEVELS)), LEVELS)


def test_levels_span_minus_one_to_one_evenly() -> None:
    x = IdentityCodec().encode(LEVELS)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x[0, 0].flatten(), torch.linspace(-1, 1, 256))


def test_decoding_rounds_to_the_nearest_level_and_clamps() -> None:
    half = 1 / 255
    x = torch.tensor([-2.0, -1 + 0.9 * half, -1 + 1.1 * half, 0.2, 1.0, 7.0])
    assert IdentityCodec().decode(x).tolist() == [0, 0, 1, 153, 255, 255]


def test_a_codec_keeps_shape_and_device() -> None:
    codec = IdentityCodec()
    images = torch.empty(2, 3, 8, 6, dtype=torch.uint8, device="meta")
    x = codec.encode(images)
    assert (x.shape, x.device.type) == (images.shape, "meta")
    assert (codec.decode(x).shape, codec.decode(x).dtype) == (images.shape, torch.uint8)
