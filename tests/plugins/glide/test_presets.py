"""The presets of GLIDE and ADM as a user runs them, made small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from glidepath.core.cascade import Cascade
from glidepath.core.errors import PartError
from glidepath.core.pipeline import Pipeline
from glidepath.plugins.codecs.truncating import TruncatingCodec
from glidepath.plugins.text.bpe import BpeTokenizer
from glidepath.plugins.text.transformer import TransformerTextEncoder
from glidepath.registry.assembly.build import assemble

SMALL = (
    "denoiser.image_size={size}",
    "denoiser.channels=32",
    "denoiser.res_blocks=1",
    "denoiser.channel_mult=[1,1]",
    "denoiser.attention_resolutions=[{half}]",
    "denoiser.head_channels=16",
    "sampler.steps=2",
)
SMALL_TEXT = (
    "text_encoder.width=32",
    "text_encoder.layers=1",
    "text_encoder.heads=2",
    "text_encoder.context=8",
    "text_encoder.pooled_width=128",
)
BYTES = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files as GPT-2's, of single bytes and no merges."""
    folder = tmp_path_factory.mktemp("gpt2")
    letters = [*map(chr, BYTES), *(chr(0x100 + index) for index in range(256 - len(BYTES)))]
    tokens = {token: index for index, token in enumerate([*letters, "<|endoftext|>"])}
    (folder / "encoder.json").write_text(json.dumps(tokens), encoding="utf-8")
    (folder / "vocab.bpe").write_text("#version: 0.2\n", encoding="utf-8")
    return {"vocabulary": folder / "encoder.json", "merges": folder / "vocab.bpe"}


def test_a_glide_preset_without_vocabulary_says_what_is_missing_and_how_to_give_it() -> None:
    pipeline = single("glide-base", 16)
    with pytest.raises(PartError, match=r"GPT-2's two files.*vocabulary: encoder\.json, merges: vocab\.bpe"):
        pipeline(["a cat"])


def test_a_glide_preset_makes_images_once_it_has_a_vocabulary(vocabulary: dict[str, Path]) -> None:
    pipeline = single("glide-base", 16, *files(vocabulary))
    assert pipeline(["a cat", "a dog"]).shape == (2, 3, 16, 16)


def test_a_glide_preset_inpaints(vocabulary: dict[str, Path]) -> None:
    pipeline = single("glide-base-inpaint", 16, *files(vocabulary))
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    made = pipeline(["a cat"], image=image, mask=mask)
    assert torch.equal(made[..., :8], image[..., :8])
    assert not torch.equal(made[..., 8:], image[..., 8:])


def test_the_cascade_of_glide_takes_the_vocabulary_once(vocabulary: dict[str, Path]) -> None:
    cascade = two_stages("glide", *files(vocabulary, "stages.base."))
    assert cascade(["a cat"]).shape == (1, 3, 32, 32)
    encoders = [stage.text_encoder for stage in cascade.stages.values()]
    for encoder in encoders:
        assert isinstance(encoder, TransformerTextEncoder)
        assert isinstance(encoder.tokenizer, BpeTokenizer)
        assert encoder.tokenizer.encode("a") == [BYTES.index(ord("a"))]


def test_the_cascade_of_glide_inpaints(vocabulary: dict[str, Path]) -> None:
    cascade = two_stages("glide-inpaint", *files(vocabulary, "stages.base."))
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :16] = 1
    made = cascade(["a cat"], image=image, mask=mask)
    assert torch.equal(made[..., :16], image[..., :16])


@pytest.mark.parametrize("preset", ["adm-64", "adm-128", "adm-256", "adm-512"])
def test_an_adm_preset_takes_labels_and_refuses_those_that_do_not_exist(preset: str) -> None:
    pipeline = single(preset, 16)
    assert isinstance(pipeline.codec, TruncatingCodec)
    assert pipeline(["", ""], labels=[0, 999]).shape == (2, 3, 16, 16)
    with pytest.raises(PartError, match=r"label 1000 is out of range: .* classes 0 to 999"):
        pipeline([""], labels=[1000])
    with pytest.raises(PartError, match="num_classes needs labels"):
        pipeline([""])


def test_the_unconditional_adm_preset_takes_no_labels() -> None:
    pipeline = single("adm-256-uncond", 16)
    assert pipeline([""]).shape == (1, 3, 16, 16)
    with pytest.raises(PartError, match="this pipeline reads any: it knows no classes"):
        pipeline([""], labels=[0])


@pytest.mark.parametrize("preset", ["adm-64-256", "adm-128-512"])
def test_an_adm_upsampler_takes_an_image_and_its_label(preset: str) -> None:
    pipeline = single(preset, 32)
    low_res = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert pipeline([""], labels=[7], low_res=low_res).shape == (1, 3, 32, 32)
    with pytest.raises(PartError, match="needs low_res"):
        pipeline([""], labels=[7])


@pytest.mark.parametrize("preset", ["adm-u-256", "adm-u-512"])
def test_the_cascades_of_adm_take_a_label_for_both_stages(preset: str) -> None:
    cascade = two_stages(preset)
    assert cascade([""], labels=[7]).shape == (1, 3, 32, 32)
    with pytest.raises(PartError, match="label 1000 is out of range"):
        cascade([""], labels=[1000])


def test_adm_cuts_fractions_off_where_glide_rounds() -> None:
    codec = TruncatingCodec()
    levels = torch.arange(256, dtype=torch.float64)
    x = ((levels + 0.75) / 127.5 - 1).reshape(1, 1, 16, 16)
    assert torch.equal(codec.decode(x).flatten(), levels.to(torch.uint8))
    assert codec.decode(torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


def single(preset: str, size: int, *overrides: str) -> Pipeline:
    pipeline = assemble(preset, [*small(preset, size), *overrides])
    assert isinstance(pipeline, Pipeline)
    return pipeline


def two_stages(preset: str, *overrides: str) -> Cascade:
    of_stages = [
        f"stages.{name}.{override}"
        for name, size in (("base", 16), ("upsample", 32))
        for override in small(preset, size)
    ]
    cascade = assemble(preset, [*of_stages, *overrides])
    assert isinstance(cascade, Cascade)
    return cascade


def small(preset: str, size: int) -> list[str]:
    texts = (*SMALL, *SMALL_TEXT) if preset.startswith("glide") else SMALL
    return [text.format(size=size, half=size // 2) for text in texts]


def files(vocabulary: dict[str, Path], stage: str = "") -> list[str]:
    return [f"{stage}text_encoder.tokenizer.{name}={path}" for name, path in vocabulary.items()]
