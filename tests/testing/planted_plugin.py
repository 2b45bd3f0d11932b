"""What the distribution `planted` supplies: sound parts, and parts of which each breaks one rule.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
from attrs.validators import ge

from glidepath.registry import Component, Kind, Need, doc, hookimpl

FAULTS = {
    "schedule/undocumented": "descriptor",
    "codec/unbuilt": "builds",
    "schedule/complex": "descriptor",
    "schedule/bad-default": "descriptor",
    "schedule/restless": "config-round-trip",
    "schedule/catches-all": "unknown-key",
    "schedule/changeable": "frozen-config",
    "schedule/changeable-inside": "frozen-config",
    "schedule/needs-nobody": "needs",
    "schedule/needs-by-nothing": "needs",
    "schedule/flat": "shapes",
    "denoiser/boasts": "provides",
    "conditioner/says-more": "shapes",
    "codec/float-images": "dtypes",
    "codec/of-the-moment": "same-seed",
    "codec/draws-from-all": "global-random-state",
    "codec/counts": "no-state",
    "codec/through-itself": "threads",
    "codec/locked": "deepcopy",
    "codec/keeps-to-itself": "weights",
    "codec/hears-neighbours": "batch-independence",
    "schedule/forgiving": "bad-input",
    "tokenizer/untyped-error": "bad-input",
    "schedule/wiggling": "monotone",
    "schedule/begins-clean": "monotone",
    "schedule/halfway": "ends",
    "schedule/shifted": "spacings",
    "sampler/noisy-end": "moments",
    "sampler/seeds-itself": "noise-is-given",
    "sampler/elsewhere": "device",
    "sampler/boasts": "order-of-convergence",
    "guidance/not-neutral": "neutral",
    "guidance/unmoved": "effect",
    "guidance/weightless": "weight",
    "text_encoder/to-the-longest": "padding",
    "denoiser/first-time-only": "prepare",
    "denoiser/takes-all": "sizes",
    "tokenizer/padding-beyond": "ids",
    "tokenizer/without-spaces": "reads-what-it-writes",
    "codec/unbounded": "bounds",
    "codec/knows-all": "masks",
    "codec/lossy": "keeps-images",
    "adapter/explodes": "shapes",
    "adapter/rounds": "dtypes",
    "adapter/takes-anything": "bad-input",
    "handover/keeps-its-size": "shapes",
    "handover/takes-all-and-more": "shapes",
    "handover/hands-halves": "dtypes",
    "handover/boasts": "provides",
    "metric/sideways": "shapes",
    "metric/one-for-each-prompt": "shapes",
    "metric/paints-over": "shapes",
    "metric/unsaid": "shapes",
    "metric/boundless": "dtypes",
    "metric/ranks": "batch-independence",
    "ornament/crooked": "hangs-straight",
}
"""Which check fails for which part."""


@attrs.frozen(kw_only=True)
class Undocumented:
    num: int = 1


@attrs.frozen(kw_only=True)
class Complex:
    value: complex = attrs.field(default=1j, metadata=doc("a number that no spec can hold"))


@attrs.frozen(kw_only=True)
class BadDefault:
    value: int = attrs.field(default=0, validator=ge(1), metadata=doc("a number, at least 1"))


@attrs.frozen(kw_only=True)
class Restless:
    value: int = attrs.field(
        default=1, converter=lambda value: value + 1, metadata=doc("a number that never stays")
    )


@attrs.define(kw_only=True)
class Changeable:
    value: int = attrs.field(default=1, metadata=doc("a number"))


@attrs.frozen(kw_only=True)
class ChangeableInside:
    inner: Changeable = attrs.field(factory=Changeable, metadata=doc("what can be changed"))


@attrs.frozen(kw_only=True, init=False)
class CatchesAll:
    value: int = attrs.field(default=1, metadata=doc("a number"))

    def __init__(self, **values: Any) -> None:
        self.__attrs_init__(value=values.get("value", 1))  # type: ignore[attr-defined]


@attrs.frozen(kw_only=True)
class Scale:
    scale: float = attrs.field(default=2.0, metadata=doc("how much"))


@attrs.frozen(kw_only=True)
class OfFile:
    file: Path = attrs.field(metadata=doc("a file that holds a number"))


def _with_file(folder: Path) -> dict[str, object]:
    (folder / "number.txt").write_text("0.5")
    return {"file": str(folder / "number.txt")}


_ANY = Need(test=lambda _: "", optional=True)
_ODD = Need(test=lambda _: "", optional=True, field="widht")


def _part(kind: str, name: str, target: str, **more: Any) -> Component:
    where = "planted_changes" if kind in ("adapter", "handover") else "planted"
    return Component(kind=kind, name=name, target=f"{where}:{target}", summary="planted", **more)


@hookimpl
def kinds() -> Iterable[Kind]:
    return [Kind(name="ornament", interface="builtins:dict", summary="a kind of its own")]


@hookimpl
def checks(kind: str) -> Iterable[Callable[[Any], None]]:
    return [hangs_straight] if kind == "ornament" else []


def hangs_straight(made: Any) -> None:
    """It hangs straight."""
    assert made.get("angle", 0) == 0, "it hangs at an angle"


@hookimpl
def components() -> Iterable[Component]:
    guidance = {"config": "planted:ScaleConfig", "provides": lambda _: {"guidance.weight": True}}
    boast: dict[str, Any] = {"provides": lambda _: {"image.size": 8}}

    def whole(_config: object) -> dict[str, object]:
        return {"metric.whole_set": True}

    return [
        _part("schedule", "sound", "SoundSchedule"),
        _part("schedule", "undocumented", "SoundSchedule", config=Undocumented),
        _part("schedule", "complex", "SoundSchedule", config=Complex),
        _part("schedule", "catches-all", "SoundSchedule", config=CatchesAll),
        _part("schedule", "bad-default", "SoundSchedule", config=BadDefault),
        _part("schedule", "restless", "SoundSchedule", config=Restless),
        _part("schedule", "changeable", "SoundSchedule", config=Changeable),
        _part("schedule", "changeable-inside", "SoundSchedule", config=ChangeableInside),
        _part("schedule", "needs-nobody", "SoundSchedule", needs=lambda _: {"text.widht": _ANY}),
        _part("schedule", "needs-by-nothing", "SoundSchedule", needs=lambda _: {"text.width": _ODD}),
        _part("schedule", "flat", "FaultyShape"),
        _part("schedule", "forgiving", "Forgiving"),
        _part("schedule", "wiggling", "Wiggling"),
        _part("schedule", "begins-clean", "BeginsClean"),
        _part("schedule", "below-nothing", "BelowNothing"),
        _part("schedule", "halfway", "Halfway"),
        _part("schedule", "shifted", "Shifted"),
        _part("schedule", "of-a-file", "OfAFile", config=OfFile, example=_with_file),
        _part("sampler", "sound", "SoundSampler"),
        _part("sampler", "noisy-end", "NoisyEnd"),
        _part("sampler", "seeds-itself", "SeedsItself"),
        _part("sampler", "boasts", "SoundSampler", provides=lambda _: {"sampler.order": 2}),
        _part("sampler", "elsewhere", "Elsewhere"),
        _part("guidance", "sound", "SoundGuidance", neutral={"scale": 0}, **guidance),
        _part("guidance", "not-neutral", "SoundGuidance", neutral={"scale": 1}, **guidance),
        _part("guidance", "unmoved", "Unmoved", neutral={"scale": 0}, **guidance),
        _part("guidance", "weightless", "Weightless", neutral={"scale": 0}, **guidance),
        _part("text_encoder", "sound", "SoundTextEncoder"),
        _part("text_encoder", "to-the-longest", "ToTheLongest"),
        _part("denoiser", "sound", "SoundDenoiser"),
        _part("denoiser", "boasts", "SoundDenoiser", **boast),
        _part("denoiser", "first-time-only", "FirstTimeOnly"),
        _part("denoiser", "takes-all", "TakesAll"),
        _part("tokenizer", "sound", "SoundTokenizer"),
        _part("tokenizer", "padding-beyond", "PaddingBeyond"),
        _part("tokenizer", "without-spaces", "WithoutSpaces"),
        _part("tokenizer", "untyped-error", "UntypedError"),
        _part("conditioner", "sound", "SoundConditioner"),
        _part("conditioner", "says-more", "SaysMore"),
        _part("codec", "sound", "SoundCodec"),
        _part("codec", "unbuilt", "FailsToBuild"),
        _part("codec", "float-images", "FloatImages"),
        _part("codec", "of-the-moment", "OfTheMoment"),
        _part("codec", "draws-from-all", "DrawsFromAll"),
        _part("codec", "counts", "Counts"),
        _part("codec", "through-itself", "ThroughItself"),
        _part("codec", "locked", "Locked"),
        _part("codec", "keeps-to-itself", "KeepsToItself"),
        _part("codec", "hears-neighbours", "HearsNeighbours"),
        _part("codec", "unbounded", "Unbounded"),
        _part("codec", "knows-all", "KnowsAll"),
        _part("codec", "lossy", "Lossy", provides=lambda _: {"image.chanels": 3}),
        _part("adapter", "sound", "SoundAdapter"),
        _part("adapter", "explodes", "Explodes"),
        _part("adapter", "rounds", "Rounds"),
        _part("adapter", "takes-anything", "TakesAnything"),
        _part("handover", "sound", "SoundHandover"),
        _part("handover", "keeps-its-size", "KeepsItsSize"),
        _part("handover", "takes-all-and-more", "TakesAllAndMore"),
        _part("handover", "hands-halves", "HandsHalves"),
        _part("handover", "boasts", "SoundHandover", provides=lambda _: {"handover.level": 0.5}),
        _part("metric", "sound", "SoundMetric"),
        _part("metric", "sound-set", "SoundSetMetric", provides=whole),
        _part("metric", "sideways", "Sideways"),
        _part("metric", "one-for-each-prompt", "OneForEachPrompt"),
        _part("metric", "paints-over", "PaintsOver"),
        _part("metric", "unsaid", "SoundSetMetric"),
        _part("metric", "boundless", "Boundless", provides=whole),
        _part("metric", "ranks", "Ranks"),
        _part("ornament", "straight", "Straight"),
        _part("ornament", "crooked", "Crooked"),
    ]
