"""Whether each metric fits the arms, and shares no network with their guidance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glidepath.plugins.studies.study.arms import ArmPlan
from glidepath.plugins.studies.study.cache_keys import described, digest, weights_digest
from glidepath.plugins.studies.study.study import MetricPlan
from glidepath.registry import Catalogue, PartPlan, Parts, Problems, check_contracts, flat_parts


def check_metrics(
    metrics: Sequence[MetricPlan], arms: Sequence[ArmPlan], catalogue: Catalogue, problems: Problems
) -> None:
    """Add a problem for every metric whose needs an arm does not meet, or whose network guides an arm.

    A network that steers an arm, such as the CLIP of its guidance, would find that arm the best.
    """
    for metric in metrics:
        parts = tuple(flat_parts({metric.part.path: metric.part}))
        if any(part.registered.component.needs(part.config) for part in parts):
            _check_needs(parts, arms, catalogue, problems)
        networks = tuple(_inside(metric.part))
        if networks:
            _check_guides(metric, networks, arms, catalogue, problems)


def _check_needs(
    parts: tuple[PartPlan, ...], arms: Sequence[ArmPlan], catalogue: Catalogue, problems: Problems
) -> None:
    wanted = {key for part in parts for key in part.registered.component.needs(part.config)}
    seen = set()
    for arm in arms:
        own = tuple(flat_parts(_last(arm)))
        given = [(key, str(part.provided().get(key))) for part in own for key in sorted(wanted)]
        if tuple(given) in seen:
            continue
        seen.add(tuple(given))
        found = Problems(problems.files, problems.lent)
        check_contracts((*own, *parts), True, catalogue, found)
        for problem in found.sorted():
            hint = f"in arm {arm.name}" + (f"; {problem.hint}" if problem.hint else "")
            problems.add(problem.what, problem.place, problem.path, hint, problem.allowed)
        if len(found):
            return


def _check_guides(
    metric: MetricPlan,
    networks: Sequence[PartPlan],
    arms: Sequence[ArmPlan],
    catalogue: Catalogue,
    problems: Problems,
) -> None:
    known: dict[int, set[str]] = {}

    def marks(part: PartPlan) -> set[str]:
        if id(part) not in known:
            known[id(part)] = set(_marks(part, catalogue))
        return known[id(part)]

    for arm in arms:
        for guide in _guides(arm):
            for network in networks:
                same = guide.registered.component.kind == network.registered.component.kind
                if same and marks(guide) & marks(network):
                    problems.add(
                        f"metric {metric.label} judges with the {network.registered.component.kind} that "
                        f"guides arm {arm.name} ({guide.path}): it would find that arm the best",
                        network.place,
                        network.path,
                        "judge with one that was trained apart, from another seed at least",
                    )
                    return


def _marks(part: PartPlan, catalogue: Catalogue) -> Iterator[str]:
    """What two parts share that are one network: their weights, or, without any, all that is written."""
    if part.weights is not None:
        yield weights_digest(part.weights, catalogue)
    yield digest(described(part, catalogue)["spec"])


def _guides(arm: ArmPlan) -> Iterator[PartPlan]:
    """What the guidances of every stage are steered by."""
    for parts in arm.pipelines.values():
        guidance = parts.get("guidance", ())
        for one in guidance if isinstance(guidance, tuple) else (guidance,):
            yield from _inside(one)


def _inside(part: PartPlan) -> Iterator[PartPlan]:
    """The parts that a part asked for; what those are made of, such as a tokenizer, judges nothing."""
    for value in part.parts.values():
        yield from value if isinstance(value, tuple) else (value,)


def _last(arm: ArmPlan) -> Parts:
    """The parts of what makes the images that are judged: of a cascade its last stage."""
    found: Mapping[str, Any] = list(arm.pipelines.values())[-1]
    return found
