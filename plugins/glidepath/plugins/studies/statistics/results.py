"""What a study found, as statistics and reports read it: plain values, filled from the store.

Scores are arrays [training seeds, sampling seeds, prompts], float64, NaN where a trial failed; a metric of a
whole set of images has one entry in place of the prompts. Seeds and prompts are the same for every arm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.interface import Direction
from glidepath.plugins.studies.statistics.power import Test

Array = npt.NDArray[np.float64]
Value = str | int | float | bool | None

#: What a study file may call its unit of replication.
Replicate = Literal["prompts", "seeds", "trainings", "pairs"]

#: What cannot be below 0, by its unit.
_AMOUNTS: Final = frozenset({"s", "ms", "min", "h", "B", "KiB", "MiB", "GiB", "MB", "GB", "J", "W"})
# Squares of larger numbers, and sums of them, are not finite.
_LARGEST: Final = 1e150


@attrs.frozen(kw_only=True)
class Axis:
    """Something that arms vary. Numeric where every value is a number; then `scale` says how it is drawn."""

    name: str
    label: str = ""
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"

    @property
    def title(self) -> str:
        """The label, with the unit."""
        return f"{self.label or self.name}{f' ({self.unit})' if self.unit else ''}"


@attrs.frozen(kw_only=True)
class Arm:
    """One way of doing it.

    name: short and unique. label: for tables and figures, the name where it is empty.
    values: by axis; an axis that this arm does not have is left out.
    removed: parts taken out, in a leave-one-out study; the full model has none.
    checkpoint: what tells its weights from those of other arms: arms of one checkpoint share their weights.
    """

    name: str
    label: str = ""
    values: Mapping[str, Value] = attrs.field(factory=dict)
    removed: tuple[str, ...] = ()
    checkpoint: str = ""

    @property
    def title(self) -> str:
        """The label, or the name."""
        return self.label or self.name


@attrs.frozen(kw_only=True)
class MetricInfo:
    """What is measured.

    primary: in the declared family, whose p values are adjusted together (Holm); the others are exploratory.
    given: whether the spec decides it, as it does how often a network is asked: it is shown, and not tested.
    margin: differences within +-margin do not matter, in the metric's unit; None: no equivalence is claimed.
    floor, ceiling: the worst or the best value that there is reason to expect, as on real data: a distance
        between two sets of real images is its floor, the reader's accuracy on real images its ceiling.
    """

    name: str
    title: str = ""
    direction: Direction
    unit: str = ""
    primary: bool = False
    given: bool = False
    margin: float | None = attrs.field(default=None)
    floor: float | None = None
    ceiling: float | None = None

    @margin.validator
    def _positive(self, _: object, value: float | None) -> None:
        if value is not None and not value > 0:
            raise ValueError(f"the margin of {self.name} is above 0, not {value}")

    @property
    def label(self) -> str:
        """The title, or the name."""
        return self.title or self.name

    @property
    def heading(self) -> str:
        """The label without what stands in brackets, such as which network gave the features: for figures."""
        return self.label.partition(" (")[0]

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that a score can be, as its unit says: a share is within 0 and 1."""
        if self.unit in ("share", "%"):
            return 0.0, 1.0 if self.unit == "share" else 100.0
        return 0.0 if self.unit in _AMOUNTS else -math.inf, math.inf

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.direction == "higher" else -1


@attrs.frozen(kw_only=True)
class Contrast:
    """A difference that a study asks for: the mean over its cells of an arm minus another.

    name: unique among the contrasts. title, against: what is compared with what, for a person.
    cells: pairs of arms that differ in what is asked alone; one is a difference inside a cell, all cells of a
        grid are a main effect.
    """

    name: str
    title: str
    against: str
    cells: tuple[tuple[str, str], ...]


@attrs.frozen(kw_only=True)
class Cost:
    """What an arm took, over all its trials; None where it was not measured.

    seconds: in all, of stages that were computed for it. seconds_per_image: of drawing.
    peak_bytes: the most memory at a time. evaluations: of the denoiser, for an image.
    computed, reused: stages of its trials that ran, and that another arm or an earlier run had done.
    """

    seconds: float | None = None
    device_hours: float | None = None
    seconds_per_image: float | None = None
    peak_bytes: int | None = None
    evaluations: float | None = None
    computed: int = 0
    reused: int = 0


