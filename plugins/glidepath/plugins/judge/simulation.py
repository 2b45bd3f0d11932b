"""Simulated raters: to rehearse a judgement before people are asked. They are called so in every report."""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs

from glidepath.plugins.judge.protocol.answers import Answer
from glidepath.plugins.judge.protocol.folder import Judgement, Rater


@attrs.frozen(kw_only=True)
class Habits:
    """How simulated raters answer.

    sees: how often one answers by the scores, equal ones being alike; else by chance.
    spammers: how many of them look at nothing, answer at once, and always the same. seed: of all draws.
    """

    sees: float = 0.7
    spammers: int = 0
    seed: int = 0


def simulate(
    judgement: Judgement, raters: Sequence[Rater], scores: Sequence[float], habits: Habits
) -> list[Answer]:
    """Answers in the order in which raters who work side by side would give them.

    scores: of every picture, the higher the better; two that are equal, or not known, are alike.
    """
    found = []
    for number, rater in enumerate(raters):
        draw = random.Random(f"{habits.seed}/{rater.name}")
        spams, clock = number < habits.spammers, draw.uniform(0, 30)
        for place in range(len(rater.tasks)):
            seconds = draw.uniform(0.1, 0.4) if spams else 1.0 + draw.lognormvariate(1.0, 0.5)
            clock += seconds
            answer = (
                _spam(judgement, draw) if spams else _answer(judgement, rater, place, scores, habits, draw)
            )
            found.append(Answer(rater.name, place, answer, round(seconds, 3), round(clock, 3)))
    return sorted(found, key=lambda it: it.at)


def _spam(judgement: Judgement, draw: random.Random) -> str | int:
    about = judgement.rules.judgement
    return "left" if about.kind == "pairs" else draw.randint(1, about.scale)


def _answer(
    judgement: Judgement,
    rater: Rater,
    place: int,
    scores: Sequence[float],
    habits: Habits,
    draw: random.Random,
) -> str | int:
    about, task = judgement.rules.judgement, rater.tasks[place]
    attentive = draw.random() < (0.98 if task.role == "check" else habits.sees)
    spoilt = [not judgement.pictures[it].arm for it in task.shown]
    if about.kind == "ratings":
        if any(spoilt) and attentive:
            return 1
        worth = scores[task.shown[0]]
        return (
            max(1, min(about.scale, round(1 + worth * (about.scale - 1))))
            if attentive
            else draw.randint(1, about.scale)
        )
    if any(spoilt) and attentive:
        return "right" if spoilt[0] else "left"
    left, right = (scores[it] for it in task.shown)
    if attentive and left != right:
        return "left" if left > right else "right"
    if attentive and about.ties:
        return "tie"
    chance = ("left", "right", "tie") if about.ties else ("left", "right")
    return draw.choice(chance)
