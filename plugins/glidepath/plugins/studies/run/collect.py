"""From the store to `StudyResults`: scores as arrays, costs, failures, pictures, where they are from."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np

from glidepath.plugins.studies.engines.environment import machine_name
from glidepath.plugins.studies.engines.tasks import MANIFEST
from glidepath.plugins.studies.run.pictures import manifest_of, write_png
from glidepath.plugins.studies.run.weights_used import weights_used
from glidepath.plugins.studies.statistics.changed_pairs import changed_pairs, judged
from glidepath.plugins.studies.statistics.results import (
    Arm,
    ArmImage,
    Axis,
    Cost,
    Failure,
    MetricInfo,
    Progress,
    Provenance,
    StudyResults,
)
from glidepath.plugins.studies.store.files import IMAGES, StoreError, load_images, read_json
from glidepath.plugins.studies.store.store import ENVIRONMENT, RESULT, Attempt, Store
from glidepath.plugins.studies.study.cache_keys import digest
from glidepath.plugins.studies.study.graph import Graph, TrialNodes
from glidepath.plugins.studies.study.sections import CANCELLED
from glidepath.plugins.studies.study.study import Study

_MOST_PICTURED = 8


def collect(
    study: Study,
    graph: Graph,
    store: Store,
    *,
    command: str = "",
    real: Mapping[str, float] = MappingProxyType({}),
    pictured: bool = True,
) -> StudyResults:
    """What a store holds of a study, run to its end or part of the way.

    Scores are [training seeds, sampling seeds, prompts], NaN where a trial has no result; a metric of whole
    sets has one entry in place of the prompts. Pictures are written, as PNG, of the first seeds and prompts.

    real: what metrics say of real images, by label. pictured: False writes no pictures, and has none.
    """
    reading = _Reading(study, graph, store, real)
    arms = tuple(reading.arms())
    scores = {arm.name: reading.scores(arm.name) for arm in arms}
    attempts = [attempt for attempt in reading.done.values() if attempt is not None]
    results = StudyResults(
        name=study.name,
        question=study.about.question,
        arms=arms,
        baseline=study.baseline.name,
        metrics=tuple(reading.metrics()),
        scores=scores,
        training_seeds=tuple(study.train_seeds) or (0,),
        sampling_seeds=tuple(study.sample_seeds),
        prompts=tuple(study.prompts),
        axes=tuple(_axes(study)),
        shared_checkpoint=len({it.checkpoint for it in arms}) == 1,
        level=study.stats.confidence,
        test=study.stats.test,
        unit=study.stats.unit,
        contrasts=tuple(study.questions),
        waiting={arm.name: reading.waiting(arm.name) for arm in arms},
        pareto=_pareto(study, reading),
        costs={arm.name: reading.cost(arm.name) for arm in arms},
        failures=tuple(reading.failures()),
        pictures=tuple(reading.pictures()) if pictured else (),
        provenance=_provenance(study, attempts, command),
        warnings=tuple(study.warnings),
        per_prompt=study.data.per_prompt,
        progress=reading.progress(),
    )
    if not pictured:
        return results
    known = {(it.arm, it.training_seed, it.sampling_seed, it.prompt) for it in results.pictures}
    more = tuple(reading.pictures_at(it for it in _telling(results) if it not in known))
    return attrs.evolve(results, pictures=(*results.pictures, *more))


def _telling(results: StudyResults) -> list[tuple[str, int, int, int]]:
    """Where the images are that the report sets against each other: arm, seeds and prompt, each once."""
    metric = judged(results)
    pairs = changed_pairs(results, metric).pairs if metric is not None else ()
    places = [(arm, *pair.place) for pair in pairs for arm in (results.baseline, pair.arm.name)]
    return list(dict.fromkeys(places))


class _Reading:
    """One reading of a store, each node once."""

    def __init__(self, study: Study, graph: Graph, store: Store, real: Mapping[str, float]) -> None:
        self.study, self.graph, self.store, self.real = study, graph, store, real
        self.done: dict[str, Attempt | None] = {key: store.done(key) for key in graph.nodes}
        self._places = {
            prompt: (number, row)
            for number, batch in enumerate(graph.batches)
            for row, prompt in enumerate(batch.prompts)
        }
        self._trials: dict[str, list[TrialNodes]] = {}
        for trial in graph.trials:
            self._trials.setdefault(trial.arm, []).append(trial)

    def arms(self) -> Iterator[Arm]:
        labels = _labels({arm.name: arm.factors for arm in self.study.arms})
        for arm in self.study.arms:
            parts = {name: value for name, value in arm.factors.items() if isinstance(value, bool)}
            removed = tuple(name for name, there in parts.items() if not there)
            yield Arm(
                name=arm.name,
                label=labels[arm.name],
                values=dict(arm.factors),
                removed=removed,
                checkpoint=self._checkpoint(arm.name),
            )

    def _checkpoint(self, arm: str) -> str:
        """What an arm's weights are decided by: its trainings, or the files that its spec names."""
        nodes = self._trials[arm][0].nodes
        if self.study.trains:
            return nodes["train"][0]
        return digest(dict(_weights(self.graph.nodes[nodes["sample"][0]].preimage["reads"])))

    def waiting(self, arm: str) -> frozenset[tuple[int, int]]:
        """The places (training seed, sampling seed) of an arm that have not run, and so have not failed."""
        missing = {
            (it.train, it.sample): [key for key in it.keys if self.done[key] is None]
            for it in self._trials[arm]
        }
        return frozenset(at for at, keys in missing.items() if keys and not any(map(self._failed, keys)))

    def metrics(self) -> Iterator[MetricInfo]:
        """The metrics that have been measured at least once: only they have told their direction."""
        for metric in self.study.metrics:
            said = self._said(metric.label)
            if said is not None:
                yield MetricInfo(
                    name=metric.label,
                    title=_title(metric.label, said["name"]),
                    direction=said["direction"],
                    unit=said["unit"],
                    primary=metric.family == "primary",
                    given=metric.given,
                    margin=self.study.stats.equivalence.get(metric.label),
                    floor=self.real.get(metric.label) if said["direction"] == "lower" else None,
                    ceiling=self.real.get(metric.label) if said["direction"] == "higher" else None,
                )

    def scores(self, arm: str) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        found = {}
        for metric in self.study.metrics:
            said = self._said(metric.label)
            if said is None:
                continue
            seeds = (max(1, len(self.study.train_seeds)), len(self.study.sample_seeds))
            values = np.full((*seeds, 1 if metric.whole_set else len(self.study.prompts)), np.nan)
            for trial in self._trials[arm]:
                for number, key in enumerate(trial.nodes[f"measure {metric.label}"]):
                    attempt = self.done[key]
                    if attempt is not None:
                        places = (0,) if metric.whole_set else self.graph.batches[number].prompts
                        values[trial.train, trial.sample, list(places)] = _scores(attempt, len(places))
            found[metric.label] = values
        return found

    def _said(self, label: str) -> Mapping[str, Any] | None:
        """What some attempt said of a metric."""
        for trial in self.graph.trials:
            for key in trial.nodes[f"measure {label}"]:
                attempt = self.done[key]
                if attempt is not None:
                    return attempt.record
        return None

    def cost(self, arm: str) -> Cost:
        trials = self._trials[arm]
        keys = dict.fromkeys(key for trial in trials for key in trial.keys)
        own = [self.done[key] for key in keys if self.graph.nodes[key].arm.name == arm]
        drawn = [self.done[key] for trial in trials for key in trial.nodes["sample"]]
        said = [attempt.record for attempt in drawn if attempt is not None]
        computed = [attempt for attempt in own if attempt is not None]
        if not said:
            return Cost(computed=len(computed), reused=len(keys) - len(own))
        images = sum(int(it["images"]) for it in said)
        seconds = sum(attempt.seconds for attempt in computed)
        return Cost(
            seconds=seconds,
            device_hours=seconds / 3600,
            seconds_per_image=sum(float(it["draw_seconds"]) for it in said) / images,
            peak_bytes=max(int(it["peak_bytes"]) for it in said),
            evaluations=sum(float(it["evaluations"]) * int(it["images"]) for it in said) / images,
            computed=len(computed),
            reused=len(keys) - len(own),
        )

    def failures(self) -> Iterator[Failure]:
        for arm, trials in self._trials.items():
            for trial in trials:
                for key in trial.keys:
                    counted = self._failed(key) if self.done[key] is None else []
                    if counted:
                        yield Failure(
                            arm=arm,
                            trial=f"training seed {trial.train}, sampling seed {trial.sample}",
                            stage=self.graph.nodes[key].stage,
                            kind=counted[-1].state,
                            message=counted[-1].message,
                            attempts=len(counted),
                        )

    def _failed(self, key: str) -> list[Attempt]:
        return [it for it in self.store.counted(key) if it.state != CANCELLED]

    def progress(self) -> Progress:
        """A stage waits if it has no result and is of a trial in which nothing has failed."""
        waiting: set[str] = set()
        for trial in self.graph.trials:
            if (trial.train, trial.sample) in self.waiting(trial.arm):
                waiting.update(key for key in trial.keys if self.done[key] is None)
        done = sum(attempt is not None for attempt in self.done.values())
        return Progress(done=done, waiting=len(waiting), all=len(self.done))

    def pictures(self) -> Iterator[ArmImage]:
        """The first image of the first prompts, of the first seeds."""
        prompts = range(min(_MOST_PICTURED, len(self.study.prompts)))
        for arm, trials in self._trials.items():
            for prompt in prompts:
                yield from self._drawn(arm, trials[0], prompt)

    def pictures_at(self, places: Iterable[tuple[str, int, int, int]]) -> Iterator[ArmImage]:
        """The first image at each place (arm, training seed, sampling seed, prompt) that is kept."""
        for arm, training, sampling, prompt in places:
            trial = next(it for it in self._trials[arm] if (it.train, it.sample) == (training, sampling))
            yield from self._drawn(arm, trial, prompt)

    def _drawn(self, arm: str, trial: TrialNodes, prompt: int) -> Iterator[ArmImage]:
        """The image of a prompt, which is written once; none where none is kept."""
        number, row = self._places[prompt]
        attempt = self.done[trial.nodes["sample"][number]]
        if attempt is None:
            return
        file = attempt.folder / f"prompt-{row:04d}.png"
        if not file.exists():
            # an early store has no manifests, and to show these is no duty
            if not all((attempt.folder / it).exists() for it in (IMAGES, MANIFEST)):
                return
            manifest = read_json(attempt.folder / MANIFEST)
            if manifest is None:
                raise StoreError(f"{attempt.folder / MANIFEST} is damaged")
            place, images = row * self.study.data.per_prompt, load_images(attempt.folder)
            if place >= len(images):
                raise StoreError(f"{attempt.folder / IMAGES} is damaged: it has {len(images)} images")
            try:
                alone = manifest_of(manifest, place, self.study.data.batch)
                write_png(images[place], alone, file)
            except ValueError as error:  # or of a number that JSON does not know
                raise StoreError(f"{attempt.folder / MANIFEST} is damaged: {error}") from error
        yield ArmImage(
            arm=arm, prompt=prompt, file=file, training_seed=trial.train, sampling_seed=trial.sample
        )


