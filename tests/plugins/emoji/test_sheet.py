"""Contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from glidepath.plugins.emoji.sheet import contact_sheet, write_sheets

from .tiny import tiny_table


def test_every_picture_stands_in_a_sheet(tmp_path: Path) -> None:
    files = list(write_sheets(tiny_table(), tmp_path / "sheets"))
    assert [file.name for file in files] == ["sheet-001.png"]
    with Image.open(files[0]) as sheet:
        assert sheet.mode == "RGB"


def test_pictures_are_enlarged_in_their_order() -> None:
    pictures = torch.stack([torch.full((3, 8, 8), level, dtype=torch.uint8) for level in (10, 90, 170)])
    sheet = np.asarray(contact_sheet(pictures, ["one", "two", "three"], columns=2))
    width, height = sheet.shape[1] // 2, sheet.shape[0] // 2
    middles = [sheet[32, width // 2, 0], sheet[32, width + width // 2, 0], sheet[height + 32, width // 2, 0]]
    assert middles == [10, 90, 170]
    assert (sheet[height + 32, width + width // 2] == 255).all()
