"""`glidepath sample`, as a person uses it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.registry.tiny import SPEC, run, write_tiny

from glidepath.core.errors import PartError
from glidepath.core.pipeline import Pipeline
from glidepath.registry.assembly.build import assemble
from glidepath.registry.assembly.warnings import TrainedOtherwise
from glidepath.registry.files.writing import CannotWrite
from glidepath.registry.records.images import (
    ImageError,
    default_scale,
    grid,
    load_image,
    read_manifest,
    save_png,
    to_pil,
)
from glidepath.registry.records.manifest import FORMAT, Manifest


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path)


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_keywords: object) -> None:
        raise error

    return fail


def test_a_prompt_becomes_a_png_and_its_place_is_printed(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a green star", "--spec", tiny) == 0
    out = Path(capsys.readouterr().out.strip())
    assert out == Path("images/a-green-star-seed0.png")
    assert Image.open(out).size == (256, 256)


def test_a_size_far_from_the_models_own_is_warned_of(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size, is_far in (("8x16", False), ("16x16", True)):
        assert run("sample", "a star", "--spec", tiny, "--size", size, "--set", "sampler.steps=1") == 0
        said = "warning: the model was made for images of 8x8 pixels: of 16x16 they may repeat"
        assert (said in capsys.readouterr().err) == is_far


def test_progress_shows_images_and_time_left(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sample", "a star", "--spec", tiny, "--count", 3, "--batch", 1) == 0
    shown = capsys.readouterr().err
    assert "0 of 3 images" in shown
    assert "3 of 3 images" in shown
    assert "left" in shown


def test_several_images_make_a_grid_with_a_row_for_each_prompt(tiny: Path) -> None:
    assert (
        run("sample", "a star", "a ring", "--spec", tiny, "--count", 3, "--out", "g.png", "--scale", 2) == 0
    )
    assert Image.open("g.png").size == (3 * 16 + 2 * 4, 2 * 16 + 4)


def test_separate_writes_each_image_too_with_its_own_manifest(tiny: Path) -> None:
    assert run("sample", "a star", "a ring", "--spec", tiny, "--separate", "--out", "g.png") == 0
    _, second = read_manifest(Path("g-1.png"))
    assert [key["prompt"] for key in second["shots"]] == ["a ring"]
    whole, one = Image.open("g.png"), Image.open("g-0.png")
    assert whole.crop((0, 0, 256, 256)).tobytes() == one.convert("RGB").tobytes()


def test_the_png_carries_spec_seed_prompt_versions_and_weight_hash(tiny: Path) -> None:
    import hashlib

    assert (
        run("sample", "a star", "--spec", tiny, "--seed", 5, "--set", "sampler.eta=0.5", "--out", "x.png")
        == 0
    )
    _, data = read_manifest(Path("x.png"))
    assert data["format"] == FORMAT
    assert data["shots"] == [{"prompt": "a star", "seed": 5, "sample": 0}]
    assert data["spec"]["sampler"]["eta"] == 0.5
    assert data["spec"]["denoiser"]["conv_resample"] is True  # a default, written out
    assert data["weights"] == {"": hashlib.sha256(Path("tiny.safetensors").read_bytes()).hexdigest()}
    assert "glidepath-diffusion" in data["distributions"]
    assert data["environment"]["torch"] == torch.__version__


def test_all_words_that_no_prompt_may_have_are_told_at_once(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a green dog", "a star", "a rad star", "--spec", tiny, "--batch", 1) == 1
    said = capsys.readouterr().err
    assert "'a green dog' has words that the text encoder was not taught: 'dog'" in said
    assert "'a rad star' has words that the text encoder was not taught: 'rad' (did you mean 'red'?)" in said
    assert said.count("it knows 5 words: a, green, red, star, ring") == 1
    assert not Path("images").exists()


def test_a_prompt_of_which_nothing_is_read_is_warned_of(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_text(SPEC.replace("vocabulary:", "unknown: ignore, vocabulary:"), encoding="utf-8")
    assert run("sample", "", "a dog", "dogs", "--spec", tiny, "--out", "x.png") == 0
    said = capsys.readouterr().err
    assert "warning: the prompt is empty: the image shows nothing that was asked for" in said
    assert "warning: nothing of the prompt 'dogs' is read: the image shows nothing that was asked for" in said
    assert said.count("nothing that was asked for") == 2


def trained_with(tree: object) -> None:
    """Write into the header of the tiny weights what they were trained with."""
    save_file(load_file("tiny.safetensors"), "tiny.safetensors", {"spec": json.dumps(tree)})


def test_weights_that_were_trained_otherwise_are_warned_of_and_used(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained_with(
        {"schedule": {"use": "glidepath-diffusion/cosine"}, "sampler": {"use": "glidepath-diffusion/ddpm"}}
    )
    assert run("sample", "a star", "--spec", tiny, "--out", "x.png") == 0
    assert "trained" not in capsys.readouterr().err
    assert run("sample", "a star", "--spec", tiny, "--set", "schedule=linear", "--out", "x.png") == 0
    said = capsys.readouterr().err
    what = "--set #1: schedule is linear, and the weights were trained with cosine"
    assert said.count(f"glidepath: warning: {what}") == 1
    for command in (["check"], ["plan", "--quick"]):
        assert run(*command, tiny, "--set", "schedule=linear") == 0
        assert what in capsys.readouterr().err
        assert run(*command, tiny, "--set", "schedule=linear", "--json") == 0
        (warning,) = json.loads(capsys.readouterr().out)["warnings"]
        assert warning.startswith(what)
    with pytest.warns(TrainedOtherwise, match="schedule is linear"):
        assemble(tiny, ["schedule=linear"])


def test_weights_are_found_by_any_name_a_file_may_have(tiny: Path) -> None:
    odd = Path("my weights: best #1.safetensors")
    odd.write_bytes(Path("tiny.safetensors").read_bytes())
    assert run("sample", "a star", "--spec", tiny, "--weights", odd, "--out", "x.png") == 0
    assert run("replay", "x.png") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there")
def test_a_folder_whose_name_is_no_utf_8_is_a_place_for_images_and_no_value_of_a_spec(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(os.fsdecode(b"caf\xe9"), "x.png")
    assert run("sample", "a star", "--spec", tiny, "--out", out) == 0
    assert run("replay", out) == 0
    assert run("sample", "a star", "--spec", tiny, "--weights", out) == 2
    assert "give the file or folder a name in UTF-8" in capsys.readouterr().err


def test_sampling_without_the_weights_is_an_error_before_anything_is_built(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tiny.safetensors").unlink()
    monkeypatch.setattr("glidepath.registry.assembly.build.build_pipeline", None)
    assert run("sample", "a star", "--spec", tiny) == 2
    said = capsys.readouterr().err
    assert "there is no file 'tiny.safetensors'" in said
    line = SPEC.splitlines().index("weights: tiny.safetensors") + 1
    assert f"{tiny}:{line}:10" in said


@pytest.mark.parametrize(
    ("option", "value"), [("--dtype", "half"), ("--device", "gpu"), ("--weights", "nosuch.safetensors")]
)
def test_a_wrong_option_is_called_by_the_name_that_was_typed(
    tiny: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    arguments = ["sample", "a star", "--spec", tiny, "--set", "sampler.steps=3", option, value]
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{option} {value}: ")
    assert "--set" not in said


def test_film_shows_the_walk_from_noise_to_the_image(tiny: Path) -> None:
    assert run("sample", "a star", "--spec", tiny, "--film", "--out", "x.png", "--scale", 2) == 0
    film, image = Image.open("x-film.png").convert("RGB"), Image.open("x.png").convert("RGB")
    assert film.width == 4 * 8 + 3 * 4  # four steps, at half the scale
    last = film.crop((film.width - 8, 0, film.width, 8)).resize((16, 16), Image.Resampling.NEAREST)
    assert last.tobytes() == image.tobytes()


def test_a_noise_film_alone_goes_where_out_says(tiny: Path, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "red").save("photo.png")
    assert run("sample", "--noise-film", "photo.png", "--spec", tiny, "--out", "chain.png") == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["chain.png", "photo.png"]


def test_without_out_no_file_is_overwritten(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for steps in (3, 4):
        run("sample", "a star", "--spec", tiny, "--set", f"sampler.steps={steps}")
    run("sample", "a star", "--spec", tiny, "--film", "--separate", "--count", 2)
    assert [Path(name).name for name in capsys.readouterr().out.split()] == [
        "a-star-seed0.png",
        "a-star-seed0-2.png",
        "a-star-seed0-3.png",
        "a-star-seed0-3-0.png",
        "a-star-seed0-3-1.png",
        "a-star-seed0-3-film.png",
    ]
    assert read_manifest(Path("images/a-star-seed0.png"))[1]["spec"]["sampler"]["steps"] == 3


def test_what_goes_with_an_image_is_not_overwritten_either(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images").mkdir()
    for name in ("a-star-seed0-film.png", "a-star-seed0-2-1.png", "photo-noise-film.png"):
        Path("images", name).touch()
    Image.new("RGB", (20, 10), (255, 0, 0)).save("photo.jpg")
    arguments = ("--film", "--separate", "--count", 2, "--noise-film", "photo.jpg")
    run("sample", "a star", "--spec", tiny, *arguments)
    written = capsys.readouterr().out.split()
    assert written[:2] == ["images/photo-noise-film-2.png", "images/a-star-seed0-3.png"]
    assert not Path("images/a-star-seed0-film.png").read_bytes()


def test_with_out_the_file_is_replaced(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for steps in (3, 4):
        run("sample", "a star", "--spec", tiny, "--set", f"sampler.steps={steps}", "--out", "x.png")
    assert capsys.readouterr().out == "x.png\nx.png\n"
    assert read_manifest(Path("x.png"))[1]["spec"]["sampler"]["steps"] == 4


def test_noise_film_shows_the_forward_chain(tiny: Path) -> None:
    Image.new("RGB", (20, 10), (255, 0, 0)).save("photo.jpg")
    assert run("sample", "--noise-film", "photo.jpg", "--spec", tiny) == 0
    film = Image.open("images/photo-noise-film.png").convert("RGB")
    frames = [film.crop((x, 0, x + film.height, film.height)) for x in range(0, film.width, film.height + 4)]
    spread = [torch.tensor(list(frame.tobytes()), dtype=torch.float32)[1::3].std() for frame in frames]
    assert spread[0] < 1
    assert spread[2] < spread[4] < spread[8]


@pytest.mark.parametrize(
    ("stop", "status", "said"),
    [
        (lambda: signal.default_int_handler(2, None), 130, "interrupted; 2 of 4 images were finished"),
        (lambda: signal.raise_signal(signal.SIGTERM), 143, "interrupted; 2 of 4 images were finished"),
        (failing(PartError("it grew too large")), 1, "it grew too large\n    2 of 4 images were finished"),
    ],
)
def test_whatever_stops_it_the_images_that_are_finished_are_kept(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stop: Callable[[], None],
    status: int,
    said: str,
) -> None:
    states, calls = Pipeline.states, []

    def interrupted(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 3:
            stop()
        return states(self, *arguments, **keywords)

    monkeypatch.setattr(Pipeline, "states", interrupted)
    assert run("sample", "a star", "--spec", tiny, "--count", 4, "--batch", 1, "--out", "x.png") == status
    assert said in capsys.readouterr().err
    _, data = read_manifest(Path("x.png"))
    assert [key["sample"] for key in data["shots"]] == [0, 1]


@pytest.mark.parametrize(
    ("out", "options"),
    [
        ("folder.png", ()),
        ("file/x.png", ()),
        ("pipe.png", ()),
        (f"{'x' * 250}.png", ("--separate",)),
        (f"{'x' * 248}.png", ("--film",)),
        (f"{'x' * 252}.png", ()),
    ],
)
def test_a_place_where_no_image_can_be_is_refused_before_the_first_step(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, options: Any
) -> None:
    Path("folder.png").mkdir()
    Path("file").touch()
    os.mkfifo("pipe.png")
    monkeypatch.setattr(Pipeline, "states", failing(AssertionError("it began")))
    assert run("sample", "a star", "--spec", tiny, "--count", 2, "--out", out, *options) == 1
    assert "glidepath: error: cannot write " in capsys.readouterr().err


def test_the_longest_name_that_the_file_system_takes_is_written(tiny: Path) -> None:
    out = f"{'x' * 251}.png"
    assert run("sample", "a star", "--spec", tiny, "--out", out) == 0
    assert read_manifest(Path(out))


def test_a_wrong_override_ends_in_status_2_with_its_place(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a star", "--spec", tiny, "--set", "sampler.stepz=3") == 2
    said = capsys.readouterr().err
    assert "--set #1" in said
    assert "did you mean 'steps'" in said


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "give a prompt"),
        (["a star", "--out", "x.jpg"], 2, "ends in .png"),
        (["a gren star"], 1, "did you mean 'green'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    tiny: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    assert run("sample", *arguments, "--spec", tiny) == status
    assert message in capsys.readouterr().err


def test_arguments_out_of_range_are_refused(tiny: Path) -> None:
    assert run("sample", "a star", "--count", 0) == 2
    assert run("sample", "a star", "--seed", -1) == 2


def test_a_spec_without_weights_is_warned_of(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_text(SPEC.replace("weights: tiny.safetensors\n", ""))
    assert run("sample", "a star", "--spec", tiny) == 0
    assert "names no weights" in capsys.readouterr().err


def test_a_png_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    save_png(Image.new("RGB", (4, 4)), path, {"a": 1})
    before = path.read_bytes()

    def fails(self, file, **_):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(CannotWrite, match=r"^cannot write .*x\.png: disk full$"):
        save_png(Image.new("RGB", (9, 9)), path, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_small_images_are_enlarged_to_about_256_pixels() -> None:
    assert [default_scale(size) for size in (8, 32, 64, 100, 256, 512)] == [32, 8, 4, 2, 1, 1]
    assert [default_scale(32, count) for count in (900, 1024, 10_000)] == [8, 7, 2]


def test_a_grid_keeps_every_pixel() -> None:
    images = [torch.full((3, 2, 2), value, dtype=torch.uint8) for value in (10, 20, 30)]
    sheet = grid(images, 2)
    assert sheet.size == (2 + 4 + 2, 2 + 4 + 2)
    assert [sheet.getpixel(at)[0] for at in ((0, 0), (6, 0), (0, 6), (6, 6), (3, 0))] == [
        10,
        20,
        30,
        255,
        255,
    ]
    assert to_pil(torch.full((1, 2, 2), 7, dtype=torch.uint8)).getpixel((0, 0)) == (7, 7, 7)


def test_a_picture_is_cropped_to_its_middle(tmp_path: Path) -> None:
    picture = Image.new("RGB", (30, 10), (255, 0, 0))
    picture.paste((0, 255, 0), (10, 0, 20, 10))
    picture.save(tmp_path / "x.png")
    image = load_image(tmp_path / "x.png", (4, 4))
    assert image.shape == (1, 3, 4, 4)
    assert image[0, :, 1, 1].tolist() == [0, 255, 0]
    with pytest.raises(ImageError):
        load_image(tmp_path / "absent.png", (4, 4))


def test_manifests_are_plain_json(tiny: Path) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    _, data = read_manifest(Path("x.png"))
    assert json.loads(json.dumps(Manifest.from_json(data).to_json())) == data


def test_words_beyond_the_context_are_named(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sample", "a red star a green ring a star", "--spec", tiny) == 0
    assert "not read: 'a star'" in capsys.readouterr().err


def test_prompts_may_stand_before_and_behind_options(tiny: Path) -> None:
    words = ["a star", "--spec", tiny, "--set", "sampler.steps=2", "a ring", "--scale", 2, "a star"]
    assert run("sample", *words, "--out", "apart.png") == 0
    together = ["a star", "a ring", "a star", "--spec", tiny, "--set", "sampler.steps=2", "--scale", 2]
    assert run("sample", *together, "--out", "together.png") == 0
    assert Image.open("apart.png").tobytes() == Image.open("together.png").tobytes()


def test_an_unknown_option_among_prompts_is_still_refused(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a star", "--spec", tiny, "a ring", "--cuont", 3) == 2
    assert "unrecognized arguments: --cuont 3; did you mean --count?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sample --spec", "check", "plan", "lock"])
def test_an_image_in_the_place_of_a_spec_is_for_replay(
    tiny: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    save_png(Image.new("RGB", (2, 2)), Path("star.png"), {})
    assert run(*command.split(), "star.png") == 2
    assert capsys.readouterr().err == (
        "star.png: star.png is a PNG image and no spec\n"
        "    if glidepath made it, `glidepath replay star.png` makes it again\n"
    )