def _scores(attempt: Attempt, count: int) -> list[float]:
    """The scores of a node; NaN for one that there is not."""
    scores = attempt.record["scores"]
    if len(scores) != count:
        raise StoreError(f"{attempt.folder / RESULT} has {len(scores)} scores for {count} prompts")
    return [np.nan if score is None else score for score in scores]


def _weights(reads: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is said of weights in what a stage reads, by its path."""
    for key, value in reads.items() if isinstance(reads, Mapping) else ():
        at = f"{path}.{key}"
        if key.rpartition(".")[2] == "weights":
            yield at, value
        else:
            yield from _weights(value, at)


def _title(label: str, name: str) -> str:
    """What the study calls a metric, and its own name where that says more."""
    words, own = (re.split(r"[\W_]+", text.casefold()) for text in (label, name))
    return name if set(words) <= set(own) else f"{label}: {name}"


def _labels(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """For figures: `classifier-free, scale 1.5` for `guidance=classifier-free,scale=1.5`.

    A word tells by itself what varies; a number does not. Where two arms would be called alike, and where
    arms are not named after values, they keep their names: then a label is "".
    """
    labels = {
        name: ", ".join(str(it) if isinstance(it, str) else f"{axis} {it}" for axis, it in values.items())
        for name, values in arms.items()
    }
    told = all("=" in name and labels[name] for name in arms) and len(set(labels.values())) == len(labels)
    return labels if told else dict.fromkeys(arms, "")


def _pareto(study: Study, reading: _Reading) -> tuple[str, ...]:
    """What the study weighs against each other, once all of it has been measured."""
    measured = {metric.name for metric in reading.metrics()}
    return study.stats.pareto if measured.issuperset(study.stats.pareto) else ()


def _axes(study: Study) -> Iterator[Axis]:
    """What arms vary, but for the parts that are there or not."""
    values: dict[str, list[Any]] = {}
    for arm in study.arms:
        for name, value in arm.factors.items():
            values.setdefault(name, []).append(value)
    for name, found in values.items():
        if not all(isinstance(value, bool) for value in found):
            yield Axis(name=name)


def _provenance(study: Study, attempts: list[Attempt], command: str) -> Provenance:
    """Where the results are from: the machines and versions of all attempts that have a result."""
    environments = [read_json(attempt.folder / ENVIRONMENT) or {} for attempt in attempts]
    machines = {machine_name(it) for it in environments} - {""}
    packages = {name: {str(it[name]) for it in environments if it.get(name)} for name in ("torch", "python")}
    distributions: dict[str, str] = {}
    for arm in study.arms:
        distributions.update(arm.plan.distributions)
    began = [float(attempt.record.get("began", 0.0)) for attempt in attempts]
    ended = [start + attempt.seconds for start, attempt in zip(began, attempts, strict=True)]
    return Provenance(
        command=command,
        started=_time(min(began, default=0.0)),
        finished=_time(max(ended, default=0.0)),
        hardware="; ".join(sorted(machines)),
        distributions=dict(sorted(distributions.items())),
        packages={name: ", ".join(sorted(found)) for name, found in packages.items()},
        more={
            f"weights {name}".strip(): f"sha256 {digests}" for name, digests in weights_used(attempts).items()
        },
    )


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) if seconds else ""
