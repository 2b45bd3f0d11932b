"""`glidepath data`: what a dataset holds."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from tests.plugins.train.tiny import PARTS

from glidepath.plugins.train.data import sheet
from glidepath.plugins.train.data.configs import CaptionedFolderConfig, WebDatasetConfig
from glidepath.plugins.train.data.duplicates import look, near
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.data.report import report_on, told
from glidepath.plugins.train.data.sheet import contact_sheet
from glidepath.registry import read_picture
from glidepath.registry.cli import main


def scene(seed: int, side: int = 96) -> Image.Image:
    """Blobs, smooth as photos are."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC)


def compressed(picture: Image.Image, quality: int = 60) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def test_the_same_picture_in_another_size_or_compression_is_found_and_no_other() -> None:
    pictures, wanted = [], []
    for seed in range(60):
        picture = scene(seed)
        versions = [picture]
        if seed % 3 == 0:
            versions += [
                compressed(picture),
                picture.resize((61, 61)),
                ImageEnhance.Brightness(picture).enhance(1.02),
            ]
            wanted.append(list(range(len(pictures), len(pictures) + 4)))
        pictures += versions
    assert near([look(picture) for picture in pictures]) == wanted


def test_flat_pictures_are_alike_where_their_colours_are() -> None:
    colours = [(250, 0, 0), (0, 250, 0), (248, 3, 2), (128, 128, 128), (0, 0, 0)]
    assert near([look(Image.new("RGB", (9, 9), colour)) for colour in colours]) == [[0, 2]]
    assert near([]) == []


