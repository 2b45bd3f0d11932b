"""The dataset `huggingface`."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from glidepath.core import PartError
from glidepath.plugins.train.data.configs import HuggingfaceConfig
from glidepath.plugins.train.data.huggingface import HuggingfaceDataset

datasets = pytest.importorskip("datasets", reason="the package datasets is an extra")

LEVELS = range(0, 240, 24)


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (level, level, level)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Greys with captions, as the package saves them, in a split of two."""
    rows = {
        "image": [{"bytes": png(level), "path": None} for level in LEVELS],
        "text": [f"{level}" for level in LEVELS],
        "class": [level % 5 for level in LEVELS],
    }
    columns = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    datasets.DatasetDict({"train": columns, "test": columns.select(range(2))}).save_to_disk(
        str(tmp_path / "d")
    )
    return tmp_path / "d"


def test_every_row_comes_once_with_its_caption(saved: Path) -> None:
    dataset = HuggingfaceDataset(HuggingfaceConfig(folder=saved, size=4, label="class"))
    images, captions = dataset.batch(0, 0, len(LEVELS))
    assert sorted(map(int, captions)) == [*LEVELS]
    assert [round((float(image.mean()) + 1) * 127.5) for image in images] == [*map(int, captions)]
    assert dataset.labels(0, 0, 10).tolist() == [int(caption) % 5 for caption in captions]
    again = pickle.loads(pickle.dumps(dataset)).batch(0, 0, 10)
    assert torch.equal(images, again[0])
    entries = list(dataset.contents({}))
    assert len(entries) == 10
    assert {entry.problem for entry in entries} == {""}
    assert len(HuggingfaceDataset(HuggingfaceConfig(folder=saved, size=4, split="test")).examples) == 2


def test_what_is_not_there_is_told(saved: Path) -> None:
    with pytest.raises(PartError, match="has no split 'valid'; it has t"):
        HuggingfaceDataset(HuggingfaceConfig(folder=saved, split="valid"))
    with pytest.raises(PartError, match="has no column caption"):
        HuggingfaceDataset(HuggingfaceConfig(folder=saved, text="caption"))
    with pytest.raises(PartError, match=r"cannot read .* as a dataset"):
        HuggingfaceDataset(HuggingfaceConfig(folder=saved / "absent"))
