"""The table of captioned pictures: one file, written by `glidepath emoji-table`, read by the dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.emoji.captions import caption
from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.plugins.emoji.things import Thing
from glidepath.registry import utf_8_name, write_tensors

FORMAT: Final = "glidepath-emoji-1"

#: Why a picture is kept from training: not at all; its style, where two others of the object are trained on,
#: or one; its skin tone; its colour.
HELD: Final = ("", "style", "style-of-two", "tone", "colour")

_SIZE: Final = 32
_COLUMNS: Final = {"thing": torch.int16, "style": torch.int8, "tone": torch.int8, "held": torch.int8}


def default_name(size: int) -> str:
    """What the file of pictures of so many pixels each side is called where nothing else is said."""
    return "emoji-table.safetensors" if size == _SIZE else f"emoji-table-{size}.safetensors"


@attrs.frozen(eq=False)
class Listing:
    """What some pictures show, without the pictures.

    things: the objects.
    thing, style, tone, held: [N] int64, indices into `things`, `STYLES`, `TONES` and `HELD`.
    """

    things: tuple[Thing, ...]
    thing: Tensor
    style: Tensor
    tone: Tensor
    held: Tensor

    def __len__(self) -> int:
        return len(self.thing)

    def caption(self, row: int) -> str:
        """The usual caption of a picture."""
        name = self.things[int(self.thing[row])].name
        return caption(name, STYLES[int(self.style[row])], TONES[int(self.tone[row])])

    def columns(self) -> dict[str, Tensor]:
        """The indices as files hold them."""
        return {name: getattr(self, name).to(dtype) for name, dtype in _COLUMNS.items()}

    def header(self) -> str:
        """The things, as files hold them: JSON."""
        return json.dumps([attrs.asdict(thing) for thing in self.things])

    @classmethod
    def of(cls, columns: Mapping[str, Tensor], header: str) -> Listing:
        """What `columns` and `header` gave."""
        things = tuple(_thing(entry) for entry in json.loads(header))
        return cls(things, **{name: columns[name].long() for name in _COLUMNS})


@attrs.frozen(eq=False)
class Table:
    """Pictures, and what they show.

    pictures: [N, 3, S, S] uint8.
    """

    listing: Listing
    pictures: Tensor

    def images(self, rows: Tensor) -> Tensor:
        """Pictures as training has them: [rows, 3, S, S] float32 in [-1, 1]."""
        return self.pictures[rows].to(torch.float32) / 127.5 - 1


def save(path: Path, table: Table) -> None:
    """Write a table, whole or not at all.

    Raises:
        CannotWrite: the file cannot be written.
    """
    tensors = {**table.listing.columns(), "pictures": table.pictures}
    write_tensors(path, tensors, {"format": FORMAT, "things": table.listing.header()})


def load(path: Path) -> Table:
    """Read a table.

    Raises:
        PartError: there is none, or it is no table of this version.
    """
    how = "`glidepath emoji-table` makes it from four packages"
    try:
        with utf_8_name(path) as name, safe_open(name, framework="pt") as file:
            header = file.metadata() or {}
            columns = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise PartError(f"cannot read the table of emoji {path}: {error}; {how}") from error
    if header.get("format") != FORMAT:
        raise PartError(f"{path} is no table of emoji that this version reads ({FORMAT}); {how}")
    return Table(Listing.of(columns, header["things"]), columns["pictures"])


def _thing(entry: dict[str, Any]) -> Thing:
    return Thing(**{**entry, "keywords": tuple(entry["keywords"])})
