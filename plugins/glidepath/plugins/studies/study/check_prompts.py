"""Whether the tokenizers of every arm can read the prompts, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from glidepath.core import GlidepathError
from glidepath.plugins.studies.study.arms import ArmPlan
from glidepath.plugins.studies.study.study import MetricPlan
from glidepath.registry import (
    PIPELINE_SLOTS,
    PartPlan,
    Place,
    Problems,
    canonical_json,
    flat_parts,
    part_tree,
)

_KIND = "tokenizer"


def check_prompts(
    prompts: Mapping[str, str],
    places: Sequence[Place],
    arms: Sequence[ArmPlan],
    metrics: Sequence[MetricPlan],
    problems: Problems,
) -> None:
    """Add a problem for every prompt that a tokenizer of an arm or of a metric does not read.

    prompts: by their dotted paths in the study. places: of each. A text encoder whose spec has no tokenizer
        is not asked.
    """
    told: set[tuple[int, str]] = set()
    for part, whose in _tokenizers(arms, metrics):
        for index, why in _unread(part, list(prompts.values())):
            if (index, why) not in told:
                told.add((index, why))
                problems.add(why, places[index], list(prompts)[index], f"{part.path}{whose} reads it")


def _tokenizers(arms: Sequence[ArmPlan], metrics: Sequence[MetricPlan]) -> Iterator[tuple[PartPlan, str]]:
    """Each different one once, with the arm that has it."""
    looked: set[int] = set()
    known: set[str] = set()
    for holder, whose in _holders(arms, metrics):
        if id(holder) in looked:
            continue
        looked.add(id(holder))
        for part in flat_parts({"": holder}):
            if part.registered.component.kind == _KIND:
                text = canonical_json(part_tree(part))
                if text not in known:
                    known.add(text)
                    yield part, whose


def _holders(
    arms: Sequence[ArmPlan], metrics: Sequence[MetricPlan]
) -> Iterator[tuple[PartPlan | tuple[PartPlan, ...], str]]:
    """What reads prompts where images are drawn and judged; captions are another matter."""
    for arm in arms:
        for parts in arm.pipelines.values():
            for slot in PIPELINE_SLOTS:
                if slot in parts:
                    yield parts[slot], f" of arm {arm.name}"
    for metric in metrics:
        yield metric.part, ""


def _unread(part: PartPlan, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The places of the prompts that a tokenizer refuses, with what it says."""
    made = _built(part)
    if made is None:
        return
    for index, prompt in enumerate(prompts):
        try:
            made.encode(prompt)
        except GlidepathError as error:
            # a problem is one line
            yield index, "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        except Exception:
            return  # it is broken, which its plugin's tests and the first trial tell


def _built(part: PartPlan) -> Any:
    """The tokenizer; None for one that is made of other parts, or that cannot be built, which a trial tells.

    Its interface is not asked for: that would import torch, which no tokenizer needs.
    """
    if part.parts:
        return None
    module, _, name = part.registered.component.target.partition(":")
    given = () if part.config is None else (part.config,)
    try:
        return getattr(import_module(module), name)(*given)
    except Exception:
        return None
