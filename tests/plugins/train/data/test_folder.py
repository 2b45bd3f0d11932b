"""The dataset `captioned-folder`."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.plugins.train.data.configs import CaptionedFolderConfig, FlipConfig
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.data.pictured import as_tensor
from glidepath.plugins.train.data.transform import Flip, Transform, fitted
from glidepath.registry import ImageError, read_picture


def dataset_of(folder: Path, *transforms: Transform) -> CaptionedFolder:
    return CaptionedFolder(CaptionedFolderConfig(folder=folder, size=4), transforms)


def load_image(path: Path, size: int) -> Tensor:
    return as_tensor(fitted(read_picture(path), (size, size)))


def paint(path: Path, level: int, size: tuple[int, int] = (4, 4)) -> None:
    """A grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Ten images of different greys, each with its level as caption in a text file."""
    for level in range(0, 250, 25):
        paint(tmp_path / f"{level}.png", level)
        (tmp_path / f"{level}.txt").write_text(f"{level}\n", encoding="utf-8")
    return tmp_path


def levels(images: Tensor) -> list[int]:
    return [round((float(value) + 1) * 127.5) for value in images.mean(dim=(1, 2, 3))]


def test_it_is_a_dataset(greys: Path) -> None:
    assert isinstance(dataset_of(greys), CaptionedDataset)


def test_images_come_with_their_own_captions(greys: Path) -> None:
    images, captions = dataset_of(greys).batch(seed=0, step=0, size=10)
    assert images.shape == (10, 3, 4, 4)
    assert images.dtype == torch.float32
    assert levels(images) == [int(caption) for caption in captions]


def test_a_part_of_a_batch_is_some_of_its_rows_and_reads_no_other(greys: Path) -> None:
    dataset = dataset_of(greys)
    images, captions = dataset.batch(seed=3, step=2, size=4)
    for caption in captions[:1] + captions[3:]:
        (greys / f"{caption}.png").unlink()
    some, said = dataset.part(3, 2, 4, slice(1, 3))
    assert torch.equal(some, images[1:3])
    assert said == captions[1:3]


def test_every_example_comes_once_in_each_epoch_whatever_the_batch_size(greys: Path) -> None:
    for size in (1, 3, 4, 10):
        dataset = dataset_of(greys)
        seen = [caption for step in range(60 // size + 1) for caption in dataset.batch(1, step, size)[1]]
        for epoch in range(6):
            assert len(set(seen[10 * epoch : 10 * epoch + 10])) == 10


def test_the_order_is_decided_by_seed_and_epoch(greys: Path) -> None:
    def order(seed: int, epoch: int) -> list[str]:
        return dataset_of(greys).batch(seed, epoch, 10)[1]

    orders = [tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert orders == [tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)]


def test_a_batch_depends_on_its_arguments_alone(greys: Path) -> None:
    used, fresh = dataset_of(greys, Flip(FlipConfig())), dataset_of(greys, Flip(FlipConfig()))
    for step in (8, 3, 0):
        used.batch(5, step, 6)
    ours, theirs = used.batch(5, 7, 6), fresh.batch(5, 7, 6)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]


def test_captions_of_metadata_jsonl_are_taken(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", 10)
    paint(tmp_path / "inside" / "b.png", 200)
    (tmp_path / "a.txt").write_text("not this")
    lines = [
        {"file_name": "a.png", "text": "dark"},
        {"file_name": "inside/b.png", "text": " heller Fleck: ü "},
        {"file_name": "a.png", "text": "the same image, in other words"},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n\n"
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    images, captions = dataset_of(tmp_path).batch(0, 0, 3)
    found = sorted(zip(levels(images), captions, strict=True))
    assert found == [(10, "dark"), (10, "the same image, in other words"), (200, "heller Fleck: ü")]


def test_the_square_in_the_middle_is_cut_out_and_resized(tmp_path: Path) -> None:
    """A white square between black margins, upright and lying."""
    for width, height in ((30, 10), (10, 30)):
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        top, left = (height - 10) // 2, (width - 10) // 2
        pixels[top : top + 10, left : left + 10] = 255
        Image.fromarray(pixels).save(tmp_path / "a.png")
        image = load_image(tmp_path / "a.png", 5)
        assert image.shape == (3, 5, 5)
        assert float(image.min()) == 1.0


def test_the_mean_of_an_image_survives_resizing(tmp_path: Path) -> None:
    """Every pixel counts when an image is made smaller."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", 4)
    mean = torch.from_numpy(pixels).double().mean() / 127.5 - 1
    assert float(image.mean()) == pytest.approx(float(mean), abs=0.01)
    assert float(image.std()) < 0.2