def test_a_mirrored_picture_is_another() -> None:
    picture = scene(1)
    assert near([look(picture), look(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]) == []


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures: one there twice, one nearly, one damaged, one held out."""
    rows = []
    for index in range(3):
        scene(index).save(tmp_path / f"{index}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "1.png").read_bytes())
    scene(2, 80).resize((40, 30)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "0.png").read_bytes()[:500])
    (tmp_path / "notes.md").touch()
    for index, name in enumerate(["0", "1", "2", "copy", "small", "broken"]):
        rows.append(
            {"file_name": f"{name}.png", "text": " ".join(["word"] * (index + 1)), "test": name == "0"}
        )
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


class Reads:
    """Reads three words."""

    context = 3

    def truncated(self, prompt: str) -> str:
        return " ".join(prompt.split()[3:])


def test_a_report_counts_what_is_there(photos: Path) -> None:
    dataset = CaptionedFolder(CaptionedFolderConfig(folder=photos, size=16, held_out="test"))
    report = report_on(dataset, Reads())
    assert (report.pictures, report.held_out, report.captions) == (6, 1, 6)
    assert report.exact == [["1.png", "copy.png"]]
    assert report.near == [["2.png", "small.png"]]
    assert len(report.damaged) == 1
    assert "broken.png" in report.damaged[0]
    assert report.sizes == {"96x96": 4, "40x30": 1}
    assert (report.words[0], report.words[-1], report.cut, report.context) == (1, 6, 3, 3)
    text = "\n".join(told(report))
    for said in (
        "6 pictures, 1 of them held out",
        "1 file passed over, of no format that is read: notes.md",
        "1 group of pictures with the same bytes:\n  1.png, copy.png",
        "1 picture cannot be read:",
        "6 captions of 1 to 6 (half of them 2 to 5) words",
        "the text encoder reads 3 tokens: 3 are cut, 0 have words that it does not know\n  cut: ",
        "metadata.jsonl:4",
    ):
        assert said in text


def test_a_dataset_that_draws_its_pictures_is_told_of_too() -> None:
    class Drawn:
        def batch(self, seed: int, step: int, size: int) -> tuple[torch.Tensor, list[str]]:
            return torch.zeros(size, 3, 4, 4), ["two words"] * size

    report = report_on(Drawn())
    assert report.pictures is None
    assert told(report)[-1] == "64 captions of 2 words"


def test_a_sheet_has_every_picture_in_its_place() -> None:
    images = [torch.full((3, 4 + index, 6), index / 5 - 1) for index in range(11)]
    drawn = np.asarray(contact_sheet(images, [f"picture {index}" * 9 for index in range(11)]))
    assert drawn.shape[1] == 8 * 134 + 6
    middles = [(row * 179 + 66, column * 134 + 70) for row in range(2) for column in range(8)]
    levels = [int(drawn[down, across, 0]) for down, across in middles]
    assert levels[:11] == pytest.approx([index / 5 * 127.5 for index in range(11)], abs=0.6)
    assert levels[11:] == [255] * 5


def test_a_caption_is_written_in_letters_that_are_not_ascii_where_the_system_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def written(caption: str) -> bytes:
        return contact_sheet([torch.zeros(3, 4, 4)], [caption]).tobytes()

    own = pytest.importorskip("matplotlib", reason="in the extra test: it brings a font").get_data_path()
    monkeypatch.setattr(sheet, "_FONTS", ("no-such-font.ttf", f"{own}/fonts/ttf/DejaVuSans.ttf"))
    assert written("caf\u00e9") != written("caf\u00fc")
    monkeypatch.setattr(sheet, "_FONTS", ("no-such-font.ttf",))
    assert written("caf\u00e9") == written("caf\u00fc")  # boxes, as of every other letter


@pytest.mark.thorough
def test_the_command_tells_and_writes_a_sheet(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    (photos / "broken.png").write_bytes((photos / "0.png").read_bytes())
    data = f"data={{use: captioned-folder, folder: {photos}, size: 32}}"
    own = ["data", "shapes", "--set", data, "--set", "train.facts_steps=0"]
    assert main([*own, "--sheet", "sheet.png", "--count", "6"]) == 0
    said = capsys.readouterr().out
    assert "6 pictures, 0 of them held out" in said
    assert "6 have words that it does not know" in said
    assert read_picture(Path("sheet.png")).width == 6 * 134 + 6
    assert main(["data", "shapes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] is None
    (photos / "broken.png").write_bytes(b"x")
    assert main(own) == 1


def test_words_that_are_not_known_are_added_to_a_file(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tokenizer that reads it then knows every caption, and words that were there keep their ids."""
    monkeypatch.chdir(photos.parent)
    for text, name in (("Größe, an arrow's", "0"), ("word by word", "1")):
        Image.new("RGB", (8, 8)).save(photos / f"{name}.png")
        (photos / f"{name}.txt").write_text(text, encoding="utf-8")
    for path in photos.iterdir():
        if path.stem not in ("0", "1"):
            path.unlink()
    (photos.parent / "words.txt").write_bytes(b"word\r\nzebra")
    listed = 'vocabulary: [red, green, "on", left, right]'
    assert listed in PARTS
    data = f"data: {{use: captioned-folder, folder: '{photos}', size: 8}}\n"
    Path("my.yaml").write_text(PARTS.replace(listed, "file: words.txt") + data)
    assert main(["data", "my.yaml", "--words", "words.txt"]) == 0
    said = capsys.readouterr().out
    assert "2 have words that it does not know" in said
    assert "  unknown words: größe (1), an (1), arrow's (1), by (1)\nwords.txt\n" in said
    assert Path("words.txt").read_text(encoding="utf-8").splitlines() == [
        *("word", "zebra"),
        *("an", "arrow's", "by", "größe"),
    ]
    assert main(["data", "my.yaml"]) == 0
    assert "0 have words that it does not know" in capsys.readouterr().out
    Path("words.txt").write_bytes(b"\xff")
    assert main(["data", "my.yaml", "--words", "words.txt"]) == 1
    assert "cannot add words to words.txt: " in capsys.readouterr().err


def test_shards_are_reported_on(tmp_path: Path) -> None:
    from glidepath.plugins.train.data.components import datasets
    from glidepath.plugins.train.data.webdataset import WebDataset

    [described] = [it for it in datasets() if it.name == "webdataset"]
    assert callable(described.example)
    values: Any = described.example(tmp_path)
    report = report_on(WebDataset(WebDatasetConfig(**{**values, "shards": tuple(values["shards"])})))
    assert (report.pictures, report.captions) == (2, 2)
    assert report.sizes == {"12x8": 2}
