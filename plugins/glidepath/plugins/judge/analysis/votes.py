"""Answers as arrays: who chose which arm, for which prompt; and how each rater went about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from glidepath.plugins.judge.analysis.clusters import Array, Clusters, Groups
from glidepath.plugins.judge.analysis.exclusion import Conduct, why_excluded
from glidepath.plugins.judge.protocol.answers import Answer
from glidepath.plugins.judge.protocol.folder import Judgement, Rater
from glidepath.plugins.judge.protocol.items import Task

WORTH = {"left": 1.0, "right": 0.0, "tie": 0.5}


@attrs.frozen(eq=False)
class Votes:
    """n answers about pairs, or of ratings.

    first, second: arms by their places; of ratings both are the arm. value: 1 where the first won, 0 where
        the second did, 1/2 for a tie; of ratings, the rating. left: whether the first stood on the left.
    items: by their places among all items. names: of the raters, by number.
    """

    first: Groups
    second: Groups
    value: Array
    left: np.ndarray
    items: Groups
    clusters: Clusters
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.value)

    def only(self, chosen: np.ndarray) -> Votes:
        """Those of a mask."""
        clusters = Clusters(self.clusters.raters[chosen], self.clusters.prompts[chosen])
        return attrs.evolve(
            self,
            first=self.first[chosen],
            second=self.second[chosen],
            value=self.value[chosen],
            left=self.left[chosen],
            items=self.items[chosen],
            clusters=clusters,
        )

    def matrix(self, orient: Callable[[Votes], Array]) -> Array:
        """[raters, items] of what `orient` makes of the answers, NaN for none."""
        found = np.full((len(self.names), int(self.items.max(initial=-1)) + 1), np.nan)
        found[self.clusters.raters, self.items] = orient(self)
        return found


def votes(judgement: Judgement, raters: Sequence[Rater], answers: Sequence[Answer]) -> Votes:
    """What some raters were asked and answered, in the order of the log; checks and repeats left out."""
    tasks = {rater.name: rater.tasks for rater in raters}
    numbers = {rater.name: number for number, rater in enumerate(raters)}
    arms = {arm: place for place, arm in enumerate(judgement.arms)}
    places = {item.id: place for place, item in enumerate(judgement.items)}
    prompts: dict[str, int] = {}
    rows = []
    for answer in answers:
        if answer.rater not in tasks:
            continue
        task = tasks[answer.rater][answer.task]
        if task.role != "ask":
            continue
        item = judgement.by_id[task.item]
        shown = [judgement.pictures[place] for place in item.pictures]
        # what has no prompt is a cluster by its name
        prompt = prompts.setdefault(shown[0].prompt or f"\0{shown[0].noise}", len(prompts))
        straight = task.shown == item.pictures
        value = _worth(answer, straight=straight)
        row = (arms[shown[0].arm], arms[shown[-1].arm], value, straight, places[item.id])
        rows.append((*row, numbers[answer.rater], prompt))
    columns = list(zip(*rows, strict=True)) or [()] * 7
    whole = [np.asarray(columns[it], dtype=np.int64) for it in (0, 1, 4, 5, 6)]
    return Votes(
        first=whole[0],
        second=whole[1],
        value=np.asarray(columns[2], dtype=np.float64),
        left=np.asarray(columns[3], dtype=bool),
        items=whole[2],
        clusters=Clusters(whole[3], whole[4]),
        names=tuple(numbers),
    )


def _worth(answer: Answer, *, straight: bool) -> float:
    """Of the first picture of the item."""
    if not isinstance(answer.answer, str):
        return float(answer.answer)
    worth = WORTH[answer.answer]
    return worth if straight else 1 - worth


def conduct(judgement: Judgement, rater: Rater, answers: Sequence[Answer]) -> Conduct:
    """How a rater went about it. answers: of this rater."""
    rules = judgement.rules
    by_task = {it.task: it for it in answers}
    timed = [it for it in answers if it.seconds is not None]
    first = {
        task.item: _worth(by_task[place], straight=_straight(judgement, task))
        for place, task in enumerate(rater.tasks)
        if task.role == "ask" and place in by_task
    }
    checks = repeats = right = same = 0
    for place, task in enumerate(rater.tasks):
        if place not in by_task:
            continue
        worth = _worth(by_task[place], straight=_straight(judgement, task))
        if task.role == "check":
            checks += 1
            # the picture and not the noise; as a rating, noise is among the worst two fifths
            low = max(1.0, 0.4 * rules.judgement.scale)
            right += worth == 1 if len(task.shown) > 1 else worth <= low
        elif task.role == "repeat" and task.item in first:
            repeats += 1
            # of pairs, a tie contradicts nothing
            same += abs(worth - first[task.item]) < (1 if len(task.shown) > 1 else 2)
    return Conduct(
        answers=len(answers),
        timed=len(timed),
        fast=sum(it.seconds is not None and it.seconds < rules.exclude.fast_seconds for it in timed),
        checks=checks,
        checks_right=right,
        repeats=repeats,
        repeats_same=same,
    )


def excluded(judgement: Judgement, raters: Sequence[Rater], answers: Sequence[Answer]) -> dict[str, str]:
    """Why raters are left out, by name. A model is never: it has no attention to be checked."""
    of: dict[str, list[Answer]] = {rater.name: [] for rater in raters}
    for answer in answers:
        if answer.rater in of:
            of[answer.rater].append(answer)
    found = {}
    for rater in raters:
        if rater.kind != "model":
            why = why_excluded(conduct(judgement, rater, of[rater.name]), judgement.rules.exclude)
            if why:
                found[rater.name] = why
    return found


def _straight(judgement: Judgement, task: Task) -> bool:
    return task.shown == judgement.by_id[task.item].pictures
