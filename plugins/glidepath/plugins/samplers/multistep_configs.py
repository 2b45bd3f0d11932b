"""The parameters of the samplers that join several predictions. Imports no torch."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, in_

from glidepath.plugins.samplers.grid_configs import GridConfig
from glidepath.registry import doc

_SOLVER = "midpoint or heun: how the integral of the second order is closed; the paper prefers midpoint"
_LOWER_ORDER_FINAL = (
    "below 15 steps, end with steps of a lower order; the very last is of the first order anyway where it "
    "ends at the image"
)


@attrs.frozen(kw_only=True)
class DpmppConfig(GridConfig):
    """A polynomial through the last predictions."""

    solver: Literal["midpoint", "heun"] = attrs.field(default="midpoint", metadata=doc(_SOLVER))
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))


@attrs.frozen(kw_only=True)
class Dpmpp3Config(GridConfig):
    """A parabola through the last three predictions."""

    solver: Literal["midpoint", "heun"] = attrs.field(
        default="midpoint", metadata=doc(f"of the steps that are of the second order. {_SOLVER}")
    )
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))


@attrs.frozen(kw_only=True)
class DpmppSdeConfig(GridConfig):
    """A polynomial through the last predictions, and noise drawn anew."""

    solver: Literal["midpoint", "heun"] = attrs.field(default="midpoint", metadata=doc(_SOLVER))
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))
    eta: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc("how much noise is drawn anew: 0 is dpmpp-2m, 1 the paper's stochastic equation"),
    )


@attrs.frozen(kw_only=True)
class UniPcConfig(GridConfig):
    """A predictor, and a corrector without a prediction of its own."""

    order: int = attrs.field(
        default=2, validator=in_((1, 2, 3)), metadata=doc("of the predictor; 2 with guidance, 3 without")
    )
    solver: Literal["bh1", "bh2"] = attrs.field(
        default="bh2", metadata=doc("the paper's B(h): bh1, h; bh2, e^h - 1, better where h is large")
    )
    predict_x0: bool = attrs.field(
        default=True,
        metadata=doc(
            "true: the form for a predicted x_0; false: that for epsilon, for images without guidance"
        ),
    )
    corrector: bool = attrs.field(
        default=True,
        metadata=doc("correct each step by the prediction at its end; false: the predictor alone"),
    )