def test_transparent_pixels_show_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert float(load_image(tmp_path / "a.png", 4).min()) == 1.0
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0])
    palette.save(tmp_path / "b.png", transparency=0)
    assert float(load_image(tmp_path / "b.png", 4).min()) == 1.0


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16"])
def test_images_of_any_mode_become_rgb(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "a.tiff")
    assert load_image(tmp_path / "a.tiff", 4).shape == (3, 4, 4)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: the first row of the file is the right side of the picture."""
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = load_image(tmp_path / "a.png", 8)
    assert float(image[:, :, 4:].min()) == 1.0
    assert float(image[:, :, :4].max()) == -1.0


def halves(folder: Path, captions: list[str]) -> Path:
    """Images whose left half is white."""
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:, :2] = 255
    for index, caption in enumerate(captions):
        Image.fromarray(pixels).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(caption)
    return folder


def share_flipped(dataset: CaptionedFolder, steps: int) -> dict[str, float]:
    flipped: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for step in range(steps):
        images, captions = dataset.batch(0, step, 8)
        for image, caption in zip(images, captions, strict=True):
            total[caption] += 1
            flipped[caption] += bool(image[0, 0, 0] < 0)
    return {caption: flipped[caption] / total[caption] for caption in total}


def test_images_are_mirrored_only_if_asked_for(tmp_path: Path) -> None:
    halves(tmp_path, ["a house"])
    assert share_flipped(dataset_of(tmp_path), 50) == {"a house": 0}
    assert share_flipped(dataset_of(tmp_path, Flip(FlipConfig())), 50)["a house"] == pytest.approx(
        0.5, abs=0.1
    )


def test_an_image_whose_caption_tells_left_from_right_is_never_mirrored(tmp_path: Path) -> None:
    sided = ["a cat left of a dog", "Right: a tree", "the leftmost house", "a car turning right."]
    free = ["a copyright sign", "cleft rock"]
    halves(tmp_path, [*sided, *free])
    shares = share_flipped(dataset_of(tmp_path, Flip(FlipConfig())), 60)
    assert [shares[caption] for caption in sided] == [0, 0, 0, 0]
    assert all(shares[caption] > 0.3 for caption in free)


def test_images_and_captions_that_do_not_find_each_other_are_named_in_either_direction(
    tmp_path: Path,
) -> None:
    paint(tmp_path / "a.png", 1)
    for suffix in ("jfif", "gif", "tif", "ppm", "jp2"):
        paint(tmp_path / f"{suffix}.{suffix}", 1)
        (tmp_path / f"{suffix}.txt").write_text(suffix)
    with pytest.raises(PartError, match=r"1 of 6 images have no caption \(such as .*a\.png\)"):
        dataset_of(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    assert sorted(dataset_of(tmp_path).batch(0, 0, 6)[1]) == ["a", "gif", "jfif", "jp2", "ppm", "tif"]
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "b.heic").write_bytes(b"x")
    (tmp_path / "c.txt").write_text("c")
    what = r"2 of 8 captions have no image of a format that is read \(such as .*b\.txt, beside b\.heic\)"
    with pytest.raises(PartError, match=what):
        dataset_of(tmp_path)


@pytest.mark.parametrize("metadata", [False, True])
def test_hidden_files_and_those_of_systems_are_no_data(metadata: bool, tmp_path: Path) -> None:
    """At any depth below the folder; the folder itself may be hidden."""
    folder = tmp_path / ".cache" / "photos"
    paint(folder / "in" / "a.png", 1)
    caption = folder / ("metadata.jsonl" if metadata else "in/a.txt")
    caption.write_text('{"file_name": "in/a.png", "text": "a"}' if metadata else "a")
    for name in (
        ".ipynb_checkpoints/b.png",
        "in/__MACOSX/._a.png",
        "._c.png",
        "in/.git/x/d.png",
        "@eaDir/e.png",
    ):
        paint(folder / name, 1)
    for name in ("Thumbs.db", "in/desktop.ini", ".DS_Store", ".e.txt"):
        (folder / name).write_bytes(b"x")
    dataset = dataset_of(folder)
    assert [(it.name, it.caption) for it in dataset.examples] == [("in/a.png", "a")]
    assert dataset.notes == []


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "in/c.png"):
        paint(tmp_path / "photos" / name, 1)
    folder = tmp_path / "photos"
    line = '{"file_name": "a.png", "text": "a"}\n'
    (folder / "metadata.jsonl").write_text(2 * line)
    (folder / "notes.md").write_text("x")
    os.mkfifo(folder / "pipe.png")
    (folder / "linked").symlink_to(tmp_path)
    assert [note.removeprefix(f"{folder}: ") for note in dataset_of(folder).notes] == [
        "2 images passed over, which metadata.jsonl does not name: b.png, in/c.png",
        "2 files passed over, of no format that is read: notes.md, pipe.png",
        "1 line with the image and the text of another, trained on as often: metadata.jsonl:2",
        "1 link to another folder, which is not followed: linked",
    ]


NFC, NFD = "caf\u00e9.png", "cafe\u0301.png"


@pytest.mark.parametrize(
    ("written", "there"),
    [
        *((NFC, NFD), (NFD, NFC), ("x\\y\\" + NFD, "x/y/" + NFC)),
        *(("img\\a.png", "img/a.png"), (".\\img\\\\a.png", "img/a.png"), ("a\\b.png", "a\\b.png")),
    ],
)
def test_names_are_found_as_other_systems_write_them(written: str, there: str, tmp_path: Path) -> None:
    paint(tmp_path / "photos" / there, 1)
    metadata = tmp_path / "photos" / "metadata.jsonl"
    for ascii_only in (False, True):
        line = json.dumps({"file_name": written, "text": "a"}, ensure_ascii=ascii_only)
        metadata.write_text(line, encoding="utf-8")
        assert [it.name for it in dataset_of(tmp_path / "photos").examples] == [there]
    metadata.unlink()
    (tmp_path / "photos" / written.replace("\\", "/" if "/" in there else "\\")).with_suffix(
        ".TXT"
    ).write_text("b")
    assert dataset_of(tmp_path / "photos").batch(0, 0, 1)[1] == ["b"]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\x0c", "\x7f", "\ufeff", "\r"])
def test_a_line_of_metadata_ends_with_a_line_feed_alone(sign: str, tmp_path: Path) -> None:
    name = f"a{sign}.png"
    paint(tmp_path / name, 1)
    entry = {"file_name": name, "text": f"a red{sign}star"}
    for ascii_only, end in ((False, "\n"), (True, "\r\n"), (False, "")):
        line = json.dumps(entry, ensure_ascii=ascii_only) + end
        (tmp_path / "metadata.jsonl").write_bytes(b"\xef\xbb\xbf" + 2 * end.encode() + line.encode())
        assert list(dataset_of(tmp_path).captions()) == [
            (str(tmp_path / f"metadata.jsonl:{3 if end else 1}"), f"a red{sign}star")
        ]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="holds no images"):
        dataset_of(tmp_path)
    with pytest.raises(PartError, match="is not a folder"):
        dataset_of(tmp_path / "absent")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"file_name": "b.png", "text": "b"}', "there is no image"),
        ('{"file_name": "A.PNG", "text": "b"}', "there is no image .*; did you mean 'a.png'"),
        ('{"file_name": "..\\\\a.png", "text": "b"}', "there is no image"),
        ('{"file_name": "link.png", "text": "b"}', "outside"),
        ('{"file_name": "circle.png", "text": "b"}', "there is no image"),
        ('{"file_name": "a.png", "file_name": "a.png", "text": "b"}', "a line is"),
        ('{"file_name": "a.png", "text": "\\ud83d"}', "a line is"),
        ('{"file_name": "a\\u0000.png", "text": "b"}', "a line is"),
        ('{"file_name": "' + 300 * "a" + '", "text": "b"}', "there is no image"),
        ("[" * 100_000, "a line is"),
        ('{"file_name": "../a.png", "text": "b"}', "outside"),
        ('{"file_name": "a.png"}', "a line is"),
        ('{"file_name": "a.png", "text": 3}', "a line is"),
        ('["a.png", "b"]', "a line is"),
        ("a.png: b", "a line is"),
    ],
)
def test_a_faulty_line_of_metadata_is_named_by_its_number(line: str, said: str, tmp_path: Path) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    paint(tmp_path / "a.png", 1)
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "in" / "circle.png").symlink_to("circle.png")
    good = '{"file_name": "a.png", "text": "a"}'
    (tmp_path / "in" / "metadata.jsonl").write_text(f"{good}\n\n{line}\n")
    with pytest.raises(PartError, match=f"metadata.jsonl:3: .*{said}"):
        dataset_of(tmp_path / "in")


def test_captions_that_are_not_in_utf_8_are_all_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        paint(tmp_path / f"{name}.png", 1)
        (tmp_path / f"{name}.txt").write_text("caf\u00e9", encoding="cp1252")
    with pytest.raises(PartError, match=r"a\.txt is not UTF-8, .*\n.*b\.txt is not"):
        dataset_of(tmp_path)


def test_images_that_cannot_be_read_are_found_without_training(greys: Path) -> None:
    """Each image is read once: known by its size and times, or by its hash, it is not decoded again."""
    first = list(dataset_of(greys).contents({}))
    assert [entry.name for entry in first] == sorted(f"{level}.png" for level in range(0, 250, 25))
    assert {entry.problem for entry in first} == {""}
    known = {entry.name: entry for entry in first}
    whole = (greys / "0.png").read_bytes()
    (greys / "0.png").write_bytes(whole[:45])
    (greys / "25.png").write_bytes(b"")
    (greys / "50.png").write_bytes((greys / "75.png").read_bytes())
    then = {entry.name: entry for entry in dataset_of(greys).contents(known)}
    assert {name for name, entry in then.items() if entry.problem} == {"0.png", "25.png"}
    assert "0.png as an image" in then["0.png"].problem
    assert {name for name in known if then[name].sha256 != known[name].sha256} == {
        "0.png",
        "25.png",
        "50.png",
    }
    with pytest.raises(ImageError, match=r"cannot read .*0\.png as an image"):
        dataset_of(greys).batch(0, 0, 10)
    # what a check before knew is believed
    forged = {name: entry._replace(sha256="0") for name, entry in then.items()}
    assert {entry.sha256 for entry in dataset_of(greys).contents(forged)} == {"0"}
