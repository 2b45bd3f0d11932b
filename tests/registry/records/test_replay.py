"""`glidepath replay`, as a person uses it, and what it makes of images of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.registry.tiny import SPEC, run, write_tiny

from glidepath.core.errors import GlidepathError
from glidepath.registry.records.images import (
    ImageError,
    read_manifest,
    save_png,
)
from glidepath.registry.records.manifest import FORMAT, Manifest


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path)


def trained(folder: Path) -> Path:
    """A spec as training leaves it, with weights beside it under a bare name."""
    folder.mkdir(parents=True)
    for name in ("tiny.yaml", "tiny.safetensors"):
        Path(name).rename(folder / name)
    return folder / "tiny.yaml"


def test_replay_makes_the_same_image_again(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "a star", "a ring", "--spec", tiny, "--seed", 2, "--count", 2, "--out", "x.png")
    assert run("replay", "x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert Image.open("x.png").tobytes() == Image.open("x-replay.png").tobytes()


def test_a_replay_keeps_an_earlier_one(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    assert run("replay", "x.png") == 0
    Path("x-replay.png").write_bytes(b"kept")
    assert run("replay", "x.png") == 0
    assert "x-replay-2.png" in capsys.readouterr().out
    assert Path("x-replay.png").read_bytes() == b"kept"
    assert run("replay", "x.png", "--out", "x-replay.png") == 0
    assert Image.open("x-replay.png").size == (256, 256)


def test_a_spec_with_letters_beyond_the_basic_plane_is_replayed(tiny: Path) -> None:
    tiny.write_text(SPEC.replace("red, star", "\U00010428, star"), encoding="utf-8")
    assert run("sample", "a star", "--spec", tiny, "--out", "x.png") == 0
    assert run("replay", "x.png") == 0


def test_a_replayed_image_does_not_depend_on_the_batch(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # with random weights epsilon, divided by the alpha of the first step, would magnify rounding 20,000 times
    velocity = ("--set", "denoiser.predicts=velocity")
    run("sample", "a star", "a ring", "a red ring", "--spec", tiny, *velocity, "--batch", 3, "--out", "x.png")
    run("replay", "x.png", "--batch", 1)
    old = torch.tensor(list(Image.open("x.png").tobytes()), dtype=torch.int16)
    new = torch.tensor(list(Image.open("x-replay.png").tobytes()), dtype=torch.int16)
    assert (old - new).abs().max() <= 1


def test_replay_says_what_differs(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    other = {name: value * 1.5 for name, value in load_file("tiny.safetensors").items()}
    save_file(other, "tiny.safetensors")
    picture, data = read_manifest(Path("x.png"))
    data["distributions"]["glidepath-diffusion"] = {"version": "0.0.1"}
    save_png(picture, Path("x.png"), data)
    capsys.readouterr()
    assert run("replay", "x.png") == 1
    said = capsys.readouterr()
    assert "differs: distribution glidepath-diffusion was 0.0.1, and is" in said.err
    assert "differs: sha256 of the weights was" in said.err
    assert "the image differs in" in said.out


def test_what_an_older_image_does_not_tell_is_no_difference(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    picture, data = read_manifest(Path("x.png"))
    del data["environment"]["threads"]
    save_png(picture, Path("x.png"), data)
    capsys.readouterr()
    assert run("replay", "x.png") == 0
    assert "differs" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "batch", "forgets", "also"),
    [
        (1, (), (), ()),
        (1, ("--batch", 1), (), ("batches of another size",)),
        (2, (), ("threads",), ("batches of another size", "another number of threads")),
    ],
)
def test_where_an_image_alone_differs_replay_says_what_may_be_the_cause(
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
    count: int,
    batch: tuple[object, ...],
    forgets: tuple[str, ...],
    also: tuple[str, ...],
) -> None:
    run("sample", "a star", "--spec", tiny, "--count", count, "--out", "x.png")
    picture, data = read_manifest(Path("x.png"))
    for name in forgets:
        del data["environment"][name]
    save_png(Image.eval(picture, lambda value: 255 - value), Path("x.png"), data)
    capsys.readouterr()
    assert run("replay", "x.png", *batch) == 1
    said = capsys.readouterr()
    assert "the image differs in" in said.out
    line = next(line for line in said.err.splitlines() if "nothing else differs" in line)
    assert "some part of the pipeline is not deterministic: its seed does not decide it" in line
    assert all(reason in line for reason in also)
    assert line.count("; or ") == len(also)


def test_replay_of_a_strangers_image_reads_no_file_outside_its_folder(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    picture, data = read_manifest(Path("x.png"))
    (tmp_path / "inner").mkdir()
    data["spec"]["weights"] = "../tiny.safetensors"
    save_png(picture, tmp_path / "inner" / "x.png", data)
    capsys.readouterr()
    assert run("replay", "inner/x.png") == 2
    assert "weights" in capsys.readouterr().err
    assert run("replay", "inner/x.png", "--weights", tiny.with_name("tiny.safetensors")) == 0


def test_an_image_of_a_spec_in_another_folder_is_replayed(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a star", "--spec", trained(Path("runs/x")), "--out", "images/x.png") == 0
    assert read_manifest(Path("images/x.png"))[1]["spec"]["weights"] == "runs/x/tiny.safetensors"
    assert run("replay", "images/x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out


def test_an_image_carries_no_path_outside_the_current_directory(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("here").mkdir()
    spec = trained(tmp_path / "private").absolute()
    monkeypatch.chdir("here")
    assert run("sample", "a star", "--spec", spec, "--out", "../x.png") == 0
    picture, data = read_manifest(tmp_path / "x.png")
    assert data["spec"]["weights"] == "tiny.safetensors"
    assert str(tmp_path) not in json.dumps(data)
    capsys.readouterr()
    assert run("replay", "../x.png") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for word in ("tiny.safetensors", data["weights"][""], "--weights FILE"):
        assert word in said
    assert run("replay", "../x.png", "--weights", "none.safetensors") == 1
    assert "--weights none.safetensors: there is no such file" in capsys.readouterr().err
    assert run("replay", "../x.png", "--weights", spec.with_name("tiny.safetensors")) == 0
    data["spec"]["weights"] = "runs/x/tiny.safetensors"  # as an image that was made elsewhere has it
    save_png(picture, tmp_path / "x.png", data)
    spec.with_name("tiny.safetensors").rename(tmp_path / "tiny.safetensors")
    assert run("replay", "../x.png") == 0


def test_replay_prefers_the_file_below_the_current_directory(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a star", "--spec", tiny, "--out", "images/x.png") == 0
    Path("images/tiny.safetensors").write_bytes(b"of something else")
    assert run("replay", "images/x.png") == 0


def test_a_strangers_link_out_of_both_folders_is_not_followed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "a star", "--spec", tiny, "--out", "images/x.png") == 0
    Path("here").mkdir()
    Path("images/tiny.safetensors").symlink_to(tmp_path / "tiny.safetensors")
    monkeypatch.chdir("here")
    assert run("replay", "../images/x.png") == 1
    assert "tiny.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"format": "other"}, "this version reads"),
        ({"format": FORMAT}, "damaged"),
        ({"format": FORMAT, "shots": 3}, "damaged"),
    ],
)
def test_a_damaged_manifest_is_an_error_and_no_traceback(tmp_path: Path, manifest, message: str) -> None:
    with pytest.raises(GlidepathError, match=message):
        Manifest.from_json(manifest)


def test_files_that_are_no_images_of_ours_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, plain, broken = tmp_path / "t.png", tmp_path / "p.png", tmp_path / "b.png"
    text.write_text("hello")
    Image.new("RGB", (4, 4)).save(plain)
    save_png(Image.new("RGB", (4, 4)), broken, {})
    assert run("replay", text) == 1
    assert "cannot read" in capsys.readouterr().err
    assert run("replay", plain) == 1
    assert "carries no manifest" in capsys.readouterr().err
    assert run("replay", broken) == 1
    assert run("replay", tmp_path / "absent.png") == 1


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    deep = ['{"x":' * levels + "1" + "}" * levels for levels in (60, 800, 100_000)]
    for text in ("{", "[1]", "[" * 100_000, '{"x": [1e999]}', '{"x": -Infinity}', '{"x": NaN}', *deep):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("glidepath", text)
        Image.new("RGB", (4, 4)).save(tmp_path / "x.png", pnginfo=info)
        with pytest.raises(ImageError):
            read_manifest(tmp_path / "x.png")


def test_a_film_is_replayed_as_a_film(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "a star", "a ring", "--spec", tiny, "--film", "--out", "x.png", "--scale", 2)
    assert run("replay", "x-film.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert run("replay", "x-film-replay.png") == 0


def test_a_noise_film_is_not_replayed_and_says_what_makes_it(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (20, 10), (255, 0, 0)).save("photo.jpg")
    run("sample", "--noise-film", "photo.jpg", "--spec", tiny)
    capsys.readouterr()
    assert run("replay", "images/photo-noise-film.png") == 1
    said = capsys.readouterr().err
    assert "is a noise film: `glidepath sample --noise-film` makes it again" in said
    assert said.count("\n") == 1


def test_a_manifest_names_the_batch_of_an_image_and_no_other(tiny: Path) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    picture, data = read_manifest(Path("x.png"))
    assert "batch" not in data
    [key] = data["shots"]
    batch = [key, {**key, "sample": 1}]
    assert Manifest.from_json({**data, "batch": batch}).to_json() == {**data, "batch": batch}
    save_png(picture, Path("y.png"), {**data, "batch": batch})
    assert run("replay", "y.png") in (0, 1)
    replayed, said = read_manifest(Path("y-replay.png"))
    assert (replayed.size, said["shots"], said["batch"]) == (picture.size, [key], batch)
    save_png(picture, Path("z.png"), {**data, "batch": batch[1:]})
    assert run("replay", "z.png") == 1


def test_what_is_set_in_torch_that_changes_rounding_is_in_the_record(tiny: Path) -> None:
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    try:
        run("sample", "a star", "--spec", tiny, "--out", "y.png")
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(False)
    usual, unusual = (read_manifest(Path(name))[1]["environment"] for name in ("x.png", "y.png"))
    assert unusual == {**usual, "float32 products": "medium", "deterministic algorithms": "2"}


@pytest.mark.thorough
def test_replay_computes_with_as_many_threads_as_the_image_says(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    run("sample", "a star", "--spec", tiny, "--out", "x.png")
    picture, data = read_manifest(Path("x.png"))
    assert data["environment"]["threads"] == str(before)
    data["environment"]["threads"] = str(before + 1)
    save_png(picture, Path("y.png"), data)
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    run("replay", "y.png")
    assert told == [before + 1, before]
    for odd in ("", "none", "0", "-1", "99999999"):
        data["environment"]["threads"] = odd
        save_png(picture, Path("y.png"), data)
        told.clear()
        run("replay", "y.png")
        assert set(told) == {before}
