"""A metric as a rater: it scores pictures against their prompts, and its preferences are reported apart."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glidepath.core import GlidepathError
from glidepath.plugins.judge.protocol.answers import Answer
from glidepath.plugins.judge.protocol.folder import Judgement, Rater
from glidepath.plugins.judge.protocol.items import Task
from glidepath.registry import (
    Catalogue,
    ImageError,
    PartPlan,
    build_part,
    flat_parts,
    plan_part,
    read_manifest,
    read_picture,
    weights_sha256,
)

_BATCH = 64


def scores_of(judgement: Judgement, metric: Mapping[str, Any], catalogue: Catalogue) -> list[float]:
    """What a metric says of every picture, the higher the better; NaN of what it has no answer for.

    metric: as a study writes it, {"use": "clip-score", ...}.

    Raises:
        SpecError: there is no such metric, or its parameters have problems.
        GlidepathError: it judges whole sets of pictures and not each, or by a network that guided an arm,
            which it would favour.
    """
    import torch

    plan = plan_part("metric", str(metric["use"]), {k: v for k, v in metric.items() if k != "use"}, catalogue)
    _refuse_guide(judgement, plan, catalogue)
    built = build_part(plan, catalogue)
    if not hasattr(built, "per_prompt"):
        raise GlidepathError(
            f"metric {built.name} has one number for a whole set of pictures: a judge has one for each"
        )
    sign = 1.0 if built.direction == "higher" else -1.0
    found = [math.nan] * len(judgement.pictures)
    by_size: dict[tuple[int, int], list[int]] = {}
    pixels: dict[int, Any] = {}
    for place, picture in enumerate(judgement.pictures):
        if picture.arm:
            pixels[place] = torch.from_numpy(np.array(read_picture(judgement.folder / picture.file)))
            by_size.setdefault(tuple(pixels[place].shape[:2]), []).append(place)
    for places in by_size.values():
        for first in range(0, len(places), _BATCH):
            some = places[first : first + _BATCH]
            images = torch.stack([pixels[it] for it in some]).permute(0, 3, 1, 2).contiguous()
            said = built.per_prompt(images, [judgement.pictures[it].prompt for it in some])
            for place, score in zip(some, said, strict=True):
                found[place] = sign * float(score)
    return found


def _refuse_guide(judgement: Judgement, plan: PartPlan, catalogue: Catalogue) -> None:
    """As far as the records of pictures tell what guided them."""
    addresses = [part.weights for part in flat_parts({"": plan}) if part.weights is not None]
    own = {weights_sha256(address, catalogue) for address in addresses}
    seen: set[str] = set()
    for picture in judgement.pictures if own else ():
        if picture.arm in ("", *seen) or not picture.file.endswith(".png"):
            continue
        seen.add(picture.arm)
        with contextlib.suppress(ImageError):  # it is not of glidepath
            _, manifest = read_manifest(judgement.folder / picture.file)
            used = manifest.get("weights")
            for path, digest in used.items() if isinstance(used, dict) else ():
                if "guidance[" in path and digest in own:
                    raise GlidepathError(
                        f"{path} of {picture.arm} has the weights of this judge, which would favour the arm "
                        "that it guided: choose another one"
                    )


def model_answers(
    judgement: Judgement, name: str, scores: Sequence[float], margin: float
) -> tuple[Rater, list[Answer]]:
    """A model as a rater of every item, checks left out, and its answers.

    margin: scores that differ by no more are a tie; so are those that are not known. A rating is a score's
    place among the scores of all pictures, in equal parts.
    """
    about = judgement.rules.judgement
    tasks: list[Task] = []
    said: list[str | int] = []
    known = sorted(it for it in scores if not math.isnan(it))
    for item in judgement.items:
        values = [scores[it] for it in item.pictures]
        if item.check or (about.kind == "ratings" and math.isnan(values[0])):
            continue
        if about.kind == "ratings":
            below = sum(it < values[0] for it in known) + sum(it == values[0] for it in known) / 2
            said.append(min(about.scale, 1 + int(below / len(known) * about.scale)))
        else:
            gap = values[0] - values[1]
            said.append("tie" if not abs(gap) > margin else "left" if gap > 0 else "right")
        tasks.append(Task(item.id, item.pictures, "ask"))
    now = round(time.time(), 3)
    answers = [Answer(name, place, answer, None, now) for place, answer in enumerate(said)]
    return Rater(name, "model", tuple(tasks)), answers
