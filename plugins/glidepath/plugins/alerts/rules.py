"""Which events a person is told of, and in what words."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from glidepath.core import Event
from glidepath.plugins.alerts.configs import OF_EVENT, AlertConfig, Watched
from glidepath.plugins.alerts.message import Message

ENDS: Final = ("done", "stopped", "diverged", "error")
"""The events after which a process may end."""

_SEVERITIES: Mapping[str, Literal["info", "success", "warning", "failure"]] = {
    "crashed": "failure",
    "nan": "failure",
    "trial-failed": "failure",
    "spike": "warning",
    "stuck": "warning",
    "disk": "warning",
    "warning": "warning",
    "metric": "warning",
    "done": "success",
}
_TITLES: Mapping[str, str] = {
    "crashed": "has crashed",
    "nan": "has diverged",
    "spike": "had a spike of its loss",
    "stuck": "is stuck",
    "disk": "cannot keep its checkpoints for much longer",
    "done": "is done",
    "stopped": "was stopped",
    "started": "has started",
    "stage-done": "is done with a stage",
    "trial-done": "is done with a trial",
    "trial-failed": "has a trial that failed",
    "warning": "has something to say",
}
_MEAN_OF = 10
_MOST_TEXT = 2000


class Rules:
    """The rules of one alert, on one run or study."""

    def __init__(self, config: AlertConfig, subject: str) -> None:
        self._config, self._subject = config, subject
        self._steps = sorted(config.steps)
        self._watches = [_Watch(watched) for watched in config.when]
        self._last = Event(name="")

    def of(self, event: Event) -> Iterator[Message]:
        """What is told of an event."""
        if event.total:
            self._last = event
        condition = OF_EVENT.get(event.name)
        if condition in self._config.tell and condition is not None:
            key = f"{condition} {event.stage}" if condition.startswith(("stage", "trial")) else condition
            yield self._message(condition, key, _TITLES[condition], event)
        if event.name == "started":
            self._steps = [step for step in self._steps if step > event.step]
        while self._steps and event.name != "started" and event.step >= self._steps[0]:
            step = self._steps.pop(0)
            yield self._message("step", f"step {step}", f"has done {step} steps", event)
        if event.name == "logged":
            for watch in self._watches:
                for what in watch.seen(event):
                    yield self._message("metric", f"metric {what}", what, event)

    def killed(self, how: str) -> Iterator[Message]:
        """What is told when there is no more process, and it has not said that it ends."""
        if "crashed" in self._config.tell:
            yield self._message("crashed", "crashed", _TITLES["crashed"], self._last, how)

    def stuck(self, seconds: float) -> Iterator[Message]:
        """What is told when nothing has happened for so long."""
        if "stuck" in self._config.tell:
            how = f"no step, figure or checkpoint for {seconds:.0f} seconds; its process lives"
            yield self._message("stuck", "stuck", _TITLES["stuck"], self._last, how)

    def _message(self, condition: str, key: str, what: str, event: Event, how: str = "") -> Message:
        machine = socket.gethostname()
        where = f"step {event.step} of {event.total}" if event.total else ""
        place = ", ".join(filter(None, [where, event.stage, f"on {machine}"]))
        figures = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in event.figures.items())
        said = "" if how else event.message
        body = "\n".join(filter(None, [how or said, place, figures, _batches(event.details)]))
        data = {
            "condition": condition,
            "subject": self._subject,
            "machine": machine,
            "time": round(time.time(), 3),
            "step": event.step,
            "total": event.total,
            "stage": event.stage,
            "figures": dict(event.figures),
            "details": {} if how else dict(event.details),
        }
        severity = _SEVERITIES.get(condition, "info")
        title = f"{self._subject} {what}"
        return Message(
            condition=condition, key=key, title=title, body=body[:_MOST_TEXT], severity=severity, data=data
        )


def _batches(details: Mapping[str, Any]) -> str:
    """The batches of bad steps, as an event tells them."""
    lines = []
    for batch in details.get("batches", ()):
        shown = [
            f"{name}: {caption}" for name, caption in zip(batch["names"], batch["captions"], strict=False)
        ]
        lines.append(f"batch of step {batch['step']}: {'; '.join(shown or batch['captions'])}")
    return "\n".join(lines)


class _Watch:
    """One figure."""

    def __init__(self, watched: Watched) -> None:
        self._is = watched
        self._lowest, self._lowest_at = float("inf"), 0
        self._last: deque[float] = deque(maxlen=_MEAN_OF)
        self._lowest_mean = float("inf")

    def seen(self, event: Event) -> Iterator[str]:
        """What is wrong with the value in a line of the log."""
        value = event.figures.get(self._is.metric)
        if value is None:
            return
        name = self._is.metric.replace("_", " ")
        if self._is.above is not None and value > self._is.above:
            yield f"has a {name} above {self._is.above:g}"
        if self._is.below is not None and value < self._is.below:
            yield f"has a {name} below {self._is.below:g}"
        if value < self._lowest:
            self._lowest, self._lowest_at = value, event.step
        elif self._is.plateau is not None and event.step - self._lowest_at >= self._is.plateau:
            yield f"has found no lower {name} in {self._is.plateau} steps"
        self._last.append(value)
        if len(self._last) == _MEAN_OF:
            mean = sum(self._last) / _MEAN_OF
            if self._is.drift is not None and mean > self._lowest_mean * (1 + self._is.drift):
                yield f"has a {name} that rises: by {self._is.drift:.0%} above its lowest mean"
            self._lowest_mean = min(self._lowest_mean, mean)
