"""Writes 10,000 captioned pictures of Fashion-MNIST, 16 x 16, and 2,000 that are kept from training.

python make_table.py /usr/share/datasets/fashion-mnist

The folder is that of Debian's package dataset-fashion-mnist: four files in the format IDX (Xiao et al. 2017).
"""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CAPTIONS = (
    *("a t-shirt", "trousers", "a pullover", "a dress", "a coat"),
    *("a sandal", "a shirt", "a sneaker", "a bag", "an ankle boot"),
)
SIDE = 16
COUNTS = {"train": 10_000, "t10k": 2_000}


def read(file: Path) -> np.ndarray:
    """An array of a file in the format IDX: its number of dimensions, a number for each, then bytes."""
    data = gzip.decompress(file.read_bytes())
    sides = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, "u1", offset=4 + 4 * len(sides)).reshape(sides)


def write(source: Path, folder: Path) -> None:
    """Writes fashion.csv and its pictures into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "fashion.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "text", "test"])
        for part, count in COUNTS.items():
            pictures = read(source / f"{part}-images-idx3-ubyte.gz")[:count]
            labels = read(source / f"{part}-labels-idx1-ubyte.gz")[:count]
            for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
                name = f"{part}-{number:05}.png"
                # a border of two, so that 16 is half of a side
                padded = Image.fromarray(np.pad(pixels, 2))
                padded.resize((SIDE, SIDE), Image.Resampling.BOX).save(folder / name)
                table.writerow([name, CAPTIONS[label], part == "t10k"])


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(__file__).parent / "fashion")
