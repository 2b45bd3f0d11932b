"""What an image starts from beside its prompt: pictures, masks, classes. And how it is made again."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.registry.tiny import SPEC, run, write_cascade

from glidepath.core.errors import GlidepathError
from glidepath.registry import assemble
from glidepath.registry.records.images import read_manifest, save_png
from glidepath.registry.records.manifest import Manifest
from glidepath.registry.records.pictures import Inputs, Picture, carried_pictures, open_pictures

CLASSES = """\
schedule: cosine
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: [8]
  head_channels: 16
  learned_variance: false
  num_classes: 10
sampler: {use: ddim, steps: 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: specs of each sort, photo.png of 24x16, mask.png with a white right half."""
    monkeypatch.chdir(tmp_path)
    write_cascade(tmp_path)
    upsampler = SPEC.replace("image_size: 8", "image_size: 8\n  upsamples: true")
    (tmp_path / "up.yaml").write_text(upsampler.replace("weights: tiny.safetensors\n", ""))
    (tmp_path / "classes.yaml").write_text(CLASSES)
    photo = Image.effect_noise((24, 16), 90).convert("RGB")
    photo.paste((200, 30, 60), (4, 0, 12, 16))
    photo.save("photo.png")
    mask = Image.new("L", (24, 16), 0)
    mask.paste(255, (12, 0, 24, 16))
    mask.save("mask.png")
    return tmp_path


def sample(*arguments: object, spec: str = "tiny.yaml", out: str = "x.png") -> int:
    return run("sample", "a star", "--spec", spec, "--scale", 1, "--out", out, *arguments)


def pixels(name: str) -> torch.Tensor:
    picture = Image.open(name).convert("RGB")
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return flat.reshape(picture.height, picture.width, 3).permute(2, 0, 1)


def fitted(size: int) -> torch.Tensor:
    """What a model of `size` pixels sees of the photo: its middle square, resized."""
    square = Image.open("photo.png").crop((4, 0, 20, 16)).resize((size, size), Image.Resampling.LANCZOS)
    square.save("square.png")
    return pixels("square.png")


@pytest.mark.thorough
@pytest.mark.parametrize(("spec", "size"), [("tiny.yaml", 8), ("cascade.yaml", 16)])
def test_white_of_a_mask_is_painted_and_black_is_kept(folder: Path, spec: str, size: int) -> None:
    assert sample("--image", "photo.png", "--mask", "mask.png", spec=spec) == 0
    made, given = pixels("x.png"), fitted(size)
    assert torch.equal(made[..., : size // 2], given[..., : size // 2])
    assert not torch.equal(made[..., size // 2 :], given[..., size // 2 :])


def test_strength_is_that_of_the_pipeline(folder: Path) -> None:
    assert sample("--image", "photo.png", "--strength", 0.5, "--seed", 3) == 0
    expected = assemble("tiny.yaml")(["a star"], seed=3, image=fitted(8)[None], strength=0.5)
    assert torch.equal(pixels("x.png"), expected[0])


def test_mask_and_strength_go_together(folder: Path) -> None:
    assert sample("--image", "photo.png", "--mask", "mask.png", "--strength", 0.25) == 0
    assert torch.equal(pixels("x.png")[..., :4], fitted(8)[..., :4])


def test_an_upsampler_by_itself_enlarges_a_picture(folder: Path) -> None:
    Image.open("photo.png").crop((4, 0, 8, 4)).save("small.png")
    assert sample("--low-res", "small.png", spec="up.yaml") == 0
    expected = assemble("up.yaml")(["a star"], low_res=pixels("small.png")[None])
    assert torch.equal(pixels("x.png"), expected[0])


def test_a_label_stands_for_all_prompts_or_one_for_each_or_without_any(folder: Path) -> None:
    classes = ["--spec", "classes.yaml", "--scale", 1, "--out", "x.png"]
    made = assemble("classes.yaml")
    assert run("sample", "--label", 3, "--label", 7, "--count", 2, *classes) == 0
    keys = read_manifest(Path("x.png"))[1]["shots"]
    assert [(key["prompt"], key["label"], key["sample"]) for key in keys] == [
        ("", 3, 0), ("", 3, 1), ("", 7, 0), ("", 7, 1)
    ]  # fmt: skip
    images = made([""] * 4, samples=[0, 1, 0, 1], labels=[3, 3, 7, 7])
    assert torch.equal(pixels("x.png")[:, :8, :8], images[0])
    assert torch.equal(pixels("x.png")[:, 12:, 12:], images[3])
    assert run("sample", "a", "b", "--label", 5, *classes) == 0
    assert [key["label"] for key in read_manifest(Path("x.png"))[1]["shots"]] == [5, 5]
    assert run("sample", "a", "b", "--label", 5, "--label", 6, *classes) == 0
    assert [key["label"] for key in read_manifest(Path("x.png"))[1]["shots"]] == [5, 6]


def test_images_of_classes_are_called_for_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sample", "--label", 3, "--spec", "classes.yaml") == 0
    assert capsys.readouterr().out == "images/class-3-seed0.png\n"


def test_a_model_that_hears_nothing_needs_no_prompt(folder: Path) -> None:
    (folder / "alone.yaml").write_text(CLASSES.replace("  num_classes: 10\n", ""))
    assert run("sample", "--spec", "alone.yaml", "--out", "x.png") == 0
    assert len(read_manifest(Path("x.png"))[1]["shots"]) == 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        ("tiny.yaml", ["--image", "photo.png", "--mask", "mask.png"]),
        ("tiny.yaml", ["--image", "photo.png", "--strength", 0.6]),
        ("cascade.yaml", ["--image", "photo.png", "--mask", "mask.png", "--strength", 0.6]),
        ("up.yaml", ["--low-res", "square.png"]),
        ("classes.yaml", ["--label", 4]),
    ],
)
def test_what_started_from_pictures_or_classes_is_replayed(
    folder: Path, capsys: pytest.CaptureFixture[str], spec: str, arguments: list[object]
) -> None:
    fitted(4)
    assert sample(*arguments, spec=spec) == 0
    for name in ("photo.png", "mask.png", "square.png"):
        (folder / name).unlink()
    capsys.readouterr()
    assert run("replay", "x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert run("replay", "x-replay.png") == 0  # what is made again carries as much


def test_an_image_carries_the_hash_and_the_pixels_of_its_pictures(folder: Path) -> None:
    assert sample("--image", "photo.png", "--mask", "mask.png", "--strength", 0.5) == 0
    _, data = read_manifest(Path("x.png"))
    assert data["strength"] == 0.5
    assert set(data["pictures"]) == {"image", "mask"}
    for name, file in (("image", "photo.png"), ("mask", "mask.png")):
        assert data["pictures"][name]["sha256"] == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    carried = Image.open(io.BytesIO(base64.b64decode(data["pictures"]["image"]["png"])))
    carried.save("carried.png")
    assert torch.equal(pixels("carried.png"), fitted(8))
    mask = Image.open(io.BytesIO(base64.b64decode(data["pictures"]["mask"]["png"]))).convert("L")
    assert list(mask.tobytes()) == [0, 0, 0, 0, 255, 255, 255, 255] * 8  # white is painted, as it was given


def test_a_manifest_tells_nothing_of_pictures_where_there_were_none(folder: Path) -> None:
    assert sample() == 0
    _, data = read_manifest(Path("x.png"))
    assert "pictures" not in data
    assert "strength" not in data
    assert set(data["shots"][0]) == {"prompt", "seed", "sample"}
    manifest = Manifest.from_json(data)
    assert manifest.images is not None
    assert not manifest.images.inputs().pictures
    assert manifest.to_json() == data


def test_pictures_that_are_too_large_are_not_carried_and_replay_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glidepath.registry.records.pictures.MOST_CARRIED", 150)
    assert sample("--image", "photo.png", "--mask", "mask.png") == 0
    assert "warning: the picture of --image is too large for the image to carry" in capsys.readouterr().err
    _, data = read_manifest(Path("x.png"))
    assert data["pictures"]["image"]["png"] is None
    assert data["pictures"]["mask"]["png"] is not None
    capsys.readouterr()
    assert run("replay", "x.png") == 1
    said = capsys.readouterr().err
    assert "too large for it to carry, that of --image" in said
    assert hashlib.sha256(Path("photo.png").read_bytes()).hexdigest() in said


def test_pictures_of_a_large_model_stay_within_a_megabyte() -> None:
    noise = torch.randint(0, 256, (1, 3, 700, 700), generator=torch.Generator().manual_seed(0)).byte()
    pictures = {name: Picture(noise, "0") for name in ("image", "low_res")}
    carried = Inputs(pictures=pictures).carried()
    assert sum(len(it.png or "") for it in carried.values()) <= 1_000_000
    small = Inputs(pictures={"image": Picture(noise[..., :256, :256], "0")}).carried()
    assert torch.equal(carried_pictures(small)["image"].pixels, noise[..., :256, :256])


def test_a_mask_keeps_what_no_white_pixel_touches(folder: Path) -> None:
    mask = Image.new("L", (24, 16), 0)
    mask.putpixel((11, 3), 255)
    mask.putpixel((4, 0), 127)  # nearer to black
    mask.save("dot.png")
    opened = open_pictures({"image": Path("photo.png"), "mask": Path("dot.png")})
    known = opened.fitted((8, 8), {})["mask"].pixels
    assert known.sum() == 63
    assert known[0, 0, 1, 3] == 0


def test_a_picture_is_turned_as_its_exif_says(folder: Path) -> None:
    upright = Image.new("RGB", (4, 8), (255, 0, 0))
    upright.paste((0, 0, 255), (0, 4, 4, 8))
    exif = upright.getexif()
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    upright.rotate(90, expand=True).save("turned.png", exif=exif)
    opened = open_pictures({"low_res": Path("turned.png")})
    assert opened.files["low_res"][1].tobytes() == upright.tobytes()


TEXT_FILE = "notes.png"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("spec", "arguments", "message"),
    [
        ("tiny.yaml", ["--mask", "mask.png"], "--mask says what becomes of an image"),
        ("tiny.yaml", ["--strength", 0.5], "--strength says what becomes of an image"),
        ("tiny.yaml", ["--image", "photo.png"], "--image needs --mask"),
        ("tiny.yaml", ["--image", "absent.png", "--strength", 1], "there is no file absent.png"),
        ("tiny.yaml", ["--image", "absent.png"], "--image: there is no file absent.png"),
        ("tiny.yaml", ["--image", TEXT_FILE, "--strength", 1], f"cannot read {TEXT_FILE} as an image"),
        ("tiny.yaml", ["--image", "cut.png", "--strength", 1], "cannot read cut.png as an image"),
        ("tiny.yaml", ["--image", "photo.png", "--mask", TEXT_FILE], f"cannot read {TEXT_FILE} as an image"),
        (
            "tiny.yaml",
            ["--image", "photo.png", "--mask", "square.png"],
            "the mask square.png is 4x4 pixels, and photo.png is 24x16",
        ),
        (
            "tiny.yaml",
            ["--image", "photo.png", "--mask", "black.png"],
            "black.png has no white pixel, and white is what is painted",
        ),
        (
            "tiny.yaml",
            ["--image", "photo.png", "--mask", "edge.png"],
            "the middle of the mask edge.png, which is all that counts, is black",
        ),
        ("tiny.yaml", ["--low-res", "photo.png"], "--low-res is for an upsampler by itself"),
        ("cascade.yaml", ["--low-res", "photo.png"], "this cascade makes the images that it enlarges"),
        ("up.yaml", [], "this model is an upsampler: give the picture that it enlarges, with --low-res"),
        (
            "up.yaml",
            ["--low-res", "photo.png"],
            "photo.png is 24x16 pixels, and this model makes images of 8x8",
        ),
        ("tiny.yaml", ["--label", 1], "--label is for a model of classes, and this one knows none"),
        ("classes.yaml", [], "this model is one of classes: choose from 0 to 9 with --label"),
        ("classes.yaml", ["--label", 10], "--label 10: the classes of this model are 0 to 9"),
        ("classes.yaml", ["--label", 1, "--label", 2], "2 labels were given for 1 prompts"),
    ],
)
def test_bad_input_ends_in_one_error_before_anything_is_sampled(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
    arguments: list[object],
    message: str,
) -> None:
    fitted(4)
    Path(TEXT_FILE).write_text("no image at all")
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:300])
    Image.new("RGB", (24, 16)).save("black.png")
    edge = Image.new("RGB", (24, 16))
    edge.putpixel((1, 1), (255, 255, 255))
    edge.save("edge.png")
    monkeypatch.setattr("glidepath.core.pipeline.Pipeline.states", _refuse)
    of_a_file = any(words in message for words in ("no file", "cannot read", ".png"))
    assert sample(*arguments, spec=spec) == (1 if of_a_file else 2)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("error:") == 1
    assert not Path("x.png").exists()


def _refuse(*_arguments: object, **_keywords: object) -> None:
    raise AssertionError("sampling began")


@pytest.mark.parametrize("strength", ["0", "-1", "1.01", "nan", "much"])
def test_a_strength_out_of_range_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], strength: str
) -> None:
    assert sample("--image", "photo.png", "--strength", strength) == 2
    assert "--strength" in capsys.readouterr().err


@pytest.mark.parametrize("png", ["", "no base64!", base64.b64encode(b"no picture").decode(), "wide"])
def test_a_damaged_picture_in_a_manifest_is_an_error_and_no_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], png: str
) -> None:
    assert sample("--image", "photo.png", "--strength", 0.5) == 0
    picture, data = read_manifest(Path("x.png"))
    if png == "wide":
        written = io.BytesIO()
        Image.new("1", (8192, 4096)).save(written, format="PNG")
        png = base64.b64encode(written.getvalue()).decode()
    data["pictures"]["image"]["png"] = png
    save_png(picture, Path("x.png"), data)
    capsys.readouterr()
    assert run("replay", "x.png") == 1
    assert "the manifest is damaged" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change",
    [
        {"pictures": {"a sketch": {"sha256": "0", "png": None}}},
        {"pictures": ["image"]},
        {"strength": "much"},
        {"shots": [{"prompt": "", "seed": 0, "sample": 0, "label": 10**30}]},
        {"shots": [{"prompt": "", "seed": 0, "sample": 0, "label": -1}]},
        *({"shots": [{"prompt": "", "seed": seed, "sample": 0}]} for seed in (math.inf, "1", [], 10**999)),
        {"shots": [{"prompt": "", "seed": 0, "sample": True}]},
        {"shots": []},
        {"shots": None},
        *({name: value} for name in ("scale", "columns") for value in (0, 10**9, math.inf, math.nan, "2")),
        {"strength": 10**999},
        {"batch": [{"prompt": "", "seed": 0, "sample": math.inf}]},
        {"spec": []},
        {"weights": []},
        {"environment": None},
        {"distributions": {"x": 1}},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(folder: Path, change: dict) -> None:
    assert sample() == 0
    _, data = read_manifest(Path("x.png"))
    with pytest.raises(GlidepathError, match="damaged"):
        Manifest.from_json({**data, **change})


def test_a_picture_from_a_stranger_of_another_size_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample("--image", "photo.png", "--strength", 0.5) == 0
    picture, data = read_manifest(Path("x.png"))
    written = io.BytesIO()
    Image.new("RGB", (9, 9)).save(written, format="PNG")
    data["pictures"]["image"]["png"] = base64.b64encode(written.getvalue()).decode()
    save_png(picture, Path("x.png"), data)
    capsys.readouterr()
    assert run("replay", "x.png") == 1
    assert "image is 9x9 pixels, and this pipeline makes images of 8x8" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_strangers_cascade_starts_from_no_smaller_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(4)
    assert sample("--low-res", "square.png", spec="up.yaml", out="up.png") == 0
    assert sample(spec="cascade.yaml") == 0
    picture, data = read_manifest(Path("x.png"))
    save_png(picture, Path("x.png"), {**data, "pictures": read_manifest(Path("up.png"))[1]["pictures"]})
    capsys.readouterr()
    assert run("replay", "x.png") == 1
    assert "low_res was given, and nothing in this pipeline reads it" in capsys.readouterr().err


def test_the_help_says_loudly_what_white_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sample", "--help") == 0
    assert "WHITE IS PAINTED ANEW, BLACK IS KEPT" in " ".join(capsys.readouterr().out.split())
