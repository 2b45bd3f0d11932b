"""What this plugin supplies: the kinds `metric` and `engine`, parts of both, and the command `study`.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs
from attrs.validators import ge, gt, optional

from glidepath.plugins.studies.feature_components import feature_metrics, whole_set
from glidepath.plugins.studies.metric_configs import ClipScoreConfig
from glidepath.registry.component import Command, Component, Extra, Kind, doc
from glidepath.registry.hooks import hookimpl

if TYPE_CHECKING:
    from glidepath.testing import Trial

_HERE = "glidepath.plugins.studies"
_AT_LEAST_1: Any = optional(ge(1))  # attrs types the validator of an optional field as of the field itself


@attrs.frozen(kw_only=True)
class LocalConfig:
    """Processes on this machine."""

    slots: int = attrs.field(
        default=1, validator=ge(1), metadata=doc("trials that run at the same time; they share the cores")
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
    cpus: float = attrs.field(
        default=1.0, validator=gt(0), metadata=doc("processors that a trial takes; it has as many threads")
    )
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


@hookimpl
def kinds() -> Iterable[Kind]:
    """What a study is made of, besides specs."""
    return (
        Kind(
            name="metric",
            interface=f"{_HERE}.interface:Metric",
            summary="judges the images of an arm of a study",
        ),
        Kind(
            name="engine",
            interface=f"{_HERE}.interface:Engine",
            summary="runs the trials of a study, each in a process of its own",
        ),
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses an engine, and a metric."""
    if kind == "engine":
        from glidepath.plugins.studies.engine_conformance import EngineTrial

        return (EngineTrial,)
    if kind == "metric":
        from glidepath.plugins.studies.metric_conformance import MetricTrial

        return (MetricTrial,)
    return ()


@hookimpl
def components() -> Iterable[Component]:
    """Engines, and metrics of what images cost."""
    return (
        Component(
            kind="engine",
            name="local",
            target=f"{_HERE}.local:LocalEngine",
            config=LocalConfig,
            summary="one process for each trial on this machine, forked from one that has imported torch",
        ),
        Component(
            kind="engine",
            name="in-process",
            target=f"{_HERE}.in_process:InProcessEngine",
            summary="one trial after the other in the process of the study itself, to look into a fault",
        ),
        Component(
            kind="engine",
            name="ray",
            target=f"{_HERE}.ray_engine:RayEngine",
            config=RayConfig,
            summary="a task of Ray Core for each trial, on this machine or on a cluster",
            requires=(Extra(module="ray", install="pip install 'glidepath[ray]'"),),
        ),
        Component(
            kind="metric",
            name="seconds-per-image",
            target=f"{_HERE}.costs:SecondsPerImage",
            provides=whole_set,
            summary="how long an image takes, in the batch that the study draws it in",
        ),
        Component(
            kind="metric",
            name="network-evaluations",
            target=f"{_HERE}.costs:NetworkEvaluations",
            provides=whole_set,
            summary="how often the denoiser is asked for an image; twice a step when guided",
        ),
        Component(
            kind="metric",
            name="peak-memory",
            target=f"{_HERE}.costs:PeakMemory",
            provides=whole_set,
            summary="the most memory in use while images are drawn: of the GPU, else of the process",
        ),
        Component(
            kind="metric",
            name="clip-score",
            target=f"{_HERE}.clip_score:ClipScore",
            config=ClipScoreConfig,
            summary="how well images fit their prompts, as a CLIP sees it that guides no arm",
            example="it asks a CLIP, and none comes with it",
            references=("https://arxiv.org/abs/2104.08718",),
        ),
        *feature_metrics(),
    )


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath study`."""
    return (
        Command(
            name="study",
            target=f"{_HERE}.command:main",
            summary="vary a spec, run every arm, and compare them",
        ),
    )
