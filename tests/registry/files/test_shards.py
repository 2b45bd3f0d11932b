"""Weights in folders and in several files: which are meant, and what is said where that is not clear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glidepath.registry.files.mapped import Pages
from glidepath.registry.files.shards import choose_weights, read_together, weight_files
from glidepath.registry.files.tensor_file import WeightsError

DIFFUSERS = [
    "config.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.non_ema.safetensors",
    "diffusion_pytorch_model.safetensors",
]
SHARDED = [
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.fp16-00001-of-00001.safetensors",
    "model.safetensors.index.json",
    "model.safetensors.index.fp16.json",
]


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        (DIFFUSERS, "", "diffusion_pytorch_model.safetensors"),
        (DIFFUSERS, "fp16", "diffusion_pytorch_model.fp16.safetensors"),
        (SHARDED, "", "model.safetensors.index.json"),
        (SHARDED, "fp16", "model.safetensors.index.fp16.json"),
        (["w.fp16.safetensors.index.json", "w.safetensors"], "fp16", "w.fp16.safetensors.index.json"),
        ([*SHARDED, "model.safetensors"], "", "model.safetensors"),
        (["pytorch_model.bin", "tokenizer.json"], "", "pytorch_model.bin"),
        (["model.onnx", "openvino_model.bin", "model.safetensors"], "", "model.safetensors"),
    ],
)
def test_the_one_checkpoint_of_a_folder_is_meant(names: list[str], variant: str, chosen: str) -> None:
    assert choose_weights(names, variant, "unet") == chosen


@pytest.mark.parametrize(
    ("names", "variant", "said"),
    [
        (["config.json"], "", "unet has no file of weights"),
        (["a.safetensors", "b.safetensors"], "", r"several files of weights: a\.safetensors, b\.safetensors"),
        (["a.fp16.safetensors"], "", r"it has those of the variant fp16: \{path: \.\.\., variant: \.\.\.\}"),
        (["a.safetensors"], "fp16", "unet has no file of weights of the variant 'fp16'"),
        (["a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors"], "", "has no file of weights"),
    ],
)
def test_what_is_not_clear_is_asked(names: list[str], variant: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        choose_weights(names, variant, "unet")


def write_shards(folder: Path) -> Path:
    """An index of two files, in a folder that it makes."""
    folder.mkdir()
    weight_map = {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}
    for number, (name, file) in enumerate(weight_map.items()):
        save_file({name: torch.full((3,), float(number))}, folder / file)
    index = folder / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": weight_map}))
    return index


def test_a_folder_and_its_index_are_the_same_files(tmp_path: Path) -> None:
    index = write_shards(tmp_path / "unet")
    files = weight_files(index)
    assert weight_files(tmp_path / "unet") == files
    assert {file.name: set(names) for file, names in files.items()} == {
        "m-00001-of-00002.safetensors": {"a"},
        "m-00002-of-00002.safetensors": {"b"},
    }
    tensors = read_together(files)
    assert torch.equal(tensors["b"], torch.ones(3))
    assert tensors.keys() == {"a", "b"}


def test_a_shard_that_lacks_what_its_index_names_is_refused(tmp_path: Path) -> None:
    index = write_shards(tmp_path / "unet")
    save_file({"c": torch.ones(1)}, index.with_name("m-00002-of-00002.safetensors"))
    with pytest.raises(WeightsError, match=r"m-00002-of-00002\.safetensors lacks what its index names: b"):
        read_together(weight_files(index))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int8, torch.bool, torch.float8_e5m2])
def test_mapped_tensors_are_those_of_the_file_after_their_memory_was_given_back(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    values = {"x": (torch.arange(24) % 2).view(2, 3, 4).to(dtype), "odd": torch.ones(3, dtype=torch.uint8)}
    values |= {"none": torch.empty(0, 2, dtype=dtype), "one": torch.tensor(1).to(dtype)}
    save_file(values, tmp_path / "w.safetensors")
    pages = Pages()
    tensors = read_together(weight_files(tmp_path / "w.safetensors"), pages)
    for _ in range(2):
        for name, value in values.items():
            assert tensors[name].dtype == value.dtype
            assert tensors[name].shape == value.shape
            assert torch.equal(tensors[name].to(torch.float64), value.to(torch.float64))
        pages.give_back()
