"""The sections of a study file whose keys are plain parameters."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import attrs
from attrs.validators import and_, ge, gt, le, lt, optional

from glidepath.core import parse_size
from glidepath.registry import doc

FAILURES = ("error", "oom", "lost", "timeout", "diverged", "cancelled")
"""Why an attempt ended without a result."""
LONGEST_NAME = 200
"""Bytes of the name of a study: folders have at most 255."""
CANCELLED = "cancelled"
"""The one of them that is no failure: the next run tries again."""


@attrs.frozen(kw_only=True)
class About:
    """What the study is."""

    name: str = attrs.field(default="", metadata=doc("of the study and its folder; else that of the file"))
    question: str = attrs.field(default="", metadata=doc("what the study is to answer, for the report"))
    version: Literal[1] = attrs.field(default=1, metadata=doc("of this grammar"))

    @name.validator
    def _one_word(self, _attribute: object, value: str) -> None:
        check_name(value)


def check_name(name: str) -> None:
    """Raise ValueError where a name is not that of one folder: a study's name never leads to another one."""
    if name in (".", "..") or not name.isprintable() or any(letter in name for letter in "/\\:"):
        raise ValueError("the name of a study is that of its folder: one word of a path, such as scales-2")
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise ValueError(f"the name of a study has at most {LONGEST_NAME} bytes")


@attrs.frozen(kw_only=True)
class Seeds:
    """Seeds by role; every arm has the same ones, so that arms are compared in pairs."""

    train: int | tuple[int, ...] = attrs.field(
        default=0,
        metadata=doc("training seeds, a count or a list; 0: nothing is trained, the weights are the spec's"),
    )
    sample: int | tuple[int, ...] = attrs.field(
        default=1, metadata=doc("seeds of the sampling noise, a count or a list")
    )
    root: int = attrs.field(default=0, validator=ge(0), metadata=doc("what counted seeds derive from"))

    @train.validator
    def _train(self, _attribute: object, value: int | tuple[int, ...]) -> None:
        _check_seeds(value, 0)

    @sample.validator
    def _sample(self, _attribute: object, value: int | tuple[int, ...]) -> None:
        _check_seeds(value, 1)

    def derived(self, role: Literal["train", "sample"]) -> tuple[int, ...]:
        """The seeds of a role: as listed, or so many derived from the root. With more, the first stay."""
        stated = self.train if role == "train" else self.sample
        if not isinstance(stated, int):
            return tuple(stated)
        digests = (hashlib.sha256(f"{self.root}/{role}/{index}".encode()).digest() for index in range(stated))
        return tuple(int.from_bytes(digest[:4], "big") >> 1 for digest in digests)


def _check_seeds(value: int | tuple[int, ...], least: int) -> None:
    if isinstance(value, int):
        if not least <= value <= 10_000:
            raise ValueError(f"a count of seeds is from {least} to 10,000")
    elif not value and least:
        raise ValueError("a list of seeds has at least one; `sample: 4` stands for four that are drawn")
    elif not value:
        raise ValueError("a list of seeds has at least one; `train: 0` trains nothing")
    elif min(value) < 0:
        raise ValueError(f"a seed is at least 0, and {min(value)} is not")
    elif len(set(value)) < len(value):
        double = next(seed for seed in value if value.count(seed) > 1)
        raise ValueError(f"each seed is there once, and {double} is there {value.count(double)} times")


@attrs.frozen(kw_only=True)
class Data:
    """What is drawn in every arm."""

    prompts: Path | tuple[str, ...] = attrs.field(
        metadata=doc("a list of texts, or a file of them, one to a line")
    )
    per_prompt: int = attrs.field(
        default=1, validator=ge(1), metadata=doc("images of each prompt; their scores are averaged")
    )
    batch: int = attrs.field(
        default=16, validator=ge(1), metadata=doc("images drawn at the same time, at most")
    )
    size: str | None = attrs.field(
        default=None,
        metadata=doc("WIDTHxHEIGHT of the images in pixels; none: what each arm's model was made for"),
    )
    negative: str | None = attrs.field(
        default=None,
        metadata=doc("what images are not to show, for guidance to move away from; none: no prompt"),
    )
    threads: int | None = attrs.field(
        default=None,
        validator=optional(and_(ge(1), le(1024))),
        metadata=doc(
            "of the processor for each trial; they decide how numbers round. none: OMP_NUM_THREADS, else 1"
        ),
    )

    @size.validator
    def _is_size(self, _attribute: object, value: str | None) -> None:
        if value is not None:
            parse_size(value)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """(H, W), where the size is said."""
        return None if self.size is None else parse_size(self.size)


@attrs.frozen(kw_only=True)
class Stats:
    """How arms are compared."""

    confidence: float = attrs.field(
        default=0.95, validator=and_(gt(0), lt(1)), metadata=doc("of intervals, above 0 and below 1")
    )
    test: Literal["sign-flip", "t"] = attrs.field(
        default="sign-flip",
        metadata=doc(
            "what decides: sign-flip asks nothing of the differences, but cannot fall below 2 / 2^units, so "
            "that few seeds never decide; t takes the differences to be normal"
        ),
    )
    unit: Literal["prompts", "seeds", "trainings", "pairs"] | None = attrs.field(
        default=None,
        metadata=doc(
            "what is repeated, and so what is claimed: prompts speaks of prompts like these; pairs of seed "
            "and prompt, and seeds, of these prompts; trainings of models trained in this way. none: "
            "trainings where there are several, else pairs"
        ),
    )
    pareto: tuple[str, ...] = attrs.field(
        default=(),
        metadata=doc(
            "two or three metrics that are weighed against each other in a figure; none: the first primary "
            "ones and seconds per image"
        ),
    )
    equivalence: dict[str, float] = attrs.field(
        factory=dict,
        metadata=doc("by metric: a difference so small that it does not matter, in the metric's unit"),
    )

    @pareto.validator
    def _some(self, _attribute: object, value: tuple[str, ...]) -> None:
        if value and not 2 <= len(value) <= 3:
            raise ValueError("pareto weighs two or three metrics against each other")


@attrs.frozen(kw_only=True)
class Budget:
    """How much a run may take."""

    hours: float | None = attrs.field(
        default=None, validator=optional(gt(0)), metadata=doc("of all processes together, in one call of run")
    )
    on_exceed: Literal["stop", "ask"] = attrs.field(
        default="stop", metadata=doc("what happens then: start nothing more, or ask whether to go on")
    )


@attrs.frozen(kw_only=True)
class Failures:
    """What happens after an attempt without a result."""

    retries: dict[str, int] = attrs.field(
        factory=dict,
        metadata=doc(
            f"further attempts, by why it failed ({', '.join(FAILURES)}); lost: 2, oom: 1, others 0"
        ),
    )
    timeout: float | None = attrs.field(
        default=None, validator=optional(gt(0)), metadata=doc("seconds that a trial may take")
    )
    same_errors: int = attrs.field(
        default=3,
        validator=ge(1),
        metadata=doc("the run stops after so many trials that failed with the same traceback"),
    )

    @retries.validator
    def _known(self, _attribute: object, value: dict[str, int]) -> None:
        for name, count in value.items():
            if name not in FAILURES:
                raise ValueError(f"{name!r} is none of {', '.join(FAILURES)}")
            if count < 0:
                raise ValueError(f"retries of {name} are at least 0")

    def allowed(self, failure: str) -> int:
        """How many further attempts there are after a failure of a class."""
        return self.retries.get(failure, {"lost": 2, "oom": 1}.get(failure, 0))
