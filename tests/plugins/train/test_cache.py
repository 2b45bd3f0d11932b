"""`glidepath cache`, and training from what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.plugins.train.tiny import PARTS
from torch import Tensor

from glidepath.core import Codec, PartError
from glidepath.plugins.train.cache.cached import CachedLatents, store_of
from glidepath.plugins.train.cache.store import CacheError, Store
from glidepath.registry.cli import main

SPEC = (
    PARTS.replace("learned_variance: false", "learned_variance: false\n  CHANNELS")
    + """\
data:
  use: captioned-folder
  folder: images
  size: 8
  transforms: [{use: flip, words: swap}]
train: {use: diffusion, steps: 4, batch: 4, log_every: 1, text_encoder_rate: 0}
runtime: {device: cpu}
"""
)


class Drawing(Codec):
    """Means and deviations of pixels, at half the size; counts what it encodes."""

    channels, factor = 3, 2

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        self.encoded += len(images)
        pooled = torch.nn.functional.avg_pool2d(images.float() / 127.5 - 1, 2)
        return 0.7 * pooled if noise is None else 0.7 * (pooled + pooled.abs() * noise)

    def decode(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randint(
        256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


CPU = torch.device("cpu")


def test_latents_are_those_of_the_codec_drawn_with_the_same_noise(tmp_path: Path) -> None:
    codec, writing = Drawing(), Store(tmp_path)
    CachedLatents(writing, codec).add(images(6), CPU)
    writing.flush()
    cache, noise = CachedLatents(Store(tmp_path), codec), torch.randn(6, 3, 4, 4)
    codec.encoded = 0
    drawn, mode = cache.encode(images(6), noise, CPU), cache.encode(images(6), None, CPU)
    assert codec.encoded == 0
    assert torch.allclose(drawn, codec.encode(images(6), noise), atol=1e-6)
    assert torch.equal(mode, codec.encode(images(6)))
    # of an image that is not there, the codec is asked
    codec.encoded, both = 0, torch.cat([images(2, seed=9), images(6)[3:5]])
    mixed = cache.encode(both, noise[:4], CPU)
    assert codec.encoded == 2
    assert torch.allclose(mixed, codec.encode(both, noise[:4]), atol=1e-6)


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    codec, store = Drawing(), Store(tmp_path)
    CachedLatents(store, codec).add(images(4), CPU)
    store.flush()
    codec.encoded, again = 0, Store(tmp_path)
    CachedLatents(again, codec).add(torch.cat([images(4), images(3, seed=1)]), CPU)
    again.flush()
    assert codec.encoded == 2 * 3
    assert len(Store(tmp_path)) == 7


def test_a_codec_that_draws_otherwise_is_refused(tmp_path: Path) -> None:
    class Square(Drawing):
        def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
            return super().encode(images, None if noise is None else noise.square())

    with pytest.raises(PartError, match="does not draw a mean and a deviation"):
        CachedLatents(Store(tmp_path), Square()).add(images(4), CPU)


def test_rows_are_found_by_their_keys_whatever_their_shapes(tmp_path: Path) -> None:
    keys = [bytes([0, 0, 0, 0, 0, 0, 0, 1, *[index] * 24]) for index in range(200)]  # that begin alike
    for part in (keys[::2], keys[1::2]):
        store = Store(tmp_path)
        for key in part:
            store.add(key, {"a": torch.full((key[8] % 3 + 1,), float(key[8]))})
        store.flush()
    store = Store(tmp_path)
    assert len(store) == 200
    for index, key in enumerate(keys):
        row = store.row(key)
        assert row is not None
        assert row["a"].tolist() == [float(index)] * (index % 3 + 1)
    assert store.row(bytes(32)) is None
    assert store.row(bytes([255] * 32)) is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(CacheError, match=r"a\.safetensors cannot be read .*delete it, and cache again"):
        Store(tmp_path)
    (tmp_path / "latents-0").mkdir()
    with pytest.raises(CacheError, match="of latents it has 1 of other parts or weights: make it with"):
        store_of(tmp_path, "latents", "1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec and its images, in the current folder."""
    (tmp_path / "images").mkdir()
    for index, caption in enumerate(["red", "green left", "right", "red green"]):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
        (tmp_path / "images" / f"{index}.txt").write_text(caption)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(SPEC.replace("CHANNELS", ""))
    return tmp_path


def losses(run: str) -> list[float]:
    lines = [json.loads(line) for line in Path(run, "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.thorough
def test_training_from_cached_texts_is_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeded = ["--set", "train.seed=3"]
    assert main(["cache", "my.yaml", *seeded]) == 0
    said = capsys.readouterr()
    # captions, those of mirrored pictures, and that of none
    assert "7 texts, 7 of them new" in said.out
    assert "not cached: latents: the codec is of pixels" in said.err
    assert main(["cache", "my.yaml", *seeded]) == 0
    assert "7 texts, 0 of them new" in capsys.readouterr().out
    assert main(["train", "my.yaml", *seeded, "--out", "without"]) == 0
    assert main(["train", "my.yaml", *seeded, "--set", "train.cache=cache", "--out", "with"]) == 0
    assert losses("with") == pytest.approx(losses("without"), abs=1e-5)
    one, other = (load_file(f"{run}/weights.safetensors") for run in ("with", "without"))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in other)
    assert not all(torch.equal(one[name], load_file("without/weights.safetensors")[name] * 0) for name in one)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change",
    [
        "train.seed=4",
        "text_encoder.layers=2",
        "text_encoder.tokenizer.vocabulary=[red,green,left,right,blue]",
    ],
)
def test_a_cache_of_other_weights_or_parameters_is_not_read(
    change: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "my.yaml"]) == 0
    assert main(["train", "my.yaml", "--set", "train.cache=cache", "--set", change]) != 0
    said = capsys.readouterr().err
    assert "holds no cache of the texts of this spec; of texts it has 1 of other parts or weights" in said


@pytest.mark.thorough
def test_what_has_no_end_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "my.yaml", "--set", "data.part_dropout=0.5"]) != 0
    said = capsys.readouterr().err
    assert "there is nothing to cache" in said
    assert "texts: part_dropout leaves out parts of captions" in said


def dataset_of(**changes: Any) -> Any:
    from glidepath.plugins.train.data.configs import CaptionedFolderConfig, CropConfig, FlipConfig
    from glidepath.plugins.train.data.folder import CaptionedFolder
    from glidepath.plugins.train.data.transform import Crop, Flip

    config = CaptionedFolderConfig(folder=Path("images"), size=8, **changes)
    return (
        CaptionedFolder(config, [Flip(FlipConfig(words="swap"))]),
        CaptionedFolder(config, [Crop(CropConfig())]),
    )


def test_everything_that_a_batch_may_hold_is_listed(folder: Path) -> None:
    flipping, cropping = dataset_of(templates=("{caption}", "so {caption}"))
    seen, said = [], set()
    for step in range(60):
        batch, captions = flipping.batch(0, step, 4)
        seen += [image.numpy().tobytes() for image in batch]
        said |= {*captions}
    assert {image.numpy().tobytes() for image in flipping.outcomes()} == {*seen}
    assert {*flipping.texts()} == said
    with pytest.raises(PartError, match="Crop draws without end"):
        next(iter(cropping.outcomes()))
    plain = {*dataset_of()[1].texts()}
    assert plain == {"red", "green left", "right", "red green"}
    assert {*cropping.texts()} == plain | {f"so {text}" for text in plain}
