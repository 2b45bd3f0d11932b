"""Letters of the font in Pillow as captioned pictures in three styles: learnt soon, without any package."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from glidepath.plugins.emoji import table
from glidepath.plugins.emoji.making import assemble_table
from glidepath.plugins.emoji.naming import Drawn
from glidepath.plugins.emoji.table import Table
from glidepath.plugins.emoji.things import Thing

LETTERS = "ABEHKMOSTX"
_INKS = ((200, 30, 30), (20, 70, 190), (20, 20, 20))


def glyphs(size: int = 16) -> Table:
    """Each letter flat and red, as a blue outline, and black on a yellow disc."""
    drawn = [
        Drawn(Thing(f"letter {letter.lower()}", (), "Symbols", "letters"), {0: letter}, role=False)
        for letter in LETTERS
    ]
    art = [{letter: _glyph(letter, style) for letter in LETTERS} for style in range(3)]
    return assemble_table(drawn, art, size=size, roles=False)


def written(folder: Path) -> Path:
    """The file of the table."""
    path = folder / "glyphs.safetensors"
    table.save(path, glyphs())
    return path


def _glyph(letter: str, style: int) -> bytes:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if style == 2:
        draw.ellipse((0, 0, 63, 63), fill=(250, 210, 60))
    font = ImageFont.load_default(52 if style < 2 else 42)
    ink = "white" if style == 1 else _INKS[style]
    draw.text((32, 32), letter, fill=ink, font=font, anchor="mm", stroke_width=3, stroke_fill=_INKS[style])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
