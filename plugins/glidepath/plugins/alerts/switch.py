"""The dead man's switch: who watches a run from another machine is told when its heart stops.

The times of two machines are not compared: what counts is for how long a file does not change here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from glidepath.core import Event
from glidepath.plugins.alerts.alert import Alert
from glidepath.plugins.alerts.outbox import Outbox
from glidepath.plugins.alerts.rules import Rules

HEARTBEAT = "heartbeat.json"
_TICK = 2.0
GONE = "its heart has stopped for {seconds:.0f} seconds: its process was killed, or its machine is gone"


class Switch:
    """One run, and the alerts that tell of it.

    after: seconds without a heartbeat.
    """

    def __init__(
        self,
        folder: Path,
        alerts: Sequence[Alert],
        after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._after, self._clock = after, clock
        self._told = [(Rules(it.config, str(folder)), Outbox(it.config, it.send)) for it in alerts]
        self._stuck_after = [alert.config.stuck_after for alert in alerts]
        self._beat, self._since = "", clock()
        self.state = "running"

    def look(self) -> str:
        """Read the heartbeat, tell what there is to tell; what has changed, for a person, or ""."""
        before = self.state
        text = self._read()
        if text and text != self._beat:
            self._beat, self._since = text, self._clock()
            self.state = self._take(json.loads(text))
        elif self.state in ("running", "stuck") and self._clock() - self._since > self._after:
            self.state = "gone"
            for rules, outbox in self._told:
                for message in rules.killed(GONE.format(seconds=self._clock() - self._since)):
                    outbox.add(message)
        for _, outbox in self._told:
            outbox.work()
        return self.state if self.state != before else ""

    @property
    def is_over(self) -> bool:
        """Whether the run is at its end, and all is told."""
        return self.state not in ("running", "stuck") and all(outbox.is_empty for _, outbox in self._told)

    def _take(self, beat: dict[str, object]) -> str:
        state, idle = str(beat["state"]), float(str(beat["idle"]))
        at = Event(name="", step=int(str(beat["step"])), total=int(str(beat["total"])))
        stuck = False
        for (rules, outbox), stuck_after in zip(self._told, self._stuck_after, strict=True):
            list(rules.of(at))  # where it stands
            if state == "running" and idle > stuck_after:
                stuck = True
                for message in rules.stuck(idle):
                    outbox.add(message)
        return "stuck" if stuck else state

    def _read(self) -> str:
        """What stands there; "" where it cannot be read, as of a machine that is gone with its disk."""
        try:
            text = (self.folder / HEARTBEAT).read_text(encoding="utf-8")
            beat = json.loads(text)
            return text if {"state", "idle", "step", "total"} <= beat.keys() else ""
        except (OSError, ValueError, AttributeError):
            return ""


def watch_all(switches: Sequence[Switch], say: Callable[[str], object]) -> int:
    """Watch until every run is at its end; 0 when all came to it in good order."""
    while not all(switch.is_over for switch in switches):
        for switch in switches:
            if changed := switch.look():
                say(f"{switch.folder}: {changed}")
        time.sleep(_TICK)
    return 0 if all(switch.state in ("done", "stopped") for switch in switches) else 1
