"""The CLIP models of the package transformers, tried with a small one of random weights."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from glidepath.core import PartError
from glidepath.plugins.clip.configs import TransformersClipConfig
from glidepath.plugins.clip.transformers_clip import TransformersClip
from glidepath.registry.assembly.weights import load_module
from glidepath.registry.files.tensor_file import read_tensors

from .tiny import DEVIATION, MEAN, write_clip

PROMPTS = ["a red circle", "two blue squares", "a " * 50]


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="needs the package transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, transformers: Any) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


def clip_of(folder: Path) -> TransformersClip:
    return TransformersClip(TransformersClipConfig(folder=folder)).eval().requires_grad_(False)


def test_a_model_embeds_as_the_package_does(folder: Path, transformers: Any) -> None:
    model = transformers.CLIPModel.from_pretrained(folder)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    images = torch.rand(3, 3, 32, 32)
    mean, deviation = (torch.tensor(colour).reshape(3, 1, 1) for colour in (MEAN, DEVIATION))
    tokens = tokenizer(PROMPTS, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.no_grad():
        expected = model(**tokens, pixel_values=(images - mean) / deviation)
    clip = clip_of(folder)
    torch.testing.assert_close(clip.embed_texts(PROMPTS), expected.text_embeds)
    torch.testing.assert_close(clip.embed_images(2 * images - 1), expected.image_embeds)
    torch.testing.assert_close(clip.logit_scale, model.logit_scale.exp())
    kept, cut = clip.embed_texts([PROMPTS[2], PROMPTS[2] + clip.truncated(PROMPTS[2])])
    torch.testing.assert_close(kept, cut)
    assert clip.truncated(PROMPTS[2]).split() == ["a"] * len(clip.truncated(PROMPTS[2]).split()) != []
    assert clip.truncated(PROMPTS[0]) == ""


def test_the_fit_is_differentiable_by_the_image(folder: Path) -> None:
    clip = clip_of(folder)
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad((clip.embed_images(x) * clip.embed_texts(["a red circle"])).sum(), x)
    assert slope.any()


def test_it_reads_clean_images_of_its_own_size(folder: Path) -> None:
    clip = clip_of(folder)
    assert (clip.noised, clip.image_size) == (False, 32)
    with pytest.raises(PartError, match="without noise, and a timestep was given"):
        clip.embed_images(torch.zeros(1, 3, 32, 32), torch.tensor([3]))
    with pytest.raises(PartError, match=r"reads images \[B, 3, 32, 32\]"):
        clip.embed_images(torch.zeros(1, 3, 16, 16))


def test_without_settings_the_colours_are_those_of_clips_training_images(
    folder: Path, transformers: Any, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "preprocessor_config.json").unlink()
    deviation = torch.tensor(transformers.image_utils.OPENAI_CLIP_STD).reshape(3, 1, 1)
    mean = torch.tensor(transformers.image_utils.OPENAI_CLIP_MEAN).reshape(3, 1, 1)
    torch.testing.assert_close(clip_of(tmp_path).pixel_scale, 0.5 / deviation)
    torch.testing.assert_close(clip_of(tmp_path).pixel_shift, (0.5 - mean) / deviation)


def test_weights_of_the_part_stand_in_place_of_those_of_the_folder(folder: Path, tmp_path: Path) -> None:
    clip = clip_of(folder)
    file = tmp_path / "model.safetensors"
    save_file({**clip.model.state_dict(), "logit_scale": torch.tensor(1.0)}, file)
    load_module(clip, read_tensors(file), part="guidance[0].clip", file=file)
    torch.testing.assert_close(clip.logit_scale, torch.tensor(1.0).exp())


def test_while_a_plan_is_measured_no_weights_are_read(folder: Path) -> None:
    with torch.device("meta"):
        clip = TransformersClip(TransformersClipConfig(folder=folder))
    assert {tensor.device.type for tensor in clip.parameters()} == {"meta"}


def test_a_pickle_is_not_read(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    name = "visual_projection.weight"
    pickled = {**clip_of(folder).model.state_dict(), name: torch.ones(16, 32)}
    (tmp_path / "model.safetensors").unlink()
    torch.save(pickled, tmp_path / "pytorch_model.bin")
    assert not torch.equal(clip_of(tmp_path).model.state_dict()[name], pickled[name])


def test_what_is_no_folder_of_a_clip_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PartError, match="there is no folder openai/clip-vit-base-patch32"):
        clip_of(Path("openai/clip-vit-base-patch32"))
    with pytest.raises(PartError, match=r"has no config\.json"):
        clip_of(tmp_path)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tokenizer.json").rename(tmp_path / "elsewhere")
    with pytest.raises(PartError, match=r"has no tokenizer\.json or vocab\.json"):
        clip_of(tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(PartError, match="transformers cannot read the CLIP"):
        clip_of(tmp_path)
    shutil.copy(folder / "config.json", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(PartError, match=r"preprocessor_config\.json cannot be read"):
        clip_of(tmp_path)


def test_without_the_package_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PartError, match=r"pip install 'glidepath-diffusion\[clip\]'"):
        clip_of(tmp_path)
