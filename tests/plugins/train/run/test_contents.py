"""What is wrong with a dataset is known before the first step, and a dataset is known by its contents."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.plugins.train.tiny import SIZE, WORDS, Colours, TinyTextEncoder, log_of, make_run, steps_of, train
from torch import Tensor

from glidepath.core import Event, GlidepathError, Listener, UnreadablePrompt
from glidepath.plugins.train.configs import Samples
from glidepath.plugins.train.data.configs import CaptionedFolderConfig
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.run.checkpoint import CheckpointError, existing
from glidepath.plugins.train.run.run import Run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images of one colour each, named by it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in WORDS[:3]:
        Image.new("RGB", (SIZE, SIZE), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(colour)
    return folder


class Reads(TinyTextEncoder):
    """Reads one word, if it knows it."""

    def truncated(self, prompt: str) -> str:
        first, _, rest = prompt.partition(" ")
        if first and first not in WORDS:
            raise UnreadablePrompt([f"{first} was never taught"], f"it knows {WORDS}")
        return rest


class Warned(Listener):
    """Keeps the sentences of which a person is warned."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def tell(self, event: Event) -> None:
        if event.name == "warning":
            self._told.append(event.message)


def run_of(folder: Path, photos: Path, **changes: Any) -> tuple[Run, list[str]]:
    """A run on a folder of images, and what it warns of."""
    told: list[str] = []
    values: dict[str, Any] = {
        "spec": {"data": {"use": "captioned-folder", "folder": str(photos)}},
        "located": frozenset({"data.folder"}),
        "listeners": [Warned(told)],
    }
    values["dataset"] = changes.get("dataset") or CaptionedFolder(
        CaptionedFolderConfig(folder=photos, size=SIZE)
    )
    run = make_run(folder, **values)
    return attrs.evolve(run, text_encoder=Reads()), told


def test_damaged_images_are_all_named_before_the_first_step(photos: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (photos / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(GlidepathError, match=r"2 of 3 images cannot be read:\n.*blue\.png.*\n.*red\.png"):
        train(run_of(tmp_path / "run", photos)[0])
    assert not (tmp_path / "run").exists()


def test_captions_that_cannot_be_read_are_named_before_the_first_step(photos: Path, tmp_path: Path) -> None:
    for name, caption in (("red", "pale red"), ("green", "pale red"), ("blue", "light")):
        (photos / f"{name}.txt").write_text(caption)
    with pytest.raises(UnreadablePrompt) as caught:
        train(run_of(tmp_path / "run", photos)[0])
    assert list(caught.value.problems) == [
        f"{photos / 'blue.txt'}: light was never taught",
        f"{photos / 'green.txt'}, {photos / 'red.txt'}: pale was never taught",
    ]
    assert not (tmp_path / "run").exists()


def test_prompts_of_samples_that_cannot_be_read_are_named_before_the_first_step(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnreadablePrompt) as caught:
        train(run_of(tmp_path / "run", photos)[0], samples=Samples(prompts=("red", "pale red")))
    assert list(caught.value.problems) == ["train.samples: pale was never taught"]
    assert not (tmp_path / "run").exists()


def test_it_is_told_once_how_many_captions_are_cut_and_what_is_passed_over(
    photos: Path, tmp_path: Path
) -> None:
    for name, sky in (("red", "red sky"), ("green", "green sky"), ("blue", "")):
        (photos / f"{name}.txt").write_text(sky)
    (photos / "licence.pdf").write_bytes(b"x")
    run, told = run_of(tmp_path / "run", photos)
    train(run)
    assert told == [
        f"{photos}: 1 file passed over, of no format that is read: licence.pdf",
        "2 captions are longer than the text encoder reads, "
        f"such as {photos / 'green.txt'}, of which 'sky' is not read",
        f"1 caption holds nothing that the text encoder reads, such as {photos / 'blue.txt'}",
    ]


def test_captions_that_are_drawn_anew_are_looked_at_too(tmp_path: Path) -> None:
    class Long(Colours):
        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            images, captions = super().batch(seed, step, size)
            return images, [f"{caption} sky" for caption in captions]

    run, told = run_of(tmp_path / "run", tmp_path, dataset=Long())
    train(run)
    [said] = told
    assert said.startswith("64 captions are longer than the text encoder reads")


def test_a_dataset_that_was_moved_is_the_same(photos: Path, tmp_path: Path) -> None:
    for folder in ("whole", "pieces"):
        train(run_of(tmp_path / folder, photos)[0], stop_after=None if folder == "whole" else 5)
    elsewhere = tmp_path / "elsewhere" / "cats"
    shutil.copytree(photos, elsewhere)
    shutil.rmtree(photos)
    train(run_of(tmp_path / "pieces", elsewhere)[0])
    assert steps_of(tmp_path / "pieces") == steps_of(tmp_path / "whole")
    one, other = ((tmp_path / it / "weights.safetensors").read_bytes() for it in ("whole", "pieces"))
    assert one == other


def rename(photos: Path) -> None:
    for suffix in (".png", ".txt"):
        (photos / f"red{suffix}").rename(photos / f"rot{suffix}")


def replace(photos: Path) -> None:
    """By an image of the same size, at the same times."""
    before = (photos / "red.png").stat()
    Image.new("RGB", (SIZE, SIZE), "#fe0000").save(photos / "red.png")
    os.utime(photos / "red.png", ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(photos: Path) -> None:
    for suffix in (".png", ".txt"):
        (photos / f"red{suffix}").unlink()


def add(photos: Path) -> None:
    for suffix in (".png", ".txt"):
        shutil.copy(photos / f"red{suffix}", photos / f"pink{suffix}")


def recaption(photos: Path) -> None:
    (photos / "red.txt").write_text("green")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, ["1 image is gone: red.png", "1 image is new: rot.png"]),
        (replace, ["1 image is not what it was, or its caption: red.png"]),
        (remove, ["1 image is gone: red.png"]),
        (add, ["1 image is new: pink.png"]),
        (recaption, ["1 image is not what it was, or its caption: red.png"]),
    ],
)
def test_a_dataset_that_has_changed_is_refused_and_what_changed_is_named(
    change: Callable[[Path], None], said: list[str], photos: Path, tmp_path: Path
) -> None:
    train(run_of(tmp_path / "run", photos)[0], stop_after=5)
    kept = shutil.copytree(photos, tmp_path / "kept")
    change(photos)
    listing = (tmp_path / "run" / "dataset.jsonl").read_text()
    with pytest.raises(CheckpointError) as caught:
        train(run_of(tmp_path / "run", photos)[0])
    assert [line.strip() for line in str(caught.value).splitlines()[1:-1]] == said
    assert (tmp_path / "run" / "dataset.jsonl").read_text() == listing
    for text in ("", "[]\n", '{"name": 3}\n', "[" * 9999):
        (tmp_path / "run" / "dataset.jsonl").write_text(text)
        with pytest.raises(CheckpointError, match=r"which ones is not known without its dataset\.jsonl"):
            train(run_of(tmp_path / "run", photos)[0])
    train(run_of(tmp_path / "run", kept)[0])
    assert log_of(tmp_path / "run")[-1]["step"] == 12


