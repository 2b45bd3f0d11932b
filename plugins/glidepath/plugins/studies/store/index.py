"""The store as tables, for questions that folders answer slowly: SQLite, made from the folders."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glidepath.plugins.studies.store.files import StoreError, read_json
from glidepath.plugins.studies.store.store import GRAPH, PREIMAGE, Attempt, Store
from glidepath.plugins.studies.study.graph import STAGES

_TABLES = """
CREATE TABLE node (key TEXT PRIMARY KEY, stage TEXT NOT NULL);
CREATE TABLE attempt (
    key TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, began REAL, seconds REAL, message TEXT,
    PRIMARY KEY (key, number));
CREATE TABLE score (key TEXT NOT NULL, prompt INTEGER NOT NULL, value REAL, PRIMARY KEY (key, prompt));
CREATE TABLE trial (
    arm TEXT NOT NULL, train INTEGER NOT NULL, sample INTEGER NOT NULL, step TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (arm, train, sample, step));
"""


class Index:
    """The tables. Only the driver writes them: SQLite's locks do not hold on every network file system."""

    def __init__(self, store: Store, connection: sqlite3.Connection) -> None:
        self._store, self._connection = store, connection

    @classmethod
    @contextmanager
    def rebuilt(cls, store: Store, *, in_memory: bool = False) -> Iterator[Index]:
        """The index, made anew from the folders.

        in_memory: leaves no file: for reading a store that another process writes, or that cannot be written.

        Raises:
            StoreError: it cannot be written.
        """
        path = store.folder / "index.sqlite"
        with _reported(path):
            if not in_memory:
                for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
                    (store.folder / name).unlink(missing_ok=True)
            connection = sqlite3.connect(":memory:" if in_memory else path)
        try:
            with _reported(path):
                if not in_memory:
                    connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(_TABLES)
                index = cls(store, connection)
                index._fill()
            yield index
        finally:
            connection.close()

    def _fill(self) -> None:
        with self._connection:
            for key in self._store.node_keys():
                said = read_json(self._store.node(key) / PREIMAGE) or {}
                self._add_node(key, str(said.get("stage", "")))
                for attempt in self._store.attempts(key):
                    self._add(attempt)
            self._add_trials(read_json(self._store.folder / GRAPH) or {})

    def record(self, attempts: Iterable[Attempt], stages: Mapping[str, str]) -> None:
        """Take over attempts that ended. stages: of their nodes.

        Raises:
            StoreError: it cannot be written.
        """
        with _reported(self._store.folder / "index.sqlite"), self._connection:
            for attempt in attempts:
                self._add_node(attempt.key, stages[attempt.key])
                self._add(attempt)

    def record_trials(self, graph: Mapping[str, Any]) -> None:
        """Take over the trials of a graph, as graph.json has them. Raises as `record` does."""
        with _reported(self._store.folder / "index.sqlite"), self._connection:
            self._connection.execute("DELETE FROM trial")
            self._add_trials(graph)

    def _add_node(self, key: str, stage: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (key, stage))

    def _add(self, attempt: Attempt) -> None:
        said = attempt.said
        self._connection.execute(
            "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?)",
            (
                attempt.key,
                attempt.number,
                attempt.state,
                said.get("began"),
                said.get("seconds"),
                attempt.message,
            ),
        )
        scores = said.get("scores")
        if attempt.state == "done" and isinstance(scores, list):
            self._connection.executemany(
                "INSERT OR REPLACE INTO score VALUES (?, ?, ?)",
                ((attempt.key, prompt, value) for prompt, value in enumerate(scores)),
            )

    def _add_trials(self, graph: Mapping[str, Any]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO trial VALUES (?, ?, ?, ?, ?)",
            (
                (trial["arm"], trial["train"], trial["sample"], step, key)
                for trial in graph.get("trials", ())
                for step, key in trial["nodes"].items()
            ),
        )

    def states(self) -> dict[str, dict[str, int]]:
        """How many nodes each stage of the study has, by state; one with a result is "done".

        One that was only ever cancelled is "waiting": the next run tries it.
        """
        rows = self._connection.execute(
            """
            SELECT stage, state, COUNT(*) FROM (
                SELECT CASE WHEN step LIKE 'measure %' THEN 'measure' ELSE step END AS stage, CASE
                    WHEN SUM(state = 'done') THEN 'done' WHEN SUM(state = 'running') THEN 'running'
                    WHEN SUM(state != 'cancelled') THEN 'failed' ELSE 'waiting' END AS state
                FROM (SELECT DISTINCT step, key FROM trial) LEFT JOIN attempt USING (key) GROUP BY stage, key)
            GROUP BY stage, state"""
        )
        found: dict[str, dict[str, int]] = {stage: {} for stage in STAGES}
        for stage, state, count in rows:
            found[stage][state] = count
        return {stage: states for stage, states in found.items() if states}

    def by_arm(self) -> dict[str, tuple[int, int, int]]:
        """For each arm, how many of its trials' steps are done, failed and there in all."""
        rows = self._connection.execute(
            """
            SELECT arm, SUM(done), SUM(NOT done AND failed), COUNT(*) FROM (
                SELECT arm, train, sample, step, COALESCE(SUM(state = 'done'), 0) > 0 AS done,
                    COALESCE(SUM(state NOT IN ('done', 'running', 'cancelled')), 0) > 0 AS failed
                FROM trial LEFT JOIN attempt USING (key) GROUP BY arm, train, sample, step)
            GROUP BY arm"""
        )
        return {arm: (done, failed, count) for arm, done, failed, count in rows}

    def failures(self) -> list[tuple[str, str, str, str, int]]:
        """Nodes that were tried in vain: (stage, key, state, message, attempts), of the last that failed."""
        rows = self._connection.execute(
            """
            SELECT stage, key, state, message, number FROM attempt JOIN node USING (key)
            WHERE state NOT IN ('done', 'running', 'cancelled')
                AND key NOT IN (SELECT key FROM attempt WHERE state IN ('done', 'running'))
                AND number = (SELECT MAX(number) FROM attempt AS other
                    WHERE other.key = attempt.key AND other.state != 'cancelled')
            ORDER BY stage, key"""
        )
        return list(rows)

    def mean_seconds(self) -> dict[str, float]:
        """How long an attempt that succeeded took on average, by stage."""
        rows = self._connection.execute(
            "SELECT stage, AVG(seconds) FROM attempt JOIN node USING (key) "
            "WHERE state = 'done' GROUP BY stage"
        )
        return {stage: seconds for stage, seconds in rows if seconds is not None}

    def scores(self) -> Iterator[tuple[str, int, int, str, int, float | None]]:
        """Every score: (arm, training seed, sampling seed, metric, prompt, value); seeds by their places."""
        yield from self._connection.execute(
            """
            SELECT arm, train, sample, SUBSTR(step, 9), prompt, value FROM trial JOIN score USING (key)
            WHERE step LIKE 'measure %' ORDER BY step, arm, train, sample, prompt"""
        )


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"cannot write {path}: {error}; the folders beside it are whole") from error
