"""Colours of pictures, in specs, in training and in sampling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from glidepath.core import PartError
from glidepath.registry import SpecError, assemble, load_catalogue, main, make_plan, read_spec
from glidepath_palette.palette import palettes

EXAMPLE = Path(__file__).parents[1] / "example.yaml"
SMALL = [
    "text_encoder={width: 32, layers: 1, heads: 2, pooled_width: 128}",
    "denoiser.denoiser={channels: 32, channel_mult: [1], attention_resolutions: [32], head_channels: 16}",
    "sampler={use: ddim, steps: 3}",
    "guidance=[{use: classifier-free, scale: 2}]",
]
TRAIN = [
    *("train.steps=12", "train.batch=4", "train.warmup_steps=1", "train.checkpoint_every=12"),
    *("train.learning_rate=0.01", "train.ema=0", "train.log_every=4"),
]


def test_the_pixels_of_a_small_picture_are_its_palette() -> None:
    picture = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8).T[None, :, None]
    palette = palettes(picture)
    assert palette.colours[0, :3].tolist() == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert palette.mask.tolist() == [[True, True, True, False, False]]


def test_the_flat_colours_of_a_large_picture_are_found_the_largest_first() -> None:
    picture = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    picture[:, 0, 0, :3] = 255
    picture[:, 2, 4:, :2] = 255
    palette = palettes(picture, 3)
    assert palette.colours[0, :3].tolist() == [[-1, -1, -1], [-1, -1, 1], [1, -1, -1]]


def test_the_example_is_a_spec_and_its_parts_need_each_other() -> None:
    catalogue = load_catalogue()
    make_plan(read_spec(str(EXAMPLE), SMALL, catalogue=catalogue), catalogue)
    with pytest.raises(SpecError, match=r"needs condition\.palette, and no part provides it"):
        make_plan(read_spec(str(EXAMPLE), ["conditioners=null"], catalogue=catalogue), catalogue)
    unread = "denoiser={use: adm-unet, image_size: 32, text_width: 32, channels: 32, head_channels: 16}"
    with pytest.raises(SpecError, match=r"needs reads\.palette, and no part provides it"):
        make_plan(read_spec(str(EXAMPLE), [*SMALL, unread], catalogue=catalogue), catalogue)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a few steps of training left, and red.png and blue.png."""
    folder = tmp_path_factory.mktemp("palette")
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (3, 1), colour).save(folder / f"{name}.png")
    settings = [argument for change in (*SMALL, *TRAIN) for argument in ("--set", change)]
    assert main(["train", str(EXAMPLE), "--out", str(folder / "run"), *settings]) == 0
    return folder


def test_it_is_trained_on_palettes_and_drawn_with_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    log = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 12
    pixels = {}
    for name in ("red", "blue"):
        arguments = ["--spec", "run/spec.yaml", "--out", "x.png", "--input", f"palette={name}.png"]
        assert main(["sample", "a star", *arguments]) == 0
        pixels[name] = Image.open("x.png").tobytes()
    assert pixels["red"] != pixels["blue"]
    assert main(["replay", "x.png"]) == 0


def test_a_palette_is_dropped_with_the_caption_for_guidance(folder: Path) -> None:
    """At scale 0 neither is heard."""
    pipeline = assemble(folder / "run/spec.yaml", ["guidance=[{use: classifier-free, scale: 0}]"])
    pictures = [torch.full((1, 3, 1, 3), value, dtype=torch.uint8) for value in (0, 255)]
    one, other = (pipeline(["a star"], palette=picture) for picture in pictures)
    assert torch.equal(one, other)
    heard = assemble(folder / "run/spec.yaml", ["guidance=[]"])
    assert not torch.equal(*(heard(["a star"], palette=picture) for picture in pictures))


def test_without_a_picture_a_palette_of_none_stands_for_it(folder: Path) -> None:
    pipeline = assemble(folder / "run/spec.yaml")
    assert pipeline(["a star"]).shape == (1, 3, 32, 32)
    with pytest.raises(PartError, match=r"palette is .* uint8"):
        pipeline(["a star"], palette=torch.zeros(1, 3, 1, 3))
