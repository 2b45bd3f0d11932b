"""Pictures as prompts give the latents that they give in diffusers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from glidepath.core import PartError, Pipeline

from .equality import assert_equal, first_noise, latents_of, ours, theirs
from .test_steering import hole, picture, pil

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
transformers = pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]
Pieces = dict[str, dict[str, Tensor]]
HIDDEN = 32  # of the image encoder; its projection is 24 wide


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 5


def plain(width: int) -> dict[str, Tensor]:
    """What makes four tokens of a projected vector."""
    return {
        "proj.weight": random(1, 4 * width, 24),
        "proj.bias": random(2, 4 * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }


def plus(width: int) -> dict[str, Tensor]:
    """A resampler: two tokens ask the vectors of the image, in four layers."""
    inner = 64
    linear = {"proj_in": (inner, HIDDEN), "proj_out": (width, inner)}
    norms = {"norm_out": width}
    for layer in (f"layers.{index}" for index in range(4)):
        linear |= {
            f"{layer}.0.to_q": (64, inner),
            f"{layer}.0.to_kv": (128, inner),
            f"{layer}.0.to_out": (inner, 64),
            f"{layer}.1.1": (4 * inner, inner),
            f"{layer}.1.3": (inner, 4 * inner),
        }
        norms |= {f"{layer}.{name}": inner for name in ("0.norm1", "0.norm2", "1.0")}
    made = {f"{name}.weight": random(index, *shape) for index, (name, shape) in enumerate(linear.items())}
    made |= {f"{name}.bias": random(9, shape[0]) for name, shape in linear.items() if name[:4] == "proj"}
    made |= {f"{name}.weight": torch.ones(size) for name, size in norms.items()}
    made |= {f"{name}.bias": torch.zeros(size) for name, size in norms.items()}
    return {"latents": random(8, 1, 2, inner), **made}


def adapter(unet: Any, kind: Callable[[int], dict[str, Tensor]], seed: int) -> Pieces:
    """An IP-adapter of a UNet, as its file has it."""
    width, attention = unet.config.cross_attention_dim, {}
    names = [name for name in unet.attn_processors if "attn2" in name]
    for number, name in enumerate(names):
        out = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        for key in ("to_k_ip", "to_v_ip"):
            attention[f"{2 * number + 1}.{key}.weight"] = random(seed + number, out, width)
    return {"image_proj": kind(width), "ip_adapter": attention}


def write(file: Path, pieces: Pieces) -> None:
    save_file({f"{name}.{key}": one for name, piece in pieces.items() for key, one in piece.items()}, file)


def prompt(encoder: Path, name: str, hidden: bool) -> dict[str, Any]:
    return {
        "use": "image-prompt",
        "name": name,
        "hidden": hidden,
        "config": str(encoder / "config.json"),
        "weights": str(encoder),
        "processor": str(encoder / "preprocessor_config.json"),
    }


def with_adapters(folder: Path, encoder: Path, files: Sequence[Path], kinds: Sequence[Any]) -> Pipeline:
    """The folder's pipeline with IP-adapters of the scales 0.6, 0.4."""
    names = ["image_prompt", "style"][: len(files)]
    return ours(
        folder,
        denoiser={"arguments": {"added_cond_kwargs.image_embeds": names}},
        conditioners=[
            *([{"use": "size-ids"}] if (folder / "text_encoder_2").exists() else []),
            *(prompt(encoder, name, kind is not plain) for name, kind in zip(names, kinds, strict=True)),
        ],
        adapters=[
            {"use": "ip-adapter", "weights": str(file), "scale": scale}
            for file, scale in zip(files, [0.6, 0.4], strict=False)
        ],
    )


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("sd15", [plain]),
        ("sd15", [plus]),
        ("sdxl", [plain]),
        ("sdxl", [plus]),
        ("sd15", [plus, plain]),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(kind.__name__ for kind in value),
)
def test_ip_adapters_attend_to_pictures(model: str, kinds: list[Any], saved: Saved, tmp_path: Path) -> None:
    folder, encoder, reference = saved(model), saved("image_encoder"), theirs(saved(model))
    made = [adapter(reference.unet, kind, 10 * index) for index, kind in enumerate(kinds)]
    files = [tmp_path / f"{index}.safetensors" for index in range(len(made))]
    for file, pieces in zip(files, made, strict=True):
        write(file, pieces)
    pipeline = with_adapters(folder, encoder, files, kinds)
    noise = first_noise(pipeline)
    before = latents_of(reference, noise)
    reference.unet._load_ip_adapter_weights(made)
    reference.set_ip_adapter_scale([0.6, 0.4][: len(made)])
    reference.register_modules(
        image_encoder=transformers.CLIPVisionModelWithProjection.from_pretrained(encoder),
        feature_extractor=transformers.CLIPImageProcessor.from_pretrained(encoder),
    )
    pictures = [picture(1), picture(2)][: len(made)]
    expected = latents_of(reference, noise, ip_adapter_image=[pil(one) for one in pictures])
    given = dict(zip(["image_prompt", "style"], pictures, strict=False))
    assert_equal(pipeline, noise, expected, inputs=given)
    assert (expected - before).abs().max() > 0.1


def test_a_mask_says_where_a_picture_has_its_say(saved: Saved, tmp_path: Path) -> None:
    folder, encoder, reference = saved("sd15"), saved("image_encoder"), theirs(saved("sd15"))
    made = adapter(reference.unet, plain, 0)
    write(tmp_path / "adapter.safetensors", made)
    pipeline = ours(
        folder,
        denoiser={
            "arguments": {
                "added_cond_kwargs.image_embeds": ["image_prompt"],
                "cross_attention_kwargs.ip_adapter_masks": ["image_prompt_mask"],
            }
        },
        conditioners=[prompt(encoder, "image_prompt", False), {"use": "prompt-mask"}],
        adapters=[{"use": "ip-adapter", "weights": str(tmp_path / "adapter.safetensors")}],
    )
    noise, mask = first_noise(pipeline), hole(0, 16, 0, 6)
    reference.unet._load_ip_adapter_weights([made])
    reference.register_modules(
        image_encoder=transformers.CLIPVisionModelWithProjection.from_pretrained(encoder),
        feature_extractor=transformers.CLIPImageProcessor.from_pretrained(encoder),
    )
    given = {"ip_adapter_image": pil(picture(1))}
    processed = diffusers.image_processor.IPAdapterMaskProcessor().preprocess(
        [pil(mask).convert("L")], height=16, width=16
    )
    masks = {"ip_adapter_masks": [processed.reshape(1, 1, 16, 16)]}
    expected = latents_of(reference, noise, **given, cross_attention_kwargs=masks)
    assert_equal(pipeline, noise, expected, image_prompt=picture(1), image_prompt_mask=mask)
    assert (expected - latents_of(reference, noise, **given)).abs().max() > 0.1


@pytest.mark.parametrize("change", ["another width", "a tensor less"])
def test_a_file_that_does_not_fit_the_unet_is_refused(change: str, saved: Saved, tmp_path: Path) -> None:
    unet = theirs(saved("sdxl" if change == "another width" else "sd15")).unet
    pieces = adapter(unet, plain, 0)
    if change == "a tensor less":
        del pieces["image_proj"]["norm.bias"]
    write(tmp_path / "other.safetensors", pieces)
    with pytest.raises(PartError, match="the file of the IP-adapter does not fit this UNet"):
        with_adapters(saved("sd15"), saved("image_encoder"), [tmp_path / "other.safetensors"], [plain])
