"""The datasets `webdataset` and `mixture`."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from glidepath.core import PartError
from glidepath.plugins.train.data.configs import MixtureConfig, TableConfig, WebDatasetConfig
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.data.mixture import Mixture
from glidepath.plugins.train.data.report import report_on
from glidepath.plugins.train.data.table import CaptionedTable
from glidepath.plugins.train.data.webdataset import WebDataset
from glidepath.registry import ImageError


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Five shards of six greys each, whose captions are their levels."""
    for shard in range(5):
        files = {}
        for level in range(48 * shard, 48 * (shard + 1), 8):
            files |= {f"in/{level}.png": png(level), f"in/{level}.txt": f"{level}\n".encode()}
            files[f"in/{level}.cls"] = str(level % 3).encode()
        write(tmp_path / f"part-{shard:03}.tar", files)
    return tmp_path


def dataset(*patterns: object, **changes: Any) -> WebDataset:
    return WebDataset(WebDatasetConfig(shards=tuple(map(str, patterns)), size=4, **changes))


def levels(made: tuple[torch.Tensor, list[str]]) -> list[int]:
    images, captions = made
    found = [round((float(image.mean()) + 1) * 127.5) for image in images]
    assert found == [int(caption.split("-")[0]) for caption in captions]
    return found


@pytest.mark.parametrize("pattern", ["*.tar", "part-{000..004}.tar", "part-00[0-4].tar"])
def test_every_sample_comes_once_in_an_epoch_with_its_caption(pattern: str, shards: Path) -> None:
    streamed = dataset(shards / pattern, window=2, label="cls")
    assert isinstance(streamed, CaptionedDataset)
    for epoch in range(2):
        assert sorted(levels(streamed.batch(1, epoch, 30))) == list(range(0, 240, 8))
    assert streamed.labels(1, 0, 30).tolist() == [it % 3 for it in levels(streamed.batch(1, 0, 30))]
    [first, _] = levels(streamed.batch(1, 0, 2))
    assert streamed.names(1, 0, 2)[0] == f"{shards}/part-{first // 48:03}.tar/in/{first}"


def test_going_on_in_the_middle_of_an_epoch_is_exact(shards: Path) -> None:
    whole = [levels(dataset(shards / "*.tar", window=2).batch(7, step, 4)) for step in range(20)]
    going = dataset(shards / "*.tar", window=2)
    assert [levels(going.batch(7, step, 4)) for step in range(11, 20)] == whole[11:]
    again = pickle.loads(pickle.dumps(going))
    assert [levels(again.batch(7, step, 4)) for step in range(3)] == whole[:3]


