"""Whether a classifier of real pictures sees in an image what its prompt says; and its features, the pixels.

A support vector machine (Cortes and Vapnik 1995), of the pictures that training sees (make_table.py).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.svm import SVC
from torch import Tensor

name = "recognised"
direction = "higher"
unit = "share"

TABLE = Path(__file__).parent / "fashion" / "fashion.csv"


def pictures(*, test: bool) -> tuple[np.ndarray, list[str]]:
    """[N, 256] in 0 to 1, and captions: of pictures that training sees, or of those that it does not."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["test"] == "True") == test]
    pixels = [np.asarray(Image.open(TABLE.with_name(row["file_name"]))).flatten() / 255 for row in rows]
    return np.stack(pixels), [row["text"] for row in rows]


@cache
def judge() -> Any:
    """The classifier, which is trained in some seconds."""
    return SVC(C=10).fit(*pictures(test=False))


def features(images: Tensor) -> Any:
    """[N, 3, 16, 16] in 0 to 255 to [N, 256] in 0 to 1."""
    return (images.float().mean(dim=1).flatten(1) / 255).cpu().numpy()


def per_prompt(images: Tensor, prompts: Sequence[str]) -> list[float]:
    """1 where the image is of what its prompt says, 0 where it is of another."""
    return [
        float(said == prompt) for said, prompt in zip(judge().predict(features(images)), prompts, strict=True)
    ]


if __name__ == "__main__":
    unseen, captions = pictures(test=True)
    share = np.mean(judge().predict(unseen) == np.array(captions))
    print(f"of {len(captions)} pictures that training does not see {share:.1%} are recognised")
