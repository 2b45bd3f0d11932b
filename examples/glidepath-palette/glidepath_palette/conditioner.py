"""What makes the condition of a request."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from glidepath.core import Codec, Condition, Conditioner, Input, Request
from glidepath_palette.config import PaletteConfig
from glidepath_palette.palette import MOST, Palette, palettes


class PaletteConditioner(Conditioner):
    """The condition "palette": the colours of a picture, for whose absence a palette of none stands."""

    makes = frozenset({"palette"})
    inputs: Mapping[str, Input] = {
        "palette": Input("whose main colours the image is to have", size="any", required=False)
    }

    def __init__(self, config: PaletteConfig) -> None:
        super().__init__()
        self.config = config

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """The palette of each image; of none where no picture was given."""
        none = Palette(torch.zeros(1, MOST, 3), torch.zeros(1, MOST, dtype=torch.bool))
        if "palette" not in request.inputs:
            rows = Palette(none.colours.expand(request.batch, -1, -1), none.mask.expand(request.batch, -1))
            return {"palette": Condition(rows, none)}
        return {"palette": Condition(palettes(request.rows("palette"), self.config.colours), none)}