def test_no_more_shards_are_open_than_the_window_has(shards: Path) -> None:
    streamed = dataset(shards / "*.tar", window=2)
    for step in range(60):
        inside = {level // 48 for level in levels(streamed.batch(7, step, 6))}
        assert len(inside) <= 4  # of two windows, where a batch lies in both
        assert len(streamed._open._open) <= 3


def test_a_share_is_held_out_and_read_by_itself(shards: Path) -> None:
    trained = dataset(shards / "*.tar", held_out_share=0.3)
    held = WebDataset(
        WebDatasetConfig(shards=(str(shards / "*.tar"),), size=4, held_out_share=0.3), held=True
    )
    ours, others = ({*levels(it.batch(0, 0, sum(it.counts)))} for it in (trained, held))
    assert ours | others == {*range(0, 240, 8)}
    assert not ours & others
    assert 3 <= len(others) <= 16


def test_captions_may_stand_in_json(tmp_path: Path) -> None:
    files = {}
    for level in (0, 8):
        said = json.dumps({"caption": [f"{level}-a", f"{level}-b"], "kind": level})
        files |= {f"{level}.jpg": png(level), f"{level}.json": said.encode()}
    write(tmp_path / "a.tar", files)
    streamed = dataset(tmp_path / "a.tar", text="caption", label="kind")
    captions = Counter(caption for step in range(50) for caption in streamed.batch(0, step, 2)[1])
    assert captions.keys() == {"0-a", "0-b", "8-a", "8-b"}
    assert {*streamed.labels(0, 0, 2).tolist()} == {0, 8}
    assert [it for _, it in streamed.captions()] == ["0-a", "0-b", "8-a", "8-b"]


def test_a_run_knows_its_shards_by_their_hashes(shards: Path) -> None:
    first = list(dataset(shards / "*.tar").contents({}))
    assert [entry.name for entry in first] == [f"part-{it:03}.tar" for it in range(5)]
    known = {entry.name: entry for entry in first}
    (shards / "part-003.tar").write_bytes((shards / "part-002.tar").read_bytes())
    then = list(dataset(shards / "*.tar").contents(known))
    assert [one.sha256 == other.sha256 for one, other in zip(first, then, strict=True)] == [1, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.txt": b"a"}, "there are no pictures in"),
        ({"a.png": png(1)}, r"0\.tar/a: it has no 'txt'"),
        ({"a.png": png(1), "a.txt": b"\xff"}, r"0\.tar/a: 'utf-8' codec"),
        ({"a.png": png(1), "a.json": b"[]"}, r"0\.tar/a: its JSON is no object"),
        ({"a.png": b"x", "a.txt": b"a"}, r"cannot read .*0\.tar/a as an image"),
    ],
)
def test_what_is_wrong_with_a_sample_is_told_with_its_place(
    files: dict[str, bytes], said: str, tmp_path: Path
) -> None:
    write(tmp_path / "0.tar", files)
    with pytest.raises((PartError, ImageError), match=said):
        dataset(tmp_path / "0.tar").batch(0, 0, 1)


def test_a_shard_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="there is no shard"):
        dataset(tmp_path / "*.tar")
    with pytest.raises(PartError, match="ends before it begins"):
        dataset(tmp_path / "{3..1}.tar")
    (tmp_path / "a.tar").write_bytes(b"no shard at all" * 99)
    with pytest.raises(PartError, match=r"cannot read shard .*a\.tar"):
        dataset(tmp_path / "a.tar")
    whole = write(tmp_path / "b.tar", {"a.png": png(1), "a.txt": b"a", "b.png": bytes(99999), "b.txt": b"1"})
    whole.write_bytes(whole.read_bytes()[:40_000])
    with pytest.raises((PartError, ImageError), match=r"b\.tar"):
        dataset(whole).batch(0, 0, 2)


