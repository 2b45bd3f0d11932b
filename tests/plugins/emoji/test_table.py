"""The table of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glidepath.core import PartError
from glidepath.plugins.emoji import table
from glidepath.plugins.emoji.making import with_tones_in_order
from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.plugins.emoji.table import HELD

from .tiny import NAMES, TONED, tiny_table, written


def test_each_thing_has_a_row_for_each_style_and_tone() -> None:
    listing = tiny_table(roles=True).listing
    assert len(listing) == len(STYLES) * (len(NAMES) + len(TONED) * (len(TONES) - 1))
    rows = torch.stack((listing.thing, listing.style, listing.tone), dim=1).tolist()
    assert len(set(map(tuple, rows))) == len(rows)


def test_tones_of_people_in_roles_are_left_out_unless_asked_for() -> None:
    listing = tiny_table().listing
    toned = {listing.things[thing].name for thing in listing.thing[listing.tone > 0].tolist()}
    assert toned == {"waving hand"}


def test_rows_show_their_own_picture() -> None:
    found = tiny_table(size=20)
    middle = found.pictures[:, :, 10, 10]
    assert len(set(map(tuple, middle.tolist()))) == len(middle)
    assert set((middle[:, 1] // 90).tolist()) == {0, 1, 2}
    assert torch.equal(middle[:, 1] // 90, found.listing.style.to(torch.uint8))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    before, after = tiny_table(), table.load(written(tmp_path))
    assert after.listing.things == before.listing.things
    for name in ("thing", "style", "tone", "held"):
        assert torch.equal(getattr(after.listing, name), getattr(before.listing, name))
    assert torch.equal(after.pictures, before.pictures)


def test_images_are_as_training_has_them(tmp_path: Path) -> None:
    found = tiny_table()
    images = found.images(torch.tensor([0, 3]))
    assert (images.shape, images.dtype) == ((2, 3, 8, 8), torch.float32)
    assert torch.equal(((images + 1) * 127.5).round().to(torch.uint8), found.pictures[[0, 3]])


def test_captions_of_rows_are_the_usual_ones() -> None:
    listing = tiny_table().listing
    row = int(((listing.tone == 5) & (listing.style == 2)).nonzero()[0])
    assert listing.caption(row) == "a waving hand, dark skin tone, 3d"
    assert listing.caption(0) == "a red heart, flat"


def test_colours_that_are_held_out_are_marked() -> None:
    listing = tiny_table().listing
    held = (listing.held == HELD.index("colour")).nonzero().flatten().tolist()
    assert {listing.things[int(listing.thing[row])].name for row in held} == {"purple heart"}
    assert len(held) == 3


def test_a_missing_table_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="emoji-table"):
        table.load(tmp_path / "none.safetensors")


def test_another_file_is_no_table(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(PartError, match="no table of emoji that this version reads"):
        table.load(tmp_path / "a.safetensors")


def test_two_exchanged_tones_are_put_in_order() -> None:
    files = {"1f44b-1f3fc": b"medium", "1f44b-1f3fd": b"medium-light", "1f44b-1f3fb": b"light", "1f44b": b""}
    assert with_tones_in_order(files) == {
        "1f44b-1f3fd": b"medium",
        "1f44b-1f3fc": b"medium-light",
        "1f44b-1f3fb": b"light",
        "1f44b": b"",
    }