def test_a_checkpoint_that_knows_no_contents_knows_the_place(photos: Path, tmp_path: Path) -> None:
    """One of a dataset that did not lie in files, or of an earlier version."""
    train(run_of(tmp_path / "run", photos, dataset=Colours())[0], stop_after=5)
    moved = shutil.copytree(photos, tmp_path / "moved")
    with pytest.raises(CheckpointError, match=r"data\.folder was .*photos"):
        train(run_of(tmp_path / "run", moved)[0])
    train(run_of(tmp_path / "run", photos)[0])


def test_an_error_keeps_what_was_learnt(photos: Path, tmp_path: Path) -> None:
    """As Ctrl-C does: of an image that is gone, say; the run goes on when it is there again."""

    class Failing(CaptionedFolder):
        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            if step == 7:
                raise OSError("the disk is gone")
            return super().batch(seed, step, size)

    failing = Failing(CaptionedFolderConfig(folder=photos, size=SIZE))
    with pytest.raises(OSError, match="the disk is gone") as caught:
        train(run_of(tmp_path / "run", photos, dataset=failing)[0], checkpoint_every=100)
    assert caught.value.__notes__ == [f"a checkpoint of step 7 is in {tmp_path / 'run'}"]
    assert [path.name for path in existing(tmp_path / "run")] == ["checkpoint-00000007.safetensors"]
    for folder in ("run", "whole"):
        train(run_of(tmp_path / folder, photos)[0])
    one, other = (load_file(tmp_path / it / "weights.safetensors") for it in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_check_that_is_told_to_stop_ends_before_the_first_step(photos: Path, tmp_path: Path) -> None:
    run = attrs.evolve(run_of(tmp_path / "run", photos)[0], stop=lambda: True)
    assert train(run) is None
    assert not (tmp_path / "run").exists()


def test_the_listing_holds_what_is_trained_on(photos: Path, tmp_path: Path) -> None:
    train(run_of(tmp_path / "run", photos)[0], stop_after=1)
    lines = [json.loads(line) for line in (tmp_path / "run" / "dataset.jsonl").read_text().splitlines()]
    assert [(line["name"], line["caption"], len(line["sha256"])) for line in lines] == [
        (f"{name}.png", name, 64) for name in sorted(WORDS[:3])
    ]
