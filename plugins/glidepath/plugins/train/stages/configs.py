"""The parameters of what a stage trains in another way than by its weights. Imports no torch."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, gt, lt, min_len, optional

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class LoraTraining:
    """Low-rank changes that are trained beside weights, which stay."""

    rank: int = attrs.field(default=16, validator=ge(1), metadata=doc("of each change"))
    alpha: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc("changes are multiplied by alpha / rank; none: by 1"),
    )
    targets: tuple[str, ...] = attrs.field(
        default=("to_q", "to_k", "to_v", "to_out.0"),
        validator=min_len(1),
        metadata=doc("how the names of the denoiser's layers end that are changed"),
    )
    text_targets: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("likewise of the text encoder, as q_proj and v_proj; none: it stays")
    )
    dropout: float = attrs.field(
        default=0.0, validator=[ge(0), lt(1)], metadata=doc("share of the inputs of changes that is dropped")
    )
    keys: Literal["diffusers", "kohya"] = attrs.field(
        default="diffusers", metadata=doc("the names in the file, as which program reads them")
    )

    @property
    def scale(self) -> float:
        """alpha."""
        return self.rank if self.alpha is None else self.alpha