def test_shards_are_read_by_fsspec(shards: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in shards.glob("*.tar"):
        memory.pipe(f"/shards/{path.name}", path.read_bytes())
    near, far = dataset(shards / "*.tar"), dataset("memory://shards/*.tar")
    assert levels(far.batch(1, 0, 12)) == levels(near.batch(1, 0, 12))
    assert levels(dataset("memory://shards/part-00{1..2}.tar").batch(0, 0, 1))[0] in range(48, 144)
    first, again = list(far.contents({})), list(far.contents({}))
    assert first == again
    memory.pipe("/shards/part-003.tar", (shards / "part-002.tar").read_bytes())
    assert list(far.contents({})) != first
    with pytest.raises(PartError, match="fsspec cannot read"):
        dataset("nosuch://a/b.tar")


MEASURE = """
import resource, sys
from glidepath.plugins.train.data.configs import WebDatasetConfig
from glidepath.plugins.train.data.webdataset import WebDataset
it = WebDataset(WebDatasetConfig(shards=(sys.argv[1],), size=4, window=4))
for step in range(40):
    it.batch(0, step * 97, 16)
print(sum(it.counts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measured(pattern: Path) -> tuple[int, int]:
    """(samples, kB of memory at the most) of a process that goes through some of a dataset."""
    out = subprocess.run([sys.executable, "-c", MEASURE, pattern], check=True, capture_output=True, text=True)
    samples, peak = map(int, out.stdout.split())
    return samples, peak


@pytest.mark.thorough
def test_ten_times_the_samples_take_no_more_memory(tmp_path: Path) -> None:
    """Shards of a thousand samples each: 10,000 of them, then 100,000, by links to the same ten."""
    for shard in range(10):
        files = {}
        for index in range(1000):
            files |= {f"{shard}-{index}.png": png(index % 256), f"{shard}-{index}.txt": b"grey"}
        write(tmp_path / f"a-{shard}.tar", files)
        for copy in range(10):
            (tmp_path / f"b-{shard}{copy}.tar").hardlink_to(tmp_path / f"a-{shard}.tar")
    few, many = measured(tmp_path / "a-*.tar"), measured(tmp_path / "b-*.tar")
    assert (few[0], many[0]) == (10_000, 100_000)
    # 90,000 more samples: less than 100 bytes each would be 9 MB; a list of names alone takes as much
    assert many[1] - few[1] < 4_000


def test_a_mixture_has_each_dataset_in_proportion_and_goes_through_it_as_alone(shards: Path) -> None:
    first, second = dataset(shards / "part-000.tar"), dataset(shards / "part-00[1-4].tar")
    mixed = Mixture(MixtureConfig(datasets=None, proportions=(3, 1)), [first, second])
    found = [level for step in range(100) for level in levels(mixed.batch(5, step, 20))]
    ours = [level for level in found if level < 48]
    assert len(ours) == 1500
    assert 250 <= len([level for level in found[:400] if level < 48]) <= 350
    assert ours == levels(first.batch(5, 0, 1500))
    pieces = Mixture(MixtureConfig(datasets=None, proportions=(3, 1)), [first, second])
    assert levels(pieces.batch(5, 150, 10)) == found[1500:1510]
    assert [entry.name for entry in mixed._contents({})] == ["0/part-000.tar"] + [
        f"1/part-00{it}.tar" for it in range(1, 5)
    ]


def test_a_mixture_holds_out_lists_and_divides_what_its_datasets_do(shards: Path) -> None:
    first = dataset(shards / "part-000.tar", held_out_share=0.5)
    second = dataset(shards / "part-00[12].tar")
    third = dataset(shards / "part-00[34].tar", held_out_share=0.3)
    mixed: Any = Mixture(MixtureConfig(datasets=None, proportions=(2, 5, 1)), [first, second, third])
    assert first.validation is not None
    assert third.validation is not None
    held = levels(mixed.validation.batch(0, 0, 300))
    ours = {*levels(first.validation.batch(0, 0, 100))}
    assert {*held} == ours | {*levels(third.validation.batch(0, 0, 100))}
    assert sum(level in ours for level in held) == pytest.approx(200, abs=30)
    assert not {*held} & {*levels(mixed.batch(0, 0, 900))}
    assert sorted(map(int, mixed.texts())) == [*range(0, 240, 8)]
    assert len([*mixed.outcomes()]) == 30
    assert levels(mixed.part(0, 3, 20, slice(5, 9))) == levels(mixed.batch(0, 3, 20))[5:9]
    report = report_on(mixed)
    assert (report.pictures, report.held_out) == (30, len({*held}))
    assert Mixture(MixtureConfig(datasets=None), [second]).validation is None


def test_a_mixture_of_images_of_two_shapes_is_refused(shards: Path) -> None:
    (shards / "a.png").write_bytes(png(3))
    (shards / "t.csv").write_text("file_name,text\na.png,a\n")
    table = CaptionedTable(TableConfig(file=shards / "t.csv", size=8))
    with pytest.raises(PartError, match=r"these are of \[\(3, 4, 4\), \(3, 8, 8\)\]"):
        Mixture(MixtureConfig(datasets=None), [dataset(shards / "*.tar"), table]).batch(0, 0, 20)
    with pytest.raises(PartError, match="there are 1 datasets, and 2 proportions"):
        Mixture(MixtureConfig(datasets=None, proportions=(1, 2)), [table])