@attrs.frozen(kw_only=True)
class Failure:
    """A trial that gave no result.

    kind: its class, as "out of memory". trial: which, for a person. message: the end of its traceback.
    """

    arm: str
    trial: str
    stage: str
    kind: str
    message: str = ""
    attempts: int = 1


@attrs.frozen(kw_only=True)
class ArmImage:
    """An image that an arm drew, as a file of its own; the numbers are positions in seeds and prompts."""

    arm: str
    prompt: int
    file: Path
    training_seed: int = 0
    sampling_seed: int = 0


@attrs.frozen(kw_only=True)
class Provenance:
    """Where the results are from. `more` is shown as it is: name to value."""

    command: str = ""
    commit: str = ""
    difference: str = ""
    started: str = ""
    finished: str = ""
    hardware: str = ""
    distributions: Mapping[str, str] = attrs.field(factory=dict)
    packages: Mapping[str, str] = attrs.field(factory=dict)
    more: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Progress:
    """How far a study is: stages that are done, stages that have not run yet, and stages in all.

    The rest has failed, or waits for what has.
    """

    done: int
    waiting: int
    all: int

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run."""
        return self.waiting == 0


@attrs.frozen(kw_only=True, eq=False)
class StudyResults:
    """A study, run to its end or part of the way.

    baseline: the name of the arm that the others are compared with.
    scores: by arm, then by metric. An arm without scores for a metric failed throughout.
    shared_checkpoint: whether all arms use the same weights (for each training seed).
    unit: what is repeated, as the study says; None: trainings where there are several, else pairs.
    contrasts: what the study asks; none: every arm is compared with the baseline.
    waiting: by arm, the places (training seed, sampling seed) that have not run, and so have not failed.
    level: of confidence; 1 - level is what a family's claims may err. test: what decides.
    per_prompt: images of each prompt; a score of a prompt is the mean over them.
    progress: how far it has run, None where that is not known.
    pareto: metrics that are weighed against each other; empty: the first primary ones and seconds per image.

    Raises:
        ValueError: names are doubled or unknown, or scores have other shapes than seeds and prompts say; with
            all that is wrong.
    """

    name: str
    question: str
    arms: tuple[Arm, ...]
    baseline: str
    metrics: tuple[MetricInfo, ...]
    scores: Mapping[str, Mapping[str, Array]]
    training_seeds: tuple[int, ...]
    sampling_seeds: tuple[int, ...]
    prompts: tuple[str, ...]
    axes: tuple[Axis, ...] = ()
    shared_checkpoint: bool = False
    level: float = 0.95
    test: Test = "sign-flip"
    unit: Replicate | None = None
    contrasts: tuple[Contrast, ...] = ()
    waiting: Mapping[str, frozenset[tuple[int, int]]] = attrs.field(factory=dict)
    pareto: tuple[str, ...] = ()
    costs: Mapping[str, Cost] = attrs.field(factory=dict)
    failures: tuple[Failure, ...] = ()
    pictures: tuple[ArmImage, ...] = ()
    provenance: Provenance = attrs.field(factory=Provenance)
    warnings: tuple[str, ...] = ()
    per_prompt: int = 1
    progress: Progress | None = None

    def __attrs_post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ValueError(f"results of the study {self.name!r}: " + "; ".join(problems))

    @property
    def rivals(self) -> tuple[Arm, ...]:
        """All arms but the baseline."""
        return tuple(arm for arm in self.arms if arm.name != self.baseline)

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        return next(it for it in self.arms if it.name == name)

    def metric(self, name: str) -> MetricInfo:
        """The metric of a name."""
        return next(it for it in self.metrics if it.name == name)

    @property
    def questions(self) -> tuple[Contrast, ...]:
        """Every arm against the baseline, each by its name."""
        against = self.arm(self.baseline).title
        return tuple(
            Contrast(name=it.name, title=it.title, against=against, cells=((it.name, self.baseline),))
            for it in self.rivals
        )

    def of_checkpoints(self, question: Contrast) -> bool:
        """Whether it is about single checkpoints, and so not about how they were trained."""
        arms = [(self.arm(one), self.arm(other)) for one, other in question.cells]
        other = any(not one.checkpoint or one.checkpoint != two.checkpoint for one, two in arms)
        return len(self.training_seeds) == 1 and not self.shared_checkpoint and other

    def bounds(self, metric: str) -> tuple[float, float]:
        """Those of a metric, where its scores keep to them."""
        low, high = self.metric(metric).bounds
        scores = [self.of(arm.name, metric) for arm in self.arms]
        kept = all(not ((it < low) | (it > high)).any() for it in scores)
        return (low, high) if kept else (-math.inf, math.inf)

    def of(self, arm: str, metric: str) -> Array:
        """Scores [training seeds, sampling seeds, prompts] that can be computed with; others are NaN, as are
        all of an arm without any."""
        found = self.raw(arm, metric)
        return np.where(np.abs(found) < _LARGEST, found, np.nan)

    def mean_of(self, arms: Sequence[str], metric: str) -> Array:
        """The mean of the scores of several arms, cell by cell; NaN where one of them has none."""
        mean: Array = np.mean([self.of(arm, metric) for arm in arms], axis=0)
        return mean

    def infinite(self, arm: str, metric: str) -> int:
        """How many scores are infinite, or too large to compute with."""
        return int((np.abs(self.raw(arm, metric)) >= _LARGEST).sum())

    def if_worst(self) -> StudyResults:
        """The results, were every score that an arm failed to give the worst: that can be, or was seen.

        A cell fails where it has run and has no score (or one that is infinitely bad) though another arm has.
        """
        scores: dict[str, dict[str, Array]] = {}
        for metric in self.metrics:
            found = {arm.name: self.of(arm.name, metric.name) for arm in self.arms}
            known = ~np.isnan(list(found.values()))
            if not known.any():
                continue
            worst = self.worst(metric.name)
            for arm in self.arms:
                failed = np.isnan(found[arm.name]) & known.any(0)
                for place in self.waiting.get(arm.name, ()):
                    failed[place] = False
                failed &= ~(self.raw(arm.name, metric.name) * metric.sign >= _LARGEST)
                scores.setdefault(arm.name, {})[metric.name] = np.where(failed, worst, found[arm.name])
        return attrs.evolve(self, scores=scores)

    def worst(self, metric: str) -> float:
        """The worst that a score can be, else the worst that was seen."""
        of = self.metric(metric)
        bound = self.bounds(metric)[of.sign < 0]
        scores = np.stack([self.of(arm.name, metric) for arm in self.arms])
        return bound if math.isfinite(bound) else float(of.sign * np.nanmin(of.sign * scores))

    def raw(self, arm: str, metric: str) -> Array:
        """Scores as they were measured, which may be infinite."""
        found = self.scores.get(arm, {}).get(metric)
        if found is not None:
            return found
        shapes = (
            self.scores[it.name][metric].shape for it in self.arms if metric in self.scores.get(it.name, {})
        )
        return np.full(next(shapes, (len(self.training_seeds), len(self.sampling_seeds), 1)), np.nan)

    def _problems(self) -> Iterator[str]:
        arms, metrics = [it.name for it in self.arms], [it.name for it in self.metrics]
        for what, names in (("arms", arms), ("metrics", metrics)):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                yield f"{what} have unique names, and {', '.join(doubled)} is there twice"
        if self.baseline not in arms:
            yield f"the baseline is one of the arms {', '.join(arms)}, not {self.baseline!r}"
        if not 0 < self.level < 1:
            yield f"a level is between 0 and 1, not {self.level}"
        for name in self.pareto:
            if name not in metrics:
                yield f"pareto names metrics ({', '.join(metrics)}), not {name!r}"
        seeds = (len(self.training_seeds), len(self.sampling_seeds))
        allowed = {(*seeds, len(self.prompts)), (*seeds, 1)}
        for arm, found in self.scores.items():
            if arm not in arms:
                yield f"there are scores of {arm!r}, which is no arm"
            for metric, values in found.items():
                if metric not in metrics:
                    yield f"there are scores of {metric!r} (arm {arm}), which is no metric"
                if values.shape not in allowed:
                    yield (
                        f"scores of {metric} (arm {arm}) are [training seeds, sampling seeds, prompts], "
                        f"{' or '.join(str(list(it)) for it in sorted(allowed))}, not {list(values.shape)}"
                    )
        for metric in metrics:
            if len({found[metric].shape for found in self.scores.values() if metric in found}) > 1:
                yield f"scores of {metric} have different shapes in different arms"
