"""A folder, or a single file, under the names of older versions gives what it gives under those of today."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core import Pipeline
from glidepath.registry import assemble
from glidepath.registry.cli import main

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

from . import originals  # noqa: E402

Saved = Callable[[str], Path]
Tensors = Mapping[str, Tensor]
ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
PROMPTS = ["a red star over the sea", "a castle"]


def of_attention(tensors: Tensors) -> dict[str, Tensor]:
    """An autoencoder, or a UNet of pixels, as diffusers wrote it up to 0.13."""

    def old(name: str) -> str:
        found = re.fullmatch(r"(.*attentions\.\d+)\.(to_[qkv]|to_out\.0)\.(\w+)", name)
        return f"{found[1]}.{ATTENTION[found[2]]}.{found[3]}" if found else name

    return {old(name): tensor for name, tensor in tensors.items()}


def bare_clip(tensors: Tensors) -> dict[str, Tensor]:
    """A CLIP without `text_model.`, with its positions."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    return {**bare, "embeddings.position_ids": torch.arange(77)[None]}


def tied_twice(tensors: Tensors) -> dict[str, Tensor]:
    """A T5 whose embedding stands under both of its names."""
    return {**tensors, "encoder.embed_tokens.weight": tensors["shared.weight"]}


def tied_below(tensors: Tensors) -> dict[str, Tensor]:
    """A T5 whose embedding stands under the other of its names."""
    return {
        "encoder.embed_tokens.weight" if name == "shared.weight" else name: tensor
        for name, tensor in tensors.items()
    }


def with_decoder(tensors: Tensors) -> dict[str, Tensor]:
    """A whole T5, decoder and head included."""
    more = {
        "decoder.embed_tokens.weight": tensors["shared.weight"],
        "decoder.final_layer_norm.weight": torch.ones(48),
        "lm_head.weight": tensors["shared.weight"],
    }
    return {**tensors, **more}


Renamed = Mapping[str, Callable[[Tensors], dict[str, Tensor]]]
OLD: Mapping[str, tuple[str, Renamed]] = {
    "Stable Diffusion": ("sd15", {"text_encoder": originals.with_text_model, "vae": of_attention}),
    "Stable Diffusion, bare": ("sd15", {"text_encoder": bare_clip}),
    "SDXL": (
        "sdxl",
        {
            "text_encoder": originals.with_text_model,
            "text_encoder_2": originals.with_text_model,
            "vae": of_attention,
        },
    ),
    "T5, tied twice": ("pixart", {"text_encoder": tied_twice, "vae": of_attention}),
    "T5, tied below": ("pixart", {"text_encoder": tied_below}),
    "T5, whole": ("pixart", {"text_encoder": with_decoder}),
    "a UNet of pixels": ("pixels", {"unet": of_attention}),
}


def imported(model: Path, out: Path, *more: str) -> Pipeline:
    """The pipeline of the spec that `import` writes."""
    assert main(["import", str(model), "--out", str(out), "--steps", "2", *more]) == 0
    built = assemble(out)
    assert isinstance(built, Pipeline)
    return built


def assert_same(pipeline: Pipeline, other: Pipeline) -> None:
    """Both make the same latents, and the same images of them, bit for bit."""
    *_, last = pipeline.states(PROMPTS, seed=3)
    *_, expected = other.states(PROMPTS, seed=3)
    assert torch.equal(last.x, expected.x)
    assert torch.equal(pipeline.images(last), other.images(expected))


@pytest.mark.parametrize("name", OLD)
def test_a_folder_under_older_names(name: str, saved: Saved, tmp_path: Path) -> None:
    model, parts = OLD[name]
    shutil.copytree(saved(model), tmp_path / "old")
    for part, rename in parts.items():
        (file,) = (tmp_path / "old" / part).glob("*.safetensors")
        tensors = load_file(file)
        renamed = rename(tensors)
        assert renamed.keys() != tensors.keys()
        originals.write(file, renamed)
    old = imported(tmp_path / "old", tmp_path / "old.yaml")
    assert_same(old, imported(saved(model), tmp_path / "new.yaml"))


def clip_by_itself(tensors: Tensors) -> dict[str, Tensor]:
    """The CLIP of a file without `text_model.`, as some merged models have it."""
    return {name.replace(".transformer.text_model.", ".transformer."): it for name, it in tensors.items()}


def other_tie(tensors: Tensors) -> dict[str, Tensor]:
    """The embedding of T5 under its other name."""
    old, new = ("text_encoders.t5xxl.transformer." + it for it in ("shared.", "encoder.embed_tokens."))
    return {name.replace(old, new): it for name, it in tensors.items()}


SINGLE: Mapping[str, tuple[str, Callable[[Path], Tensors], Callable[[Tensors], Tensors]]] = {
    "Stable Diffusion": ("sd15", originals.stable_diffusion, clip_by_itself),
    "SDXL": ("sdxl_of_two_widths", originals.stable_diffusion_xl, clip_by_itself),
    "SD 3": ("sd35", originals.stable_diffusion_3, other_tie),
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_file_under_older_names(name: str, saved: Saved, tmp_path: Path) -> None:
    model, whole, rename = SINGLE[name]
    config = originals.without_weights(saved(model), tmp_path / "config")
    tensors = whole(saved(model))
    built = []
    for which, of in {"new": tensors, "old": rename(tensors)}.items():
        file = originals.write(tmp_path / f"{which}.safetensors", of)
        built.append(imported(file, tmp_path / f"{which}.yaml", "--config", str(config)))
    assert rename(tensors).keys() != tensors.keys()
    assert_same(*built)


def test_diffusers_reads_the_same_of_such_a_folder(saved: Saved, tmp_path: Path) -> None:
    """So that these names are those that older versions had."""
    for model, part, kind in (("sd15", "vae", "AutoencoderKL"), ("pixels", "unet", "UNet2DModel")):
        folder = tmp_path / model
        shutil.copytree(saved(model) / part, folder)
        (file,) = folder.glob("*.safetensors")
        originals.write(file, of_attention(load_file(file)))
        read: Any = getattr(diffusers, kind).from_pretrained(folder)
        expected = getattr(diffusers, kind).from_pretrained(saved(model) / part).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in read.state_dict().items())
