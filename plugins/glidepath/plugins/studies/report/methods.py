"""The methods paragraph: what was repeated, tested and corrected, as a paper would say it."""

from __future__ import annotations

from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import LEAST_COMPLETE
from glidepath.plugins.studies.statistics.paired import DRAWS, EXACT_UNITS
from glidepath.plugins.studies.statistics.power import POWER


def methods(analysis: Analysis) -> list[str]:
    """Paragraphs: design and units, tests, corrections and verdicts, foresight."""
    results = analysis.results
    alpha = f"{1 - results.level:.2g}"
    trainings, draws = len(results.training_seeds), len(results.sampling_seeds)
    design = (
        f"{len(results.arms)} arms were compared on {_count(len(results.prompts), 'prompt')}, with "
        f"{_count(trainings, 'training seed')} ({_seeds(results.training_seeds)}) and "
        f"{_count(draws, 'sampling seed')} ({_seeds(results.sampling_seeds)}). Arms are paired: in a pair "
        f"the seeds, the prompt and the initial noise are the same. {analysis.claim}"
    )
    decider = {
        "sign-flip": "The sign-flip test decides; the paired t test is given beside it.",
        "t": "The paired t test decides, which takes the differences to be normal; the sign-flip test is "
        "given beside it.",
    }[results.test]
    tests = (
        f"Differences are arm minus baseline, averaged over units, with {results.level:.0%} intervals: "
        "Student's, none where units show no spread; for shares Tango's score interval, corrected for "
        "continuity by half, and for the mean of one arm Clopper and Pearson's, both with as many answers as "
        "vary like the units. p values are two-sided, by the sign-flip test (all sign patterns of up to "
        f"{EXACT_UNITS} differences that are not 0, and of any number that have few sizes; beyond that "
        f"{DRAWS:,} random ones with a fixed seed) and by the paired t test, which takes the p of the "
        f"sign-flip test where differences are all equal. {decider}"
    )
    primary = [it.label for it in results.metrics if it.primary and not it.given]
    margins = any(it.margin is not None for it in results.metrics)
    family = len(analysis.family)
    asked = f"{_count(len(results.contrasts), 'question')} in " if results.contrasts else ""
    corrections = (
        f"The primary family is {asked}{_and(primary)} ({_count(family, 'comparison')}), adjusted by Holm's "
        "procedure; "
        if primary
        else "No primary family was declared; "
    ) + (
        "other comparisons are exploratory, adjusted by Benjamini and Hochberg's procedure. An "
        f"arm is called better or worse where the adjusted p is at most {alpha}"
    )
    if margins:
        corrections += (
            ", and equivalent where two one-sided tests (t tests; score tests for shares), adjusted alike, "
            "place the difference inside the declared margin; equivalence comes first, since a difference "
            "inside the margin is one that does not matter"
        )
    corrections += (
        f". Trials that failed are dropped as pairs; below {LEAST_COMPLETE:.0%} complete pairs there is no "
        "verdict, nor where it would be another one with the worst score in place of what failed. Where an "
        "arm is undecided, the number of units that would decide is the one that finds the difference "
        f"seen{', or shows equivalence,' if margins else ''} in {POWER:.0%} of studies, were it the true one."
    )
    return [design, tests, corrections, analysis.foresight.sentence]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _seeds(seeds: tuple[int, ...]) -> str:
    told = ", ".join(map(str, seeds[:10]))
    return told if len(seeds) <= 10 else f"{told}, …"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
