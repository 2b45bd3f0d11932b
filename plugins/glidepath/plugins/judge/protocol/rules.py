"""What is stated before anyone judges: the question, the design, who is left out, how it is analysed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import attrs
from attrs.validators import and_, ge, gt, le, lt

from glidepath.plugins.judge.analysis.exclusion import Rules as Exclusion
from glidepath.registry import Catalogue, Override, doc, read_document, yaml_block

KEYS: Final = ("judgement", "design", "exclude", "analysis")
DEFAULTS: Final = Path(__file__).with_name("rules.yaml")

Question = Literal["faithful", "real", "prefer"]

ASKED: Final[Mapping[tuple[str, str], str]] = {
    ("faithful", "pairs"): "Which picture shows better what the text says?",
    ("real", "pairs"): "Which picture looks more like a real one?",
    ("prefer", "pairs"): "Which picture do you prefer?",
    ("faithful", "ratings"): "How well does the picture show what the text says?",
    ("real", "ratings"): "How much does the picture look like a real one?",
    ("prefer", "ratings"): "How much do you like the picture?",
}


@attrs.frozen(kw_only=True)
class About:
    """What is asked, and how."""

    question: Question = attrs.field(
        default="prefer",
        metadata=doc("faithful: to the prompt. real: like a photograph. prefer: whatever one likes better"),
    )
    kind: Literal["pairs", "ratings"] = attrs.field(
        default="pairs",
        metadata=doc("pairs: two pictures of one prompt, and of one noise where there is one. ratings: one"),
    )
    text: str = attrs.field(
        default="", metadata=doc("the question as raters read it; none: as of `question`")
    )
    instructions: str = attrs.field(default="", metadata=doc("what raters read before they begin"))
    ties: bool = attrs.field(default=True, metadata=doc("of pairs: whether `both alike` is an answer"))
    scale: int = attrs.field(
        default=5, validator=and_(ge(2), le(9)), metadata=doc("of ratings: the best; 1 is the worst")
    )
    seed: int = attrs.field(default=0, metadata=doc("of pairing, sides, order and checks"))

    @property
    def asked(self) -> str:
        """The question as raters read it."""
        return self.text or ASKED[self.question, self.kind]


@attrs.frozen(kw_only=True)
class Design:
    """Who judges how much."""

    against: str = attrs.field(
        default="", metadata=doc("the arm that every other one is compared with; none: all pairs of arms")
    )
    per_pair: int = attrs.field(
        default=3, validator=ge(1), metadata=doc("judgements of each pair, or of each picture")
    )
    per_rater: int = attrs.field(
        default=40, validator=ge(1), metadata=doc("pairs that each rater is asked about, or pictures")
    )
    checks: int = attrs.field(
        default=4,
        validator=ge(0),
        metadata=doc("attention checks of each rater: one picture of the pair is only noise"),
    )
    repeats: int = attrs.field(
        default=4,
        validator=ge(0),
        metadata=doc("of those, how many each rater is asked again, with the sides exchanged"),
    )


@attrs.frozen(kw_only=True)
class Analysed:
    """How it is analysed."""

    confidence: float = attrs.field(
        default=0.95, validator=and_(gt(0), lt(1)), metadata=doc("of intervals, above 0 and below 1")
    )
    looks: int = attrs.field(
        default=1,
        validator=and_(ge(1), le(50)),
        metadata=doc("how often it is looked at, at equal shares of the answers; it ends once it is decided"),
    )
    spending: Literal["obrien-fleming", "pocock"] = attrs.field(
        default="obrien-fleming", metadata=doc("how the error of 1 - confidence is spread over the looks")
    )


@attrs.frozen(kw_only=True)
class Rules:
    """The file `judgement.yaml`."""

    judgement: About
    design: Design
    exclude: Exclusion
    analysis: Analysed

    def text(self) -> str:
        """As YAML, every default written out."""
        return yaml_block(attrs.asdict(self)) + "\n"


def read_rules(file: Path, overrides: Sequence[str | Override] = (), *, catalogue: Catalogue) -> Rules:
    """The rules in a file.

    Raises:
        SpecError: with every problem, each at its place.
    """
    document = read_document(file, KEYS, overrides, catalogue=catalogue)
    about = document.section("judgement", About)
    design = document.section("design", Design)
    exclude = document.section("exclude", Exclusion)
    analysis = document.section("analysis", Analysed)
    if about and analysis and analysis.looks > 1 and about.kind == "ratings":
        what = "analysis.looks is of pairs: ratings are looked at once"
        document.problems.add(what, document.place("analysis.looks"), "analysis.looks", "write looks: 1")
    if design and design.repeats > design.per_rater:
        what = f"design.repeats is {design.repeats}, of {design.per_rater} pairs that a rater is asked about"
        document.problems.add(what, document.place("design.repeats"), "design.repeats")
    document.raise_problems()
    if about is None or design is None or exclude is None or analysis is None:
        raise document.problems.error()
    return Rules(judgement=about, design=design, exclude=exclude, analysis=analysis)
