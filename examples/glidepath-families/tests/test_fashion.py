"""The table of the study of clothes: pictures of half the size, with captions, of files in the format IDX."""

from __future__ import annotations

import csv
import gzip
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "fashion"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def idx(file: Path, values: np.ndarray) -> None:
    """Yann LeCun's format: two zeros, 8 for bytes, the number of dimensions, each as 32 bits, the values."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    file.write_bytes(gzip.compress(head + values.astype("u1").tobytes()))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Ten kinds of clothes as a bright square each, at a place of its own: 40 to train on, and 10."""
    for part, count in (("train", 40), ("t10k", 10)):
        labels = np.arange(count) % 10
        pictures = np.zeros((count, 28, 28))
        for number, label in enumerate(labels):
            top, left = 4 + 10 * (label // 5), 2 + 5 * (label % 5)
            pictures[number, top : top + 8, left : left + 4] = 160 + number
        idx(tmp_path / f"{part}-images-idx3-ubyte.gz", pictures)
        idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    module("make_table").write(tmp_path, tmp_path / "fashion")
    return tmp_path / "fashion" / "fashion.csv"


def test_pictures_are_halved_with_a_border_and_have_their_captions(table: Path) -> None:
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows[:3]] == ["a t-shirt", "trousers", "a pullover"]
    assert [row["test"] for row in rows].count("True") == 10
    halved = np.asarray(Image.open(table.with_name(rows[3]["file_name"])), float)
    padded = np.zeros((32, 32))
    padded[6:14, 19:23] = 163
    np.testing.assert_allclose(halved, padded.reshape(16, 2, 16, 2).mean((1, 3)), atol=0.5)


def test_the_judge_finds_the_pictures_that_it_did_not_see_and_not_those_of_other_captions(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn", reason="the judge of clothes is a support vector machine of scikit-learn")
    import torch

    judge = module("recognised")
    monkeypatch.setattr(judge, "TABLE", table)
    pixels, captions = judge.pictures(test=True)
    images = torch.from_numpy(255 * pixels).reshape(-1, 1, 16, 16).expand(-1, 3, -1, -1)
    assert judge.per_prompt(images, captions) == [1.0] * 10
    assert judge.per_prompt(images, captions[1:] + captions[:1]) == [0.0] * 10
