"""The CLIP models of open_clip.

What this project does with the package is tested on a small stand-in for it; the package itself is tried with
a small model where it is installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from glidepath.core.errors import PartError
from glidepath.plugins.clip.configs import OpenClipConfig
from glidepath.plugins.clip.openclip import OpenClip
from glidepath.registry.assembly.weights import load_into, read

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


class Standin(nn.Module):
    """A model with open_clip's methods: images are embedded as mean colours, texts as one-hot vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.logit_scale = nn.Parameter(torch.tensor([4.0]))

    def encode_text(self, ids: Tensor, normalize: bool) -> Tensor:
        assert normalize
        return nn.functional.one_hot(ids[:, 0], 3).float()

    def encode_image(self, pixels: Tensor, normalize: bool) -> Tensor:
        assert normalize
        return self.gain * pixels.mean((2, 3))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the package, which notes what it was asked to make."""
    stub: Any = ModuleType("open_clip")
    stub.made = []
    stub.size = (8, 8)

    def create_model(name: str, pretrained: str | None, device: str) -> Standin:
        stub.made.append((name, pretrained, device))
        if pretrained == "nonsense":
            raise RuntimeError("not a known tag")
        return Standin()

    configs = {
        "small": {"text_cfg": {}},
        "foreign": {"text_cfg": {"hf_tokenizer_name": "someone/words"}},
    }
    stub.create_model = create_model
    stub.get_model_config = configs.get
    stub.get_tokenizer = lambda _name: lambda prompts: torch.tensor([[len(prompt) % 3] for prompt in prompts])
    stub.get_model_preprocess_cfg = lambda _model: {"size": stub.size, "mean": MEAN, "std": STD}
    monkeypatch.setitem(sys.modules, "open_clip", stub)
    return stub


def small(**config: Any) -> OpenClip:
    return OpenClip(OpenClipConfig(model="small", **config))


def test_images_are_normalised_as_the_model_was_trained(package: Any) -> None:
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    mean, deviation = (torch.tensor(it).reshape(3, 1, 1) for it in (MEAN, STD))
    expected = (((x + 1) / 2 - mean) / deviation).mean((2, 3))
    torch.testing.assert_close(small().embed_images(x), expected)


def test_texts_go_through_the_models_own_tokenizer(package: Any) -> None:
    texts = small().embed_texts(["a", "to"])
    assert texts.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_the_scale_is_the_models_as_a_single_number(package: Any) -> None:
    scale = small().logit_scale
    assert scale.shape == ()
    torch.testing.assert_close(scale, torch.tensor(4.0).exp())


def test_it_reads_clean_images_of_its_own_size(package: Any) -> None:
    clip = small()
    assert (clip.noised, clip.image_size) == (False, 8)
    with pytest.raises(PartError, match="without noise, and a timestep was given"):
        clip.embed_images(torch.zeros(1, 3, 8, 8), torch.tensor([3]))
    with pytest.raises(PartError, match=r"reads images \[B, 3, 8, 8\]"):
        clip.embed_images(torch.zeros(1, 3, 4, 4))
    package.size = (8, 6)
    with pytest.raises(PartError, match="no squares"):
        small()


def test_nothing_is_downloaded_unless_a_tag_is_named(package: Any, tmp_path: Path) -> None:
    file = tmp_path / "clip.pt"
    file.touch()
    small()
    small(pretrained="openai")
    small(checkpoint=file)
    assert [pretrained for _, pretrained, _ in package.made] == [None, "openai", str(file)]
    with pytest.raises(PartError, match=r"fetches its tokenizer .someone/words. from the hub"):
        OpenClip(OpenClipConfig(model="foreign"))
    OpenClip(OpenClipConfig(model="foreign", pretrained="tag"))


def test_while_a_plan_is_measured_no_weights_are_read(package: Any) -> None:
    with torch.device("meta"):
        small(pretrained="openai")
    assert package.made == [("small", None, "meta")]


def test_open_clips_own_files_are_its_weights(package: Any, tmp_path: Path) -> None:
    file = tmp_path / "open_clip_model.safetensors"
    save_file({"gain": torch.full((3,), 2.0), "logit_scale": torch.tensor([1.0])}, file)
    clip = small()
    load_into(clip, read(file), part="guidance[0].clip", file=file)
    assert set(clip.state_dict()) == {"gain", "logit_scale"}
    torch.testing.assert_close(clip.logit_scale, torch.tensor(1.0).exp())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OpenClipConfig(model="large"), "open_clip has no 'large'"),
        (OpenClipConfig(model="small", pretrained="nonsense"), "with the weights nonsense: not a known tag"),
        (OpenClipConfig(model="small", checkpoint=Path("/no/such/file.pt")), "there is no file"),
        (OpenClipConfig(model="small", checkpoint=Path("a"), pretrained="b"), "leave one out"),
    ],
)
def test_what_open_clip_does_not_have_is_refused(package: Any, config: OpenClipConfig, message: str) -> None:
    with pytest.raises(PartError, match=message):
        OpenClip(config)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(PartError, match=r"pip install 'glidepath\[clip\]'"):
        small()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package, with a small model called glidepath-small."""
    try:
        import open_clip
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision is of another version than torch
        pytest.skip(f"open_clip cannot be imported: {error}")
    folder = tmp_path_factory.mktemp("models")
    settings = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "glidepath-small.json").write_text(json.dumps(settings))
    open_clip.add_model_config(folder)
    return open_clip


def test_a_model_of_the_package_embeds_as_it_does_itself(real: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = real.create_model("glidepath-small").eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = OpenClipConfig(model="glidepath-small", checkpoint=tmp_path / "model.safetensors")
    clip = OpenClip(config).eval()
    images = torch.rand(2, 3, 32, 32)
    about = real.get_model_preprocess_cfg(model)
    mean, deviation = (torch.tensor(about[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    prompts = ["a red circle", "two blue squares"]
    with torch.no_grad():
        expected_images = model.encode_image((images - mean) / deviation, normalize=True)
        expected_texts = model.encode_text(real.get_tokenizer("glidepath-small")(prompts), normalize=True)
        torch.testing.assert_close(clip.embed_images(2 * images - 1), expected_images)
        torch.testing.assert_close(clip.embed_texts(prompts), expected_texts)
    assert set(clip.state_dict()) == set(model.state_dict())


def test_a_model_of_the_package_is_differentiable_by_the_image(real: Any) -> None:
    clip = OpenClip(OpenClipConfig(model="glidepath-small")).eval().requires_grad_(False)
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    fit = (clip.embed_images(x) * clip.embed_texts(["a red circle"])).sum()
    (slope,) = torch.autograd.grad(fit, x)
    assert slope.any()
