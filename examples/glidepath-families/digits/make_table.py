"""Writes scikit-learn's handwritten digits as pictures with captions; every fifth is kept from training.

python make_table.py
"""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write(folder: Path) -> None:
    """Writes digits.csv and its pictures into a folder, which is made."""
    digits = load_digits()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "digits.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "text", "test"])
        for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
            name = f"{number:04}.png"
            Image.fromarray((pixels * 255 / 16).astype("uint8")).save(folder / name)
            article = "an" if NAMES[digit] == "eight" else "a"
            table.writerow([name, f"{article} {NAMES[digit]}", number % 5 == 4])


if __name__ == "__main__":
    write(Path(__file__).parent / "digits")
