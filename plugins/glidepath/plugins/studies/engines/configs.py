"""The parameters of engines. Imports no torch; imported where one is used, not where they are listed."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge, gt, optional

from glidepath.registry import doc

_AT_LEAST_1: Any = optional(ge(1))  # attrs types the validator of an optional field as of the field itself


@attrs.frozen(kw_only=True)
class LocalConfig:
    """Processes on this machine."""

    slots: int = attrs.field(
        default=1, validator=ge(1), metadata=doc("trials that run at the same time, each with `data.threads`")
    )
    gpus: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc("GPUs that trials may use, numbered from 0; 0: they see what this process sees"),
    )
    per_gpu: int = attrs.field(
        default=1, validator=ge(1), metadata=doc("trials that share a GPU at the same time")
    )
    warm_up: float = attrs.field(
        default=120.0,
        validator=gt(0),
        metadata=doc("seconds within which the process that trials start from must be ready"),
    )


@attrs.frozen(kw_only=True)
class RayConfig:
    """A Ray cluster. The folder of the study has one path on all of its machines."""

    address: str | None = attrs.field(
        default=None,
        metadata=doc(
            "of a cluster that runs: auto, or host:port; none: Ray is started on this machine for the study"
        ),
    )
    cpus: float = attrs.field(default=1.0, validator=gt(0), metadata=doc("processors that a trial takes"))
    gpus: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc("GPUs that a trial takes; 0.5: two share one; 0: it sees none"),
    )
    slots: int | None = attrs.field(
        default=None,
        validator=_AT_LEAST_1,
        metadata=doc("most trials at the same time; none: as many as the cluster has room for"),
    )
