"""The parameters of weightings and of timestep densities. Imports no torch."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge, gt, le, optional

from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class MinSnrConfig:
    """The error of x_0, weighted by its signal-to-noise ratio up to a bound."""

    gamma: float = attrs.field(
        default=5.0, validator=gt(0), metadata=doc("the signal-to-noise ratio above which none counts more")
    )


@attrs.frozen(kw_only=True)
class P2Config:
    """Less weight where little noise is left, whose details are not seen."""

    gamma: float = attrs.field(
        default=1.0, validator=ge(0), metadata=doc("how much less: 0 is not at all, the paper has 0.5 and 1")
    )
    k: float = attrs.field(
        default=1.0, validator=gt(0), metadata=doc("below this signal-to-noise ratio hardly anything changes")
    )


@attrs.frozen(kw_only=True)
class EdmWeightingConfig:
    """The error of EDM's network, alike at every noise level."""

    sigma_data: float = attrs.field(
        default=0.5, validator=gt(0), metadata=doc("the standard deviation of the data (its x_0)")
    )


@attrs.frozen(kw_only=True)
class Edm2WeightingConfig(EdmWeightingConfig):
    """EDM's weighting, divided by how large the error is at each noise level, which is learned."""

    channels: int = attrs.field(
        default=128,
        validator=ge(1),
        metadata=doc(
            "waves of the noise level that it is learned from, where the denoiser does not learn it itself"
        ),
    )


@attrs.frozen(kw_only=True)
class NormalConfig:
    """A normal distribution that is drawn from."""

    mean: float = attrs.field(
        default=0.0, metadata=doc("of the normal distribution: larger trains on more noise")
    )
    std: float = attrs.field(default=1.0, validator=gt(0), metadata=doc("its standard deviation"))


@attrs.frozen(kw_only=True)
class LogNormalConfig(NormalConfig):
    """log(sigma / alpha) from a normal distribution."""

    mean: float = attrs.field(
        default=-1.2, metadata=doc("of log(sigma / alpha): EDM has -1.2, EDM2 -0.4; larger is more noise")
    )
    std: float = attrs.field(
        default=1.2, validator=gt(0), metadata=doc("its standard deviation: EDM has 1.2, EDM2 1")
    )


@attrs.frozen(kw_only=True)
class AroundConfig:
    """A density that changes another one."""

    density: Any = attrs.field(
        default=None, metadata=part("timestep_density", "what is changed; none: uniform")
    )


@attrs.frozen(kw_only=True)
class ShiftedConfig(AroundConfig):
    """More noise, or less, than another density has."""

    shift: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc("what sigma / alpha is multiplied by; 2 trains on more noise; none: by `reference`"),
    )
    reference: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "the side of an x_0 of shift 1: twice the side shifts by 2, as its pixels say the same twice"
        ),
    )


@attrs.frozen(kw_only=True)
class ImportanceConfig:
    """Timesteps as often as their loss is large, weighted back."""

    history: int = attrs.field(
        default=10,
        validator=ge(1),
        metadata=doc("losses kept of each timestep; all are uniform until each has so many"),
    )
    uniform: float = attrs.field(
        default=0.001, validator=[gt(0), le(1)], metadata=doc("share that is drawn evenly all the same")
    )
    bins: int = attrs.field(
        default=100,
        validator=ge(1),
        metadata=doc("pieces of the times, in continuous time, that count as one"),
    )


def shifted_faults(config: ShiftedConfig) -> list[tuple[str, str]]:
    """What of the parameters does not fit together: (parameter, message)."""
    if (config.shift is None) == (config.reference is None):
        return [("shift", "say either shift or reference")]
    return []
