"""Who is left out, by rules that were stated before anyone answered."""

from __future__ import annotations

import attrs
from attrs.validators import and_, ge, le

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class Rules:
    """The section `exclude` of a judgement: whose answers do not count. A rater goes with all answers."""

    fast_seconds: float = attrs.field(
        default=0.7, validator=ge(0), metadata=doc("an answer is fast that takes fewer seconds than this")
    )
    fast_share: float = attrs.field(
        default=0.3,
        validator=and_(ge(0), le(1)),
        metadata=doc("a rater is left out of whose answers more than this share is fast"),
    )
    checks_right: float = attrs.field(
        default=0.75,
        validator=and_(ge(0), le(1)),
        metadata=doc("a rater is left out who has less than this share of the attention checks right"),
    )
    repeats_same: float = attrs.field(
        default=0.25,
        validator=and_(ge(0), le(1)),
        metadata=doc(
            "a rater is left out who answers less than this share of the repeated ones alike: not for the "
            "other picture, or by a rating further off than 1. One who sees no difference answers half of "
            "them alike"
        ),
    )
    least: int = attrs.field(
        default=3,
        validator=ge(1),
        metadata=doc("a rule applies to a rater from so many answers, checks or repeats on"),
    )


@attrs.frozen(kw_only=True)
class Conduct:
    """How a rater went about it: counts, of answers, checks and repeats."""

    answers: int = 0
    timed: int = 0
    fast: int = 0
    checks: int = 0
    checks_right: int = 0
    repeats: int = 0
    repeats_same: int = 0


def why_excluded(conduct: Conduct, rules: Rules) -> str:
    """The rule that a rater broke, in words; "" for none."""
    if conduct.timed >= rules.least and conduct.fast > rules.fast_share * conduct.timed:
        return (
            f"{conduct.fast} of {conduct.timed} answers took less than {rules.fast_seconds:g} s "
            f"(at most {rules.fast_share:.0%})"
        )
    if conduct.checks >= rules.least and conduct.checks_right < rules.checks_right * conduct.checks:
        return (
            f"{conduct.checks_right} of {conduct.checks} attention checks right "
            f"(at least {rules.checks_right:.0%})"
        )
    if conduct.repeats >= rules.least and conduct.repeats_same < rules.repeats_same * conduct.repeats:
        return (
            f"{conduct.repeats_same} of {conduct.repeats} repeated ones answered alike "
            f"(at least {rules.repeats_same:.0%})"
        )
    return ""
