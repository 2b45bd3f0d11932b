"""What stands in the report of a judgement, in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs

from glidepath.plugins.judge.analysis.analysis import PEOPLE, SIMULATED, Analysis, Compared, Group
from glidepath.plugins.judge.analysis.clusters import Interval
from glidepath.plugins.judge.commands import counted

_MOST_SENTENCES = 3
"""Comparisons that the summary tells one by one; of more it tells those that show a difference."""

_MOST_RATERS = 20

TRIED_RATERS, TRIED_PROMPTS = 4, 20
"""The fewest on which the coverage of intervals was measured (docs/judging.md has the table)."""


@attrs.frozen
class Table:
    """Rows of text under titles, and what they are. folded: a page shows them when it is asked to."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False


@attrs.frozen
class Forest:
    """Rates with their intervals, one under the other, on a scale from 0 to 1."""

    caption: str
    rows: tuple[tuple[str, Interval], ...]


Block = str | Table | Forest


@attrs.frozen
class Section:
    """A part of the report; a string is a paragraph."""

    title: str
    blocks: tuple[Block, ...]


@attrs.frozen
class Document:
    """A report."""

    title: str
    question: str
    summary: str
    sections: tuple[Section, ...]


def document(analysis: Analysis) -> Document:
    """The report: what people said first, then simulated raters, then models, each by themselves."""
    judgement = analysis.judgement
    groups = [Section(_title(it), tuple(_group(analysis, it))) for it in analysis.groups]
    return Document(
        title=judgement.folder.resolve().name,
        question=judgement.rules.judgement.asked,
        summary=_summary(analysis),
        sections=(
            *groups,
            Section("Raters", tuple(_raters(analysis))),
            Section("Methods", tuple(_methods(analysis))),
        ),
    )


def as_json(analysis: Analysis) -> dict[str, Any]:
    """All of it as plain values; what is not known is null."""
    judgement = analysis.judgement
    groups = [attrs.asdict(it) for it in analysis.groups]
    for group, written in zip(analysis.groups, groups, strict=True):
        if group.bradley_terry is not None:
            written["elo"] = [attrs.asdict(it) for it in group.bradley_terry.elo()]
    plain = {
        "judgement": judgement.folder.resolve().name,
        "question": judgement.rules.judgement.question,
        "arms": judgement.arms,
        "planned": judgement.planned,
        "rules": attrs.asdict(judgement.rules),
        "groups": groups,
        "raters": [attrs.asdict(it) for it in analysis.raters],
        "notes": list(analysis.notes),
    }
    found = _finite(plain)
    assert isinstance(found, dict)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(it) for it in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _title(group: Group) -> str:
    if group.name == PEOPLE:
        return "People"
    return "Simulated raters, who are no people" if group.name == SIMULATED else f"A model: {group.name}"


def _summary(analysis: Analysis) -> str:
    """Of people, or said of whom else there is."""
    if not analysis.groups:
        return "Nobody has judged yet."
    group = analysis.groups[0]
    who = {PEOPLE: "", SIMULATED: "Simulated raters, no people: "}.get(
        group.name, f"The model {group.name}: "
    )
    if not group.compared:
        return f"{who}no answer counts yet."
    if len(group.compared) <= _MOST_SENTENCES:
        return who + " ".join(_sentence(analysis, group, it) for it in group.compared)
    shown = [it for it in group.compared if _differ(analysis, group, it)]
    what = f"{len(shown)} show" if len(shown) > 1 else f"{len(shown) or 'none'} shows"
    told = f"of {len(group.compared)} comparisons {what} a difference"
    said = who + (told if who else told.capitalize())
    return " ".join([f"{said}.", *(_sentence(analysis, group, it) for it in shown)])


def _differ(analysis: Analysis, group: Group, compared: Compared) -> bool:
    """Whether a comparison shows a difference: by a look, where there are looks, else by its p."""
    if _has_looks(analysis, group):
        return any(look.decided for look in group.looks)
    return compared.adjusted < 1 - analysis.judgement.rules.analysis.confidence


def _has_looks(analysis: Analysis, group: Group) -> bool:
    return analysis.judgement.rules.analysis.looks > 1 and group.name in (PEOPLE, SIMULATED)


def _sentence(analysis: Analysis, group: Group, compared: Compared) -> str:
    rate = compared.rate
    if analysis.judgement.rules.judgement.kind == "ratings":
        said = f"{compared.first} is rated {_interval(rate, '+.2f')} beside {compared.second}"
    else:
        said = f"{compared.first} wins {_interval(rate, '.1%')} against {compared.second}"
    differ = _differ(analysis, group, compared)
    if _has_looks(analysis, group):  # p at the end takes no account of the looks before
        return (
            f"{said}: {'a look has shown that they differ' if differ else 'no look has shown a difference'}."
        )
    return f"{said}: {'they differ' if differ else 'no difference is shown'} (p {_p(compared.adjusted)})."


