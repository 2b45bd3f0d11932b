"""The published networks have the parameters that their authors report, name for name."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import nn

from glidepath.plugins.adm.plugin import AdmUNetConfig
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.text.plugin import TransformerConfig
from glidepath.plugins.text.transformer import TransformerTextEncoder

ADM_64 = AdmUNetConfig(image_size=64, channels=192, res_blocks=3, num_classes=1000, attention_order="new")
ADM_128 = AdmUNetConfig(
    image_size=128,
    channels=256,
    res_blocks=2,
    channel_mult=(1, 1, 2, 3, 4),
    num_classes=1000,
    heads=4,
    head_channels=None,
)
ADM_256 = AdmUNetConfig(
    image_size=256, channels=256, res_blocks=2, channel_mult=(1, 1, 2, 2, 4, 4), num_classes=1000
)
ADM_512 = AdmUNetConfig(
    image_size=512, channels=256, res_blocks=2, channel_mult=(0.5, 1, 1, 2, 2, 4, 4), num_classes=1000
)


@attrs.frozen
class Gpt2Tokenizer:
    vocabulary_size: int = 50257
    padding_id: int = 50256

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, ids: object) -> str:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("config", "parameters", "keys"),
    [
        pytest.param(ADM_64, 295_904_454, 541, id="ADM 64"),
        pytest.param(ADM_128, 421_529_606, 493, id="ADM 128"),
        pytest.param(ADM_256, 553_838_086, 567, id="ADM 256"),
        pytest.param(attrs.evolve(ADM_256, num_classes=None), 552_814_086, 566, id="ADM 256 without classes"),
        pytest.param(ADM_512, 558_997_638, 645, id="ADM 512"),
    ],
)
def test_adm_has_the_published_parameters(config: AdmUNetConfig, parameters: int, keys: int) -> None:
    unet = on_meta(config)
    assert count(unet) == parameters
    assert len(unet.state_dict()) == keys


def test_glide_has_the_published_parameters() -> None:
    unet = on_meta(AdmUNetConfig(text_width=512))
    with torch.device("meta"):
        encoder = TransformerTextEncoder(TransformerConfig(), tokenizer=Gpt2Tokenizer())
    assert count(encoder) == 76_695_808
    assert count(unet) + count(encoder) == 385_030_726
    assert not unet.state_dict().keys() & encoder.state_dict().keys()
    assert len(unet.state_dict()) + len(encoder.state_dict()) == 783

    shapes = {key: tuple(value.shape) for key, value in (unet.state_dict() | encoder.state_dict()).items()}
    published = {
        "input_blocks.5.0.in_layers.2.weight": (384, 192, 3, 3),
        "input_blocks.5.0.emb_layers.1.weight": (768, 768),
        "input_blocks.5.0.skip_connection.weight": (384, 192, 1, 1),
        "input_blocks.5.1.qkv.weight": (1152, 384, 1),
        "input_blocks.5.1.encoder_kv.weight": (768, 512, 1),
        "middle_block.1.qkv.weight": (2304, 768, 1),
        "output_blocks.3.2.in_layers.2.weight": (768, 768, 3, 3),
        "output_blocks.15.0.skip_connection.weight": (192, 384, 1, 1),
        "out.2.weight": (6, 192, 3, 3),
        "transformer.resblocks.0.attn.c_qkv.weight": (1536, 512),
        "token_embedding.weight": (50257, 512),
        "positional_embedding": (128, 512),
        "padding_embedding": (128, 512),
        "transformer_proj.weight": (768, 512),
    }
    assert {key: shapes[key] for key in published} == published


def on_meta(config: AdmUNetConfig) -> AdmUNet:
    with torch.device("meta"):
        return AdmUNet(config)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
