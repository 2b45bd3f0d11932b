"""The parameters. Imports no torch: glidepath imports it whenever it checks a spec that uses them."""

from typing import Any

import attrs
from attrs.validators import ge, gt

from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class FlowConfig:
    """The straight path from image to noise."""

    num_steps: int = attrs.field(
        default=1000, validator=ge(2), metadata=doc("N, into how many timesteps the path is cut; at least 2")
    )
    warp: Any = attrs.field(
        default="glidepath-rectified-flow/even", metadata=part("warp", "how the timesteps lie along the path")
    )
    trained_on: Any = attrs.field(
        default=None,
        metadata=part(
            "schedule", "the denoiser's own, where that is another; guidance matched-input is for it"
        ),
    )


@attrs.frozen(kw_only=True)
class ShiftedConfig:
    """More timesteps where there is more noise."""

    shift: float = attrs.field(
        default=3.0,
        validator=gt(0),
        metadata=doc("what the odds of noise are multiplied by; 1 changes nothing"),
    )


@attrs.frozen(kw_only=True)
class EulerConfig:
    """Euler's method along the flow, deterministic."""

    steps: int | str | tuple[int, ...] = attrs.field(
        default=30, metadata=doc("which timesteps are visited; each costs one prediction")
    )
    clip: bool = attrs.field(
        default=True, metadata=doc("clip each predicted x_0 to [-1, 1]; false for latent spaces")
    )
