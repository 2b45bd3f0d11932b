"""What a study that runs shows so far: its verdicts, written beside the results as they come."""

from __future__ import annotations

import time
from typing import Any

from glidepath.core import Event, Listener
from glidepath.plugins.studies.run.collect import collect
from glidepath.plugins.studies.store.files import read_json, write_json
from glidepath.plugins.studies.store.store import VERDICTS, Store
from glidepath.plugins.studies.study.graph import Graph
from glidepath.plugins.studies.study.study import Study
from glidepath.registry import needed

_SHARE = 0.01
"""Of the run's time, that verdicts may take before its end."""

_SHAPE = {"summary": str, "verdicts": [{"told": str, "verdict": str}]}


class SoFar(Listener):
    """Writes `verdicts.json` when something more was measured, as often as costs little, and at the end.

    It has what `study report` concludes from the results that are there. Where that cannot be, as without
    the extra `studies`, there is none.
    """

    def __init__(self, study: Study, graph: Graph, store: Store) -> None:
        self._study, self._graph, self._store = study, graph, store
        self._due = 0.0
        self._measured = False
        self._off = False

    def tell(self, event: Event) -> None:
        """Conclude, if it is time."""
        ends = event.name in ("done", "stopped")
        if event.name == "started":
            (self._store.folder / VERDICTS).unlink(missing_ok=True)
        if event.name == "trial-done" and event.stage.startswith("measure"):
            self._measured = True
        is_missing = ends and not (self._store.folder / VERDICTS).exists()
        if self._off or not (self._measured or is_missing) or not (ends or time.monotonic() >= self._due):
            return
        try:
            # what is imported once is no cost of every time
            needed("scipy.stats", "the statistics of a study", extra="studies")
            began = time.monotonic()
            write_json(self._store.folder / VERDICTS, self._concluded())
        except Exception:  # no study ends by what is said of it; its report tells what is in the way
            self._off = True
            return
        self._measured = False
        now = time.monotonic()
        self._due = now + (now - began) / _SHARE

    def _concluded(self) -> dict[str, Any]:
        from glidepath.plugins.studies.report.verdicts import sentences, summary, unfinished
        from glidepath.plugins.studies.statistics.analysis import compare

        results = collect(self._study, self._graph, self._store, pictured=False)
        if not results.metrics:
            return {"summary": "Nothing was measured yet.", "verdicts": []}
        analysis = compare(results)
        return {
            "summary": unfinished(results) + summary(analysis),
            "verdicts": [{"told": told, "verdict": verdict} for told, verdict in sentences(analysis)],
        }


def verdicts_of(store: Store) -> dict[str, Any] | None:
    """What a run of a study has concluded so far; None where it has not, or the file is damaged."""
    found: dict[str, Any] | None = read_json(store.folder / VERDICTS, _SHAPE)
    return found