def _group(analysis: Analysis, group: Group) -> Iterator[Block]:
    if group.name == SIMULATED:
        yield "No person gave these answers: glidepath judge simulate made them."
    elif group.name != PEOPLE:
        yield (
            "No person gave these answers. They say how the model would choose, and count for nobody else; "
            "intervals are over prompts."
        )
    yield (
        f"{counted(group.answers, 'answer')} of {counted(group.raters, 'rater')} "
        f"count{'s' * (group.answers == 1)}."
    )
    if not group.answers:
        return
    yield from _too_few(group)
    arms = analysis.judgement.arms
    if group.ratings:
        rows = tuple((arm, _interval(it, ".2f")) for arm, it in zip(arms, group.ratings, strict=True))
        yield Table("Mean rating of each arm.", ("arm", "rating"), rows)
        yield _differences(group)
    else:
        yield _comparisons(group)
        yield Forest(
            "Share of comparisons that the first arm won, ties as halves, with its interval.",
            tuple((f"{it.first} against {it.second}", it.rate) for it in group.compared),
        )
        yield _strengths(arms, group)
        yield from _manners(group)
    if math.isfinite(group.alpha):
        yield f"Agreement between raters: Krippendorff's alpha {group.alpha:.2f} (1: they agree; 0: chance)."
    if group.looks:
        yield _looks(analysis, group)


def _too_few(group: Group) -> Iterator[str]:
    """Whether the intervals are of fewer raters or prompts than they were tried on."""
    people = group.name in (PEOPLE, SIMULATED)  # the intervals of a model are over prompts
    if group.prompts < TRIED_PROMPTS or (people and group.raters < TRIED_RATERS):
        yield (
            f"Whether intervals hold what they promise was measured with {TRIED_RATERS} raters and "
            f"{TRIED_PROMPTS} prompts or more. Here are {counted(group.raters, 'rater')} and "
            f"{counted(group.prompts, 'prompt')}: these intervals may be wrong."
        )


def _comparisons(group: Group) -> Table:
    rows = tuple(
        (
            it.first,
            it.second,
            f"{it.wins}/{it.ties}/{it.losses}",
            _interval(it.rate, ".1%"),
            _p(it.p),
            _p(it.adjusted),
        )
        for it in group.compared
    )
    return Table(
        "Comparisons. A tie is half a win for both; p adjusted by Holm.",
        ("arm", "against", "won/tied/lost", "win rate", "p", "adjusted p"),
        rows,
    )


def _differences(group: Group) -> Table:
    rows = tuple(
        (it.first, it.second, _interval(it.rate, "+.2f"), _p(it.p), _p(it.adjusted)) for it in group.compared
    )
    return Table(
        "Differences of mean ratings; p adjusted by Holm.",
        ("arm", "minus", "difference", "p", "adjusted p"),
        rows,
    )


def _strengths(arms: list[str], group: Group) -> Table:
    first, ties = group.bradley_terry, group.davidson
    assert first is not None
    rows = tuple(
        (
            arm,
            _interval(first.strengths[place], "+.2f"),
            _interval(ties.strengths[place], "+.2f") if ties else "",
            _interval(first.elo()[place], ".0f"),
        )
        for place, arm in enumerate(arms)
    )
    nu = f" Davidson's nu is {_interval(ties.nu, '.2f')}." if ties and ties.nu else ""
    extreme = " An arm won or lost throughout: half an answer was added." if first.separated else ""
    return Table(
        f"Strengths as log-odds, of mean 0; those on the scale of Elo have mean 1000.{nu}{extreme}",
        ("arm", "Bradley-Terry", "Davidson", "Elo"),
        rows,
    )


def _manners(group: Group) -> Iterator[str]:
    if group.ties is not None:
        yield f"Ties: {_interval(group.ties, '.1%')} of the answers."
    if group.left is not None and math.isfinite(group.left.value) and group.raters > 1:
        yield f"The left side won {_interval(group.left, '.1%')} of the others; sides are balanced."


def _looks(analysis: Analysis, group: Group) -> Table:
    rows = tuple(
        (str(it.answers), _p(it.p), _p(it.bound), "decided" if it.decided else "goes on")
        for it in group.looks
    )
    spending = analysis.judgement.rules.analysis.spending
    return Table(
        f"Looks before the end, which decide; the error is spent as {spending} has it (Lan and DeMets 1983). "
        "Intervals and p of comparisons take no account of them.",
        ("answers", "p", "decides below", ""),
        rows,
    )


def _raters(analysis: Analysis) -> Iterator[Block]:
    answered = [it for it in analysis.raters if it.conduct.answers]
    out = [it for it in answered if it.excluded]
    yield f"{len(out)} of {len(answered)} raters are left out, by rules that stand in judgement.yaml."
    yield Table(
        "Each rater: answers, how many were fast, attention checks right, repeated ones answered alike.",
        ("rater", "kind", "answers", "fast", "checks", "repeats", "left out because"),
        tuple(
            (
                it.name,
                it.kind,
                str(it.conduct.answers),
                str(it.conduct.fast),
                f"{it.conduct.checks_right}/{it.conduct.checks}",
                f"{it.conduct.repeats_same}/{it.conduct.repeats}",
                it.excluded,
            )
            for it in answered
        ),
        folded=len(answered) > _MOST_RATERS,
    )


def _methods(analysis: Analysis) -> Iterator[str]:
    rules = analysis.judgement.rules
    yield (
        f"{rules.analysis.confidence:.0%} intervals. Their errors share raters and prompts (Cameron, Gelbach "
        "and Miller 2011; t with Satterthwaite's degrees of freedom). Those of win rates are of their logit."
    )
    yield (
        f"Pairs, sides, order, {counted(rules.design.checks, 'attention check')} and "
        f"{counted(rules.design.repeats, 'repeated pair')} of each rater were drawn by seed "
        f"{rules.judgement.seed}. Checks and repeats are no answers."
    )
    for note in analysis.notes:
        yield f"Note: {note}."


def _interval(found: Interval, form: str) -> str:
    if not math.isfinite(found.value):
        return ""
    if not math.isfinite(found.high - found.low):
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def _p(value: float) -> str:
    return "" if not math.isfinite(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
