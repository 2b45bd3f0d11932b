"""The dataset `table`, and the columns that it shares with metadata.jsonl."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from glidepath.core import PartError
from glidepath.plugins.train.data.configs import CaptionedFolderConfig, TableConfig
from glidepath.plugins.train.data.dataset import CaptionedDataset, FactualDataset
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.data.pictured import ListedDataset
from glidepath.plugins.train.data.table import CaptionedTable
from glidepath.registry import build_part, load_catalogue, plan_part

LEVELS = range(0, 240, 24)
ROWS = [{"file_name": f"in/{level}.png", "text": f"level {level}", "w": 1 + level % 48} for level in LEVELS]


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (level, level, level)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Greys, in a folder beside the tables."""
    (tmp_path / "in").mkdir()
    for level in LEVELS:
        (tmp_path / "in" / f"{level}.png").write_bytes(png(level))
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    """A table of rows, by the ending of its name."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)
    return path


def of_bytes(path: Path, struct: bool, **options: Any) -> Path:
    """A table that holds its pictures, plainly or as the package datasets writes them."""
    rows = [
        {"picture": {"bytes": png(level), "path": None} if struct else png(level), "text": f"level {level}"}
        for level in LEVELS
    ]
    return write(path, rows, **options)


def table(path: Path, **changes: Any) -> CaptionedTable:
    return CaptionedTable(TableConfig(file=path, size=4, **changes))


def right(dataset: CaptionedDataset) -> bool:
    """Whether an epoch has every level once, each with its caption."""
    images, captions = dataset.batch(0, 0, len(LEVELS))
    levels = [round((float(image.mean()) + 1) * 127.5) for image in images]
    return sorted(levels) == [*LEVELS] and captions == [f"level {level}" for level in levels]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_of_paths_gives_what_the_same_metadata_gives(suffix: str, folder: Path) -> None:
    dataset = table(write(folder / f"t.{suffix}", ROWS))
    assert right(dataset)
    write(folder / "metadata.jsonl", ROWS)
    other = CaptionedFolder(CaptionedFolderConfig(folder=folder, size=4))
    for step in range(3):
        ours, theirs = dataset.batch(5, step, 7), other.batch(5, step, 7)
        assert torch.equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    assert [it[:3] for it in dataset.contents({})] == [it[:3] for it in other.contents({})]


@pytest.mark.parametrize("struct", [False, True])
def test_a_table_of_bytes_is_read_group_by_group(struct: bool, folder: Path) -> None:
    dataset = table(of_bytes(folder / "t.parquet", struct, row_group_size=3), image="picture")
    assert right(dataset)
    again = pickle.loads(pickle.dumps(dataset))
    assert right(again)
    entries = list(dataset.contents({}))
    assert [it.name for it in entries] == [f"t.parquet:{row}" for row in range(1, 11)]
    assert {it.problem for it in entries} == {""}


def test_a_row_without_a_picture_is_named(folder: Path) -> None:
    rows = [{"picture": png(3), "text": "a"}, {"picture": None, "text": "b"}, {"picture": b"x", "text": "c"}]
    problems = [it.problem for it in table(write(folder / "t.parquet", rows), image="picture").contents({})]
    assert problems[0] == ""
    assert "t.parquet:2 holds no picture in column picture" in problems[1]
    assert "t.parquet:3 as an image" in problems[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,text\nin/0.png,a\nin/1.png,b\n", r"t\.csv:3: there is no image .*in/1\.png"),
        ("file_name,text\nin/0.png,a\n../a.png,b\n", r"t\.csv:3: .*outside of"),
        ("file_name,text\nin/0.png\n", r"t\.csv:2: .*1 values, and there are 2 columns"),
        ('file_name,text\n"in/0.png","two\nlines"\nin/0.png,\n', r"t\.csv:4: .*no 'text'; it has file_name"),
        ("file_name,text,text\n", "names the columns, each once"),
        ("", "names the columns"),
        ('file_name,text\n"in/0.png,a', "cannot read"),
        ("file_name,text\n", "has no rows"),
        (
            "file,text\nin/0.png,a\n",
            r"no column 'file_name' \(data\.image\); its first line names file, text",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_line(text: str, said: str, folder: Path) -> None:
    (folder / "t.csv").write_text(text)
    with pytest.raises(PartError, match=said):
        table(folder / "t.csv")


def test_a_linked_folder_is_read_where_it_does_not_lead_outside(folder: Path) -> None:
    aside, inside = folder / "aside", folder / "inside"
    for place in (aside, inside, inside / "deep"):
        place.mkdir()
        (place / "0.png").write_bytes(png(3))
    try:
        (inside / "same").symlink_to(inside / "deep")
        (inside / "other").symlink_to(aside)
        (inside / "linked.png").symlink_to(aside / "0.png")
    except OSError:
        pytest.skip("links are not allowed here")
    names = ("same/0.png", "other/0.png", "linked.png", "deep/0.png", "0.png")
    (inside / "t.csv").write_text("file_name,text\n" + "".join(f"{name},a\n" for name in names))
    with pytest.raises(PartError) as refused:
        table(inside / "t.csv")
    told = [line.split(": ")[1] for line in str(refused.value).splitlines()]
    assert told == [f"{name} is outside of {inside}" for name in ("other/0.png", "linked.png")]


def test_a_table_of_another_format_is_refused(folder: Path) -> None:
    (folder / "t.txt").touch()
    with pytest.raises(PartError, match=r"end in \.csv, \.jsonl or \.parquet"):
        table(folder / "t.txt")
    (folder / "t.parquet").write_text("no table")
    with pytest.raises(PartError, match="as Parquet"):
        table(folder / "t.parquet")
    with pytest.raises(PartError, match="cannot read"):
        table(folder / "absent.csv")
    write(folder / "t.parquet", [{"file_name": 3, "text": "a"}])
    with pytest.raises(PartError, match="column file_name is int64"):
        table(folder / "t.parquet")
    with pytest.raises(PartError, match="has no column picture, colour; it has file_name, text"):
        table(folder / "t.parquet", image="picture", facts=("colour",))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_columns_of_weights_held_out_marks_facts_and_classes(suffix: str, folder: Path) -> None:
    rows = [
        {
            "file_name": f"in/{level}.png",
            "text": "dark" if level < 96 else f"level {level}",
            "often": 3.0 if level == 0 else 1.0,
            "test": level in (24, 48),
            "tone": "dark" if level < 96 else "bright",
            "parity": "even" if level % 48 == 0 else "odd",
            "class": "night" if level < 96 else "day",
        }
        for level in LEVELS
    ]
    names = {"weight": "often", "held_out": "test", "facts": ("tone", "parity"), "label": "class"}
    dataset = table(write(folder / f"t.{suffix}", rows), **names)
    levels = [
        round((float(image.mean()) + 1) * 127.5)
        for step in range(100)
        for image in dataset.batch(1, step, 8)[0]
    ]
    shares = Counter(levels)
    assert 24 not in shares
    assert 48 not in shares
    assert shares[0] / 800 == pytest.approx(3 / 10, abs=0.01)
    assert shares[216] / 800 == pytest.approx(1 / 10, abs=0.01)
    assert isinstance(dataset, FactualDataset)
    assert dataset.answers == (2, 2)
    # `dark` is said of an even and of an odd one: what its parity is stays open
    assert dataset.facts(["dark", "level 96", "level 120", "unheard"]).tolist() == [
        [1, -1],
        [0, 0],
        [0, 1],
        [-1, -1],
    ]
    assert [it.label for it in dataset.examples] == [1] * 4 + [0] * 6
    assert not isinstance(table(folder / f"t.{suffix}"), FactualDataset)


@pytest.mark.parametrize(
    ("row", "names", "said"),
    [
        ({"w": -1}, {"weight": "w"}, "'w' is a number of at least 0, and not -1"),
        ({"w": "much"}, {"weight": "w"}, "'w' is a number of at least 0, and not 'much'"),
        ({}, {"weight": "w"}, "it has no 'w'; it has file_name, text"),
        ({"c": -2}, {"label": "c"}, "'c' is the name of a class, or its number from 0, and not -2"),
        ({"h": "maybe"}, {"held_out": "h"}, "'h' is true or false, and not 'maybe'"),
        ({"f": 0.5}, {"facts": ("f",)}, "'f' of `facts` is a text, and not 0.5"),
        ({}, {"facts": ("f",)}, "column f of `facts` answers nothing, in any row"),
        ({"text": []}, {}, "'text' is a caption, or a list of them"),
        ({"h": True}, {"held_out": "h"}, "nothing is left to train on"),
    ],
)
def test_a_column_that_does_not_hold_what_it_is_for_is_refused(
    row: dict[str, Any], names: dict[str, Any], said: str, folder: Path
) -> None:
    path = write(folder / "metadata.jsonl", [{"file_name": "in/0.png", "text": "a", **row}])
    for make in (
        lambda: table(path, **names),
        lambda: CaptionedFolder(CaptionedFolderConfig(folder=folder, **names)),
    ):
        with pytest.raises(PartError, match=said):
            make()


def test_columns_without_metadata_are_refused(folder: Path) -> None:
    with pytest.raises(PartError, match=r"often are columns of .*metadata\.jsonl, and there is none"):
        CaptionedFolder(CaptionedFolderConfig(folder=folder, weight="often"))


def held(dataset: ListedDataset) -> set[str]:
    return {it.name for it in dataset.examples if it.held}


def test_a_share_is_held_out_by_the_names_alone(folder: Path) -> None:
    rows = [{"file_name": "in/0.png", "text": "a"}] + [
        {"file_name": f"x/{index}.png", "text": "a"} for index in range(999)
    ]
    (folder / "x").mkdir()
    for row in rows[1:]:
        (folder / row["file_name"]).write_bytes(png(0))
    dataset = table(write(folder / "t.csv", rows), held_out_share=0.2)
    assert len(held(dataset)) == pytest.approx(200, abs=40)
    fewer = table(write(folder / "t.csv", rows[::-1][:500]), held_out_share=0.2)
    assert held(fewer) == held(dataset) & {row["file_name"] for row in rows[500:]}
    assert held(fewer) < held(table(folder / "t.csv", held_out_share=0.4))


def test_captions_of_a_list_come_alike(folder: Path) -> None:
    path = write(folder / "t.jsonl", [{"file_name": "in/0.png", "text": ["one", " two ", "three"]}])
    dataset = table(path)
    counts = Counter(caption for step in range(100) for caption in dataset.batch(0, step, 6)[1])
    assert counts.keys() == {"one", "two", "three"}
    assert min(counts.values()) > 150
    assert [it for _, it in dataset.captions()] == ["one", "two", "three"]


def test_what_a_column_says_is_part_of_what_a_run_is_trained_on(folder: Path) -> None:
    path = write(folder / "t.jsonl", [{"file_name": "in/0.png", "text": "a", "w": 2}])
    [plain], [weighed] = table(path).contents({}), table(path, weight="w").contents({})
    assert plain.caption == "a"
    assert plain.caption != weighed.caption


def test_what_is_wrong_with_a_csv_is_not_told_in_json(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file_name,text\n,red\n")
    with pytest.raises(PartError, match=r"t\.csv:2: 'file_name' is the name of a picture") as caught:
        CaptionedTable(TableConfig(file=tmp_path / "t.csv"))
    assert "{" not in str(caught.value)


def test_a_fault_of_a_table_is_not_blamed_on_the_authors_of_glidepath(tmp_path: Path) -> None:
    catalogue = load_catalogue()
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    part = plan_part("dataset", "table", {"file": str(tmp_path / "t.csv")}, catalogue)
    with pytest.raises(PartError, match="there is no column") as caught:
        build_part(part, catalogue)
    (note,) = caught.value.__notes__
    assert note.startswith("while building dataset glidepath-diffusion/table")
    assert "authors" not in note
