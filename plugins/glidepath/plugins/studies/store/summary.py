"""What the folder of a study says of its last run as a whole: states, failures, times and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import attrs

from glidepath.plugins.studies.store.files import StoreError
from glidepath.plugins.studies.store.store import RESULT, Attempt, Store
from glidepath.plugins.studies.study.graph import STAGES
from glidepath.plugins.studies.study.sections import CANCELLED
from glidepath.registry import shorten

MEASURE = "measure "
"""What the name of a step begins with that measures; the label of the metric follows."""


class FailedNode(NamedTuple):
    """A node that has no result after some attempts; state and message are those of the last failure.

    arms: those whose trials need it.
    """

    stage: str
    key: str
    state: str
    message: str
    attempts: int
    arms: tuple[str, ...]

    @property
    def told(self) -> str:
        """In a line, for a person."""
        more = f" and {len(self.arms) - 1} more arms" if len(self.arms) > 1 else ""
        tried = f"{self.attempts} attempt{'s' * (self.attempts > 1)}"
        which = f"{self.stage} of {self.arms[0]}{more} ({self.key[:12]})"
        return f"{which}: {self.state} after {tried}: {shorten(self.message, 90)}"


class Score(NamedTuple):
    """A score of a trial. Seeds and prompts are given by their places in the study's lists."""

    arm: str
    train_seed: int
    sample_seed: int
    metric: str
    prompt: int
    value: float | None


@attrs.frozen(eq=False)
class Summary:
    """The trials of the last run, with every attempt at their nodes.

    trials: as graph.json has them. batches: the places of their prompts. stages, attempts: by the key of a
    node.
    """

    trials: Sequence[Mapping[str, Any]]
    batches: Sequence[Sequence[int]]
    stages: Mapping[str, str]
    attempts: Mapping[str, Sequence[Attempt]]

    def state(self, key: str) -> str:
        """The state of a node: "done", "running", "failed", or "waiting".

        A node that was only ever cancelled is "waiting": the next run tries it again.
        """
        states = {attempt.state for attempt in self.attempts[key]}
        for state in ("done", "running"):
            if state in states:
                return state
        return "failed" if states - {CANCELLED} else "waiting"

    def by_stage(self) -> dict[str, dict[str, int]]:
        """How many nodes each stage has, by state; stages in their order."""
        counts: dict[str, Counter[str]] = {stage: Counter() for stage in STAGES}
        for key, stage in self.stages.items():
            counts[stage][self.state(key)] += 1
        return {stage: dict(of_stage) for stage, of_stage in counts.items() if of_stage}

    def by_arm(self) -> dict[str, tuple[int, int, int]]:
        """For each arm, how many steps of its trials are done, how many failed, and how many there are."""
        states: dict[str, Counter[str]] = {}
        for trial in self.trials:
            states.setdefault(trial["arm"], Counter()).update(map(self.state, _keys(trial)))
        return {arm: (count["done"], count["failed"], count.total()) for arm, count in states.items()}

    def failures(self) -> list[FailedNode]:
        """The nodes that failed, by stage and key."""
        failed = []
        arms: dict[str, dict[str, None]] = {}
        for trial in self.trials:
            for key in _keys(trial):
                arms.setdefault(key, {})[trial["arm"]] = None
        for key, stage in self.stages.items():
            if self.state(key) == "failed":
                last = [attempt for attempt in self.attempts[key] if attempt.state != CANCELLED][-1]
                failed.append(FailedNode(stage, key, last.state, last.message, last.number, tuple(arms[key])))
        return sorted(failed)

    def mean_seconds(self) -> dict[str, float]:
        """How long an attempt that succeeded took on average, by stage."""
        seconds: dict[str, list[float]] = {}
        for key, stage in self.stages.items():
            done = (attempt for attempt in self.attempts[key] if attempt.state == "done")
            seconds.setdefault(stage, []).extend(attempt.seconds for attempt in done)
        return {stage: fmean(times) for stage, times in seconds.items() if times}

    def scores(self) -> Iterator[Score]:
        """Every score, by metric, arm and seeds.

        Raises:
            StoreError: there are more or fewer of them than prompts.
        """
        measured = [
            (step, trial["arm"], trial["train"], trial["sample"], listed(keys))
            for trial in self.trials
            for step, keys in trial["nodes"].items()
            if step.startswith(MEASURE)
        ]
        for step, arm, train_seed, sample_seed, keys in sorted(measured):
            several = len(keys) == len(self.batches)
            for number, key in enumerate(keys):
                done = next((attempt for attempt in self.attempts[key] if attempt.state == "done"), None)
                if done is None:
                    continue
                scores = done.record.get("scores", ())
                whole = len(scores) == 1 and not (several and len(keys) > 1)
                prompts = (0,) if whole else self.batches[number] if several else ()
                if len(prompts) != len(scores):
                    raise StoreError(
                        f"{done.folder / RESULT} has {len(scores)} scores for {len(prompts)} prompts"
                    )
                for prompt, value in sorted(zip(prompts, scores, strict=True), key=lambda it: it[0]):
                    yield Score(arm, train_seed, sample_seed, step.removeprefix(MEASURE), prompt, value)


def read_summary(store: Store) -> Summary:
    """Read what a store has of its last run. Whoever runs the study meanwhile is not disturbed.

    Raises:
        StoreError: what is known of the run is damaged.
    """
    graph = store.graph()
    stages = {
        key: "measure" if step.startswith(MEASURE) else step
        for trial in graph["trials"]
        for step, keys in trial["nodes"].items()
        for key in listed(keys)
    }
    batches = [batch["prompts"] for batch in graph.get("batches", ())] or [range(len(graph["prompts"]))]
    return Summary(graph["trials"], batches, stages, {key: store.attempts(key) for key in stages})


def listed(keys: str | Sequence[str]) -> Sequence[str]:
    """The keys of a step as a list; an earlier version wrote the only one."""
    return [keys] if isinstance(keys, str) else keys


def _keys(trial: Mapping[str, Any]) -> Iterator[str]:
    for keys in trial["nodes"].values():
        yield from listed(keys)
