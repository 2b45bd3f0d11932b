"""All that a judgement says: for people, for simulated raters, and for each model, never together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from glidepath.plugins.judge.analysis import bradley_terry
from glidepath.plugins.judge.analysis.agreement import krippendorff_alpha
from glidepath.plugins.judge.analysis.bradley_terry import Strengths
from glidepath.plugins.judge.analysis.clusters import Clusters, Interval
from glidepath.plugins.judge.analysis.exclusion import Conduct
from glidepath.plugins.judge.analysis.rates import difference, mean, p_of_share, share
from glidepath.plugins.judge.analysis.sequential import bounds
from glidepath.plugins.judge.analysis.votes import Votes, conduct, excluded, votes
from glidepath.plugins.judge.protocol.answers import Answer
from glidepath.plugins.judge.protocol.folder import Judgement, Rater

PEOPLE, SIMULATED = "people", "simulated"


@attrs.frozen(kw_only=True)
class Compared:
    """One arm beside another.

    rate: of wins of the first, ties as halves; of ratings the mean difference. wins, losses, ties: counts.
    p: two-sided, that there is no difference; adjusted: by Holm, over all comparisons.
    """

    first: str
    second: str
    rate: Interval
    p: float
    adjusted: float = math.nan
    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def answers(self) -> int:
        """How many."""
        return self.wins + self.losses + self.ties


@attrs.frozen(kw_only=True)
class Look:
    """A look before the end. bound: the p that decides there. decided: whether it was below."""

    answers: int
    p: float
    bound: float

    @property
    def decided(self) -> bool:
        """Whether the judgement ends there."""
        return self.p <= self.bound


@attrs.frozen(eq=False, kw_only=True)
class Group:
    """What raters of one kind say.

    name: "people", "simulated", or that of a model. raters: how many count. prompts: that they judged.
    ratings: the mean of each arm.
    bradley_terry, davidson: strengths of the arms, in their order; None of ratings.
    """

    name: str
    answers: int
    raters: int
    prompts: int
    compared: tuple[Compared, ...] = ()
    ties: Interval | None = None
    left: Interval | None = None
    alpha: float = math.nan
    ratings: tuple[Interval, ...] = ()
    bradley_terry: Strengths | None = None
    davidson: Strengths | None = None
    looks: tuple[Look, ...] = ()


@attrs.frozen(kw_only=True)
class RaterFacts:
    """A rater, and why their answers do not count, "" where they do."""

    name: str
    kind: str
    conduct: Conduct
    excluded: str


@attrs.frozen(eq=False, kw_only=True)
class Analysis:
    """The analysis of a judgement. notes: what a reader has to know, in sentences."""

    judgement: Judgement
    groups: tuple[Group, ...]
    raters: tuple[RaterFacts, ...]
    notes: tuple[str, ...]


def analyse(judgement: Judgement) -> Analysis:
    """Read the log, leave out whom the rules leave out, and estimate.

    Raises:
        GlidepathError: scipy is not installed, or the folder is damaged.
    """
    raters = judgement.raters()
    answers, notes = judgement.answers()
    out = excluded(judgement, raters, answers)
    if judgement.rules_changed():
        notes.append("the rules were changed after the judgement was made: they were not stated beforehand")
    groups = []
    for name, some in grouped(raters, answers).items():
        counted = [rater for rater in some if rater.name not in out]
        groups.append(_group(judgement, name, counted, answers, some))
    of: dict[str, list[Answer]] = {}
    for answer in answers:
        of.setdefault(answer.rater, []).append(answer)
    facts = tuple(
        RaterFacts(
            name=rater.name,
            kind=rater.kind,
            conduct=conduct(judgement, rater, of.get(rater.name, ())),
            excluded=out.get(rater.name, ""),
        )
        for rater in raters
    )
    return Analysis(judgement=judgement, groups=tuple(groups), raters=facts, notes=tuple(notes))


def grouped(raters: Sequence[Rater], answers: Sequence[Answer]) -> dict[str, list[Rater]]:
    """Who has answered, by whose answers are analysed together: people, simulated raters, each model."""
    found: dict[str, list[Rater]] = {}
    who = {answer.rater for answer in answers}
    for rater in (it for it in raters if it.name in who):
        name = {"person": PEOPLE, "imported": PEOPLE, "simulated": SIMULATED}.get(rater.kind, rater.name)
        found.setdefault(name, []).append(rater)
    return dict(sorted(found.items(), key=lambda it: (it[0] != PEOPLE, it[0] != SIMULATED, it[0])))


def decided(judgement: Judgement, raters: Sequence[Rater], answers: Sequence[Answer]) -> bool:
    """Whether a look of the rules has decided what people were asked; always False where there is one look.

    What is decided stays so: the log before a look does not change, and no later answer counts for it.
    """
    people = grouped(raters, answers).get(PEOPLE, [])
    return any(look.decided for look in _looks(judgement, people, answers))


def _group(
    judgement: Judgement,
    name: str,
    counted: Sequence[Rater],
    answers: Sequence[Answer],
    everyone: Sequence[Rater],
) -> Group:
    level = judgement.rules.analysis.confidence
    found = votes(judgement, counted, answers)
    size: dict[str, Any] = {
        "name": name,
        "answers": len(found),
        "raters": len(np.unique(found.clusters.raters)),
        "prompts": len(np.unique(found.clusters.prompts)),
    }
    if not len(found):
        return Group(**size)
    if judgement.rules.judgement.kind == "ratings":
        return Group(
            **size,
            ratings=tuple(_rated(found, arm, level) for arm in range(len(judgement.arms))),
            compared=_holm(_rated_beside(judgement, found, level)),
            alpha=krippendorff_alpha(found.matrix(lambda it: it.value), "ordinal"),
        )
    one, other, outcome, clusters = found.first, found.second, found.value, found.clusters
    arms = len(judgement.arms)
    decisive = outcome != 0.5
    sided = np.where(found.left, outcome, 1 - outcome)[decisive]
    of_decisive = Clusters(clusters.raters[decisive], clusters.prompts[decisive])
    models = [
        bradley_terry.fit(one, other, outcome, clusters, arms, ties=ties, level=level)
        if not ties or (outcome == 0.5).any()
        else None
        for ties in (False, True)
    ]
    return Group(
        **size,
        compared=_holm(_beside(judgement, found, level)),
        ties=share((~decisive).astype(float), clusters, level),
        left=share(sided, of_decisive, level),
        alpha=krippendorff_alpha(found.matrix(lambda it: it.value), "nominal"),
        bradley_terry=models[0],
        davidson=models[1],
        looks=tuple(_looks(judgement, everyone, answers)) if name in (PEOPLE, SIMULATED) else (),
    )


def _beside(judgement: Judgement, found: Votes, level: float) -> list[Compared]:
    result = []
    for one, other in itertools.combinations(range(len(judgement.arms)), 2):
        some = found.only((found.first == one) & (found.second == other))
        if len(some):
            result.append(
                Compared(
                    first=judgement.arms[one],
                    second=judgement.arms[other],
                    rate=share(some.value, some.clusters, level),
                    p=p_of_share(some.value, some.clusters),
                    wins=int((some.value == 1).sum()),
                    losses=int((some.value == 0).sum()),
                    ties=int((some.value == 0.5).sum()),
                )
            )
    return result


def _rated(found: Votes, arm: int, level: float) -> Interval:
    some = found.only(found.first == arm)
    return mean(some.value, some.clusters, level)


def _rated_beside(judgement: Judgement, found: Votes, level: float) -> list[Compared]:
    result = []
    for one, other in itertools.combinations(range(len(judgement.arms)), 2):
        some = found.only((found.first == one) | (found.first == other))
        mask = some.first == one
        if mask.any() and not mask.all():
            rate = difference(some.value, mask, some.clusters, level)
            means = some.value[mask].mean(), some.value[~mask].mean()
            influence = np.where(
                mask, (some.value - means[0]) / mask.sum(), -(some.value - means[1]) / (~mask).sum()
            )
            p = float(some.clusters.p_value(rate.value, influence))
            first, second = judgement.arms[one], judgement.arms[other]
            result.append(Compared(first=first, second=second, rate=rate, p=p))
    return result


def _holm(compared: Sequence[Compared]) -> tuple[Compared, ...]:
    """With p adjusted by Holm 1979, "A simple sequentially rejective multiple test procedure"."""
    order = sorted(range(len(compared)), key=lambda it: compared[it].p)
    adjusted, most = [math.nan] * len(compared), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(compared) - rank) * compared[place].p))
        adjusted[place] = most
    return tuple(attrs.evolve(it, adjusted=adjusted[place]) for place, it in enumerate(compared))


def _looks(judgement: Judgement, raters: Sequence[Rater], answers: Sequence[Answer]) -> list[Look]:
    """The looks that were due so far, up to the one that decides: each at the log as it was then."""
    analysed = judgement.rules.analysis
    if analysed.looks < 2:
        return []
    from glidepath.plugins.judge.extras import special

    shares = tuple((look + 1) / analysed.looks for look in range(analysed.looks))
    alpha = 1 - analysed.confidence
    tasks = {rater.name: rater.tasks for rater in raters}
    asked = [it for it in answers if it.rater in tasks and tasks[it.rater][it.task].role == "ask"]
    found: list[Look] = []
    for at, bound in zip(shares, bounds(shares, alpha, analysed.spending), strict=True):
        count = math.ceil(at * judgement.planned)
        if len(asked) < count:
            break
        until = answers[: answers.index(asked[count - 1]) + 1]
        out = excluded(judgement, raters, until)
        some = votes(judgement, [it for it in raters if it.name not in out], until)
        p = p_of_share(some.value, some.clusters) if len(some) else 1.0
        found.append(Look(answers=count, p=p, bound=float(2 * special().ndtr(-bound))))
        if found[-1].decided:
            break
    return found
