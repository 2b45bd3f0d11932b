"""A study that was read and has no problems."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from glidepath.plugins.studies.statistics.results import Contrast
from glidepath.plugins.studies.study.arms import ArmPlan
from glidepath.plugins.studies.study.sections import About, Budget, Data, Failures, Stats
from glidepath.plugins.studies.study.selection import Excluded
from glidepath.registry import PartPlan, UsageError, nearest, yaml_text

Family = Literal["primary", "secondary"]

_MOST_NAMED = 8


@attrs.frozen(eq=False)
class MetricPlan:
    """A metric of a study. label: as tables call it; family: primary ones are tested together."""

    label: str
    part: PartPlan
    family: Family

    @property
    def whole_set(self) -> bool:
        """Whether it gives one number for all images of a trial, as its component says."""
        return bool(self._provided.get("metric.whole_set"))

    @property
    def given(self) -> bool:
        """Whether the spec decides it, and no chance."""
        return bool(self._provided.get("metric.given"))

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The slots of a metric that looks at no image of the trial; None for one that does."""
        found = self._provided.get("metric.reads")
        return None if found is None else tuple(map(str, found))

    @property
    def runs_code(self) -> bool:
        """Whether it is code of the study's author: only `study run` runs that."""
        return bool(self._provided.get("metric.runs_code"))

    @property
    def _provided(self) -> Mapping[str, Any]:
        return self.part.provided()


@attrs.frozen(eq=False, kw_only=True)
class Study:
    """A study that was read and has no problems.

    file, text: as it was read. arms: in the order of the file; baseline is one of them.
    questions: the differences that it names. excluded: the arms that `where` and `exclude` leave out.
    prompts: the texts, without duplicates. train_seeds: empty where nothing is trained.
    listeners: alerts and trackers, which are told how the study goes.
    warnings: for a person, before the study runs. overrides: those it was read with, no part of its text.
    """

    about: About
    file: Path
    text: str
    arms: Sequence[ArmPlan]
    baseline: ArmPlan
    questions: Sequence[Contrast]
    excluded: Sequence[Excluded]
    train_seeds: Sequence[int]
    sample_seeds: Sequence[int]
    prompts: Sequence[str]
    data: Data
    metrics: Sequence[MetricPlan]
    stats: Stats
    budget: Budget
    engine: PartPlan
    failures: Failures
    listeners: Sequence[PartPlan] = ()
    warnings: Sequence[str] = ()
    overrides: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of the study and its folder."""
        return self.about.name or self.file.stem

    @property
    def trains(self) -> bool:
        """Whether arms are trained, or sample with the weights that their spec names."""
        return bool(self.train_seeds)

    @property
    def threads(self) -> int:
        """Of the processor, that each trial has: whatever else runs, its numbers round alike."""
        stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        asked = int(stated) if stated.isascii() and stated.isdecimal() else 1
        return self.data.threads or min(max(1, asked), 1024)

    def arm(self, name: str) -> ArmPlan:
        """The arm of a name.

        Raises:
            GlidepathError: there is none.
        """
        for arm in self.arms:
            if name in (arm.name, *arm.also):
                return arm
        words = self._words()
        meant = words.get(nearest(name, words))
        if len(self.arms) <= _MOST_NAMED:
            known = f"it has {', '.join(repr(arm.name) for arm in self.arms)}"
        else:
            known = f"it has {len(self.arms)}: `glidepath study plan` lists them"
        hint = f"; did you mean {meant!r}?" if meant is not None else ""
        raise UsageError(f"the study has no arm {name!r}; {known}{hint}")

    def _words(self) -> dict[str, str]:
        """The name of the arm that a word may mean: its name, or a value that no other arm has."""
        of_value: dict[str, set[str]] = {}
        for arm in self.arms:
            for factors in (arm.factors, *arm.also_factors):
                for value in factors.values():
                    of_value.setdefault(yaml_text(value), set()).add(arm.name)
        words = {value: arms.pop() for value, arms in of_value.items() if len(arms) == 1}
        return words | {name: name for arm in self.arms for name in (arm.name, *arm.also)}
