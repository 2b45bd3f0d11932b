"""From packages to the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from glidepath.plugins.emoji.held_out import HeldOut
from glidepath.plugins.emoji.naming import Drawn, read_things
from glidepath.plugins.emoji.packages import ART, EMOJILIB, FLUENT, NOTO, code_of, contents, picture
from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.plugins.emoji.table import Listing, Table

#: Grey behind the pictures: ghosts, eggs and clouds are nearly white.
GROUND: Final = 224

_EXCHANGED: Final = {"1f3fc": "1f3fd", "1f3fd": "1f3fc"}


def make_table(folder: Path, *, size: int = 32, roles: bool = False) -> Table:
    """The table of everything legible, from the archives of the packages in a folder.

    size: of the pictures' sides, in pixels.
    roles: also the skin tones of people in roles.

    Raises:
        GlidepathError: an archive is missing, or is another than it should be.
    """
    archives = {package.name: contents(package, folder) for package in (*ART, EMOJILIB)}
    drawn = read_things(
        archives[NOTO.name]["package/emoji.json"],
        archives[EMOJILIB.name]["package/dist/emoji-en-US.json"],
    )
    art = [_pictures(archives[package.name], package.folder) for package in ART]
    art[ART.index(FLUENT)] = with_tones_in_order(art[ART.index(FLUENT)])
    return assemble_table(drawn, art, size=size, roles=roles)


def assemble_table(
    drawn: Sequence[Drawn], art: Sequence[Mapping[str, bytes]], *, size: int, roles: bool
) -> Table:
    """The table of things that some style has pictures of.

    art: for each style its files by code.
    """
    available = [
        drawing for drawing in drawn if any(code in files for files in art for code in drawing.codes.values())
    ]
    rows = [row for index, drawing in enumerate(available) for row in _rows(index, drawing, art, roles)]
    complete = [drawing for drawing in available if all(drawing.codes[0] in files for files in art)]
    toned = [
        drawing.thing.name
        for drawing in complete
        if len(drawing.codes) == len(TONES) and (roles or not drawing.role)
    ]
    held_out = HeldOut([drawing.thing.name for drawing in complete], toned)
    held = [held_out.why(available[thing].thing.name, style, tone) for thing, style, tone, _ in rows]
    pictures = np.stack([np.asarray(picture(art[row[1]][row[3]], size, GROUND)) for row in rows])
    thing, style, tone = (torch.tensor([row[column] for row in rows]) for column in range(3))
    things = tuple(drawing.thing for drawing in available)
    return Table(
        Listing(things, thing=thing, style=style, tone=tone, held=torch.tensor(held)),
        torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(),
    )


def with_tones_in_order(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by code, with two skin tones exchanged.

    @lobehub/fluent-emoji-3d 1.1.0 has medium-light under the code of medium and the other way round, in
    every picture: no toned hand of it is in order of lightness, and all of the other styles are.
    """
    return {
        "-".join(_EXCHANGED.get(part, part) for part in code.split("-")): it for code, it in files.items()
    }


def _pictures(archive: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    return {
        code_of(name): data
        for name, data in archive.items()
        if name.startswith(folder) and name.endswith((".png", ".webp"))
    }


def _rows(
    index: int, drawing: Drawn, art: Sequence[Mapping[str, bytes]], roles: bool
) -> Iterator[tuple[int, int, int, str]]:
    """(thing, style, tone, code) of each picture."""
    for tone, code in sorted(drawing.codes.items()):
        if tone and drawing.role and not roles:
            continue
        for style in range(len(STYLES)):
            if code in art[style]:
                yield index, style, tone, code
