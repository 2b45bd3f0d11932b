"""The parameters of alerts. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
from attrs.validators import ge, gt, optional

from glidepath.registry import doc

Condition = Literal[
    "crashed",
    "nan",
    "spike",
    "stuck",
    "disk",
    "done",
    "stopped",
    "started",
    "stage-done",
    "trial-done",
    "trial-failed",
    "warning",
]

OF_EVENT: Final[Mapping[str, Condition]] = {
    "error": "crashed",
    "diverged": "nan",
    "spike": "spike",
    "disk-low": "disk",
    "unwritable": "disk",
    "done": "done",
    "stopped": "stopped",
    "started": "started",
    "stage-done": "stage-done",
    "trial-done": "trial-done",
    "trial-failed": "trial-failed",
    "warning": "warning",
}
"""The condition that an event of `glidepath.core.EVENTS` meets."""


@attrs.frozen(kw_only=True)
class Watched:
    """A figure of the log, and what it is not to do. Each bound that is given is watched."""

    metric: str = attrs.field(metadata=doc("a figure of the log, such as loss or own_caption"))
    above: float | None = attrs.field(default=None, metadata=doc("tell when it is above this"))
    below: float | None = attrs.field(default=None, metadata=doc("tell when it is below this"))
    plateau: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("tell when it has found no new lowest value in so many steps"),
    )
    drift: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "tell when the mean of its last 10 values is by this share above the lowest mean of any 10 "
            "before: 0.2 for a fifth"
        ),
    )


def _watched(values: Iterable[Any]) -> tuple[Watched, ...]:
    return tuple(value if isinstance(value, Watched) else Watched(**value) for value in values)


@attrs.frozen(kw_only=True)
class AlertConfig:
    """When a person is told. A subclass adds how."""

    tell: tuple[Condition, ...] = attrs.field(
        default=("crashed", "nan", "spike", "stuck", "disk", "done"),
        converter=tuple,
        metadata=doc(
            "crashed: an error, or its process was killed. nan: training diverged. spike: of the loss. "
            "stuck: nothing happens. disk: no room, or a folder that cannot be written. done, stopped, "
            "started, stage-done, warning; of a study trial-done and trial-failed"
        ),
    )
    steps: tuple[int, ...] = attrs.field(
        default=(), converter=tuple, metadata=doc("tell when so many steps are done")
    )
    when: tuple[Watched, ...] = attrs.field(
        default=(), converter=_watched, metadata=doc("figures that are watched")
    )
    stuck_after: float = attrs.field(
        default=600.0,
        validator=gt(0),
        metadata=doc("seconds without a step, a figure or a checkpoint that count as stuck"),
    )
    quiet: float = attrs.field(
        default=3600.0, validator=ge(0), metadata=doc("seconds within which the same is told once")
    )
    most: int = attrs.field(
        default=20, validator=ge(1), metadata=doc("messages in an hour; how many were held back is told")
    )
    patience: float = attrs.field(
        default=900.0, validator=ge(0), metadata=doc("seconds for which a failed delivery is tried again")
    )


def _named(default: str, what: str) -> Any:
    return attrs.field(
        default=default, metadata=doc(f"the environment variable that holds {what}; no file ever does")
    )


@attrs.frozen(kw_only=True)
class WebhookConfig(AlertConfig):
    """A POST of JSON."""

    url_env: str = _named("GLIDEPATH_WEBHOOK", "the address, http:// or https://")
    header_env: str = attrs.field(
        default="",
        metadata=doc("an environment variable that holds a header, such as `Authorization: Bearer ...`"),
    )
    format: Literal["json", "slack", "discord"] = attrs.field(
        default="json",
        metadata=doc("json: all that is known, by name. slack, discord: what their incoming webhooks take"),
    )
    timeout: float = attrs.field(default=10.0, validator=gt(0), metadata=doc("seconds for one attempt"))


@attrs.frozen(kw_only=True)
class AppriseConfig(AlertConfig):
    """Whatever apprise reaches."""

    urls_env: str = _named("APPRISE_URLS", "addresses as apprise writes them, divided by spaces or commas")


@attrs.frozen(kw_only=True)
class WandbAlertConfig(AlertConfig):
    """A run of Weights & Biases that holds the alerts. The key is WANDB_API_KEY, or that of `wandb login`."""

    project: str = attrs.field(default="glidepath", metadata=doc("the project of that run"))
    entity: str | None = attrs.field(default=None, metadata=doc("whose project; none: yours"))
