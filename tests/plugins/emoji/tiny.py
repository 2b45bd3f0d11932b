"""A few coloured discs that stand for emoji: no test needs the packages."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from glidepath.plugins.emoji import table
from glidepath.plugins.emoji.making import assemble_table
from glidepath.plugins.emoji.naming import Drawn
from glidepath.plugins.emoji.styles import STYLES, TONE_CODES
from glidepath.plugins.emoji.table import Table
from glidepath.plugins.emoji.things import Thing

NAMES = {
    "red heart": ("1f001", ("love", "like"), "Smileys & Emotion", "heart"),
    "purple heart": ("1f002", ("love", "purple"), "Smileys & Emotion", "heart"),
    "purple circle": ("1f003", ("round",), "Symbols", "geometric"),
    "red apple": ("1f004", ("fruit", "red"), "Food & Drink", "food-fruit"),
    "green apple": ("1f005", ("fruit", "green"), "Food & Drink", "food-fruit"),
    "cat": ("1f006", ("animal",), "Animals & Nature", "animal-mammal"),
    "cat face": ("1f007", ("animal", "pet"), "Animals & Nature", "animal-mammal"),
    "flat shoe": ("1f008", (), "Objects", "clothing"),
    "waving hand": ("1f009", ("hello",), "People & Body", "hand-fingers-open"),
    "pilot": ("1f00a", ("plane",), "People & Body", "person-role"),
}
TONED = ("waving hand", "pilot")


def things() -> list[Thing]:
    """The objects."""
    return [Thing(name, keywords, category, group) for name, (_, keywords, category, group) in NAMES.items()]


def drawn() -> list[Drawn]:
    """The objects with the codes of their pictures."""
    found = []
    for thing in things():
        code = NAMES[thing.name][0]
        tones = range(len(TONE_CODES)) if thing.name in TONED else range(1)
        codes = {tone: f"{code}-{TONE_CODES[tone]}" if tone else code for tone in tones}
        found.append(Drawn(thing, codes, role=thing.name == "pilot"))
    return found


def art(size: int = 20) -> list[Mapping[str, bytes]]:
    """For each style a disc for each code, of a colour of its own."""
    codes = [code for one in drawn() for code in one.codes.values()]
    return [
        {
            code: disc((20 * index % 256, 90 * style, 7 * index % 256), size)
            for index, code in enumerate(codes)
        }
        for style in range(len(STYLES))
    ]


def disc(colour: tuple[int, int, int], size: int = 20) -> bytes:
    """A PNG: a disc on nothing."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((2, 2, size - 3, size - 3), fill=(*colour, 255))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def tiny_table(size: int = 8, *, roles: bool = False) -> Table:
    """The table of all of them."""
    return assemble_table(drawn(), art(), size=size, roles=roles)


def written(folder: Path, size: int = 8) -> Path:
    """The file of a table."""
    table.save(folder / "emoji-table.safetensors", tiny_table(size))
    return folder / "emoji-table.safetensors"
