"""Images across arms: the grid of prompts and arms, and the prompts that an arm does best and worst on."""

from __future__ import annotations

import math
import re
import textwrap
from typing import Any, Final

import numpy as np

from glidepath.plugins.studies.report.document import Gallery, Tile
from glidepath.plugins.studies.report.numbers import number
from glidepath.plugins.studies.report.style import new_figure, styled
from glidepath.plugins.studies.results import Arm, Metric, Picture, StudyResults
from glidepath.plugins.studies.stat_extra import needed

#: The grid has so many rows and columns at most.
MOST_PROMPTS: Final = 8
MOST_ARMS: Final = 8
#: So many best and worst pairs are shown of an arm, for so many arms.
PAIRS: Final = 2
PAIRED_ARMS: Final = 4


def image_grid(results: StudyResults) -> Gallery | None:
    """Rows are prompts, columns arms, the baseline first; all of a row began with the same noise.

    Under an image stands its score in the first metric that has one for each prompt.
    """
    by_place = _by_place(results)
    arms = [results.arm(results.baseline), *results.rivals]
    arms = [arm for arm in arms if any(place[0] == arm.name for place in by_place)][:MOST_ARMS]
    seeds = sorted({place[1:3] for place in by_place})
    prompts = (
        sorted({place[3] for place in by_place if place[1:3] == seeds[0]})[:MOST_PROMPTS] if seeds else []
    )
    if not arms or not prompts:
        return None
    training, sampling = seeds[0]
    metric = judged(results)
    rows = []
    for prompt in prompts:
        tiles = []
        for arm in arms:
            picture = by_place.get((arm.name, training, sampling, prompt))
            note = "" if metric is None else _score(results, arm, metric, training, sampling, prompt)
            tiles.append(_tile(picture, note))
        rows.append((results.prompts[prompt], tuple(tiles)))
    what = f" The number under an image is {_meaning(results, metric)}." if metric else ""
    cut = _cut(len(arms), len(results.arms), len(prompts), len(results.prompts))
    return Gallery(
        name="grid",
        caption=(
            "Rows are prompts, columns are arms; all images of a row began with the same noise (training "
            f"seed {results.training_seeds[training]}, sampling seed "
            f"{results.sampling_seeds[sampling]}).{what}{cut}"
        ),
        columns=tuple(arm.title for arm in arms),
        rows=tuple(rows),
    )


def best_and_worst(results: StudyResults) -> Gallery | None:
    """For each arm the pairs with the baseline that it improves most, and those that it spoils most."""
    metric = judged(results)
    by_place = _by_place(results)
    if metric is None:
        return None
    baseline = results.arm(results.baseline)
    rows = []
    for arm in results.rivals[:PAIRED_ARMS]:
        gains = metric.sign * (results.of(arm.name, metric.name) - results.of(baseline.name, metric.name))
        known: list[tuple[int, int, int]] = [(t, s, p) for t, s, p in np.argwhere(~np.isnan(gains)).tolist()]
        places = [
            place for place in known if (arm.name, *place) in by_place and (baseline.name, *place) in by_place
        ]
        ordered = sorted(places, key=lambda place: -float(gains[place]))
        chosen = [("best", place) for place in ordered[:PAIRS] if gains[place] > 0]
        chosen += [("worst", place) for place in ordered[::-1][:PAIRS] if gains[place] < 0]
        for what, place in chosen:
            tiles = [
                _tile(by_place[(it.name, *place)], _score(results, it, metric, *place))
                for it in (baseline, arm)
            ]
            rows.append((f"{arm.title}, {what}: {results.prompts[place[2]]}", tuple(tiles)))
    if not rows:
        return None
    return Gallery(
        name="pairs",
        caption=(
            f"The pairs in which {metric.label} changes most from the baseline, for better and worse. The "
            f"number under an image is {_meaning(results, metric)}."
        ),
        columns=(baseline.title, "the arm"),
        rows=tuple(rows),
    )


def _meaning(results: StudyResults, metric: Metric) -> str:
    """What the number under an image says: it is of the prompt, and so of the image where it is alone."""
    if results.per_prompt == 1:
        return f"its {metric.label}"
    return f"{metric.label}, the mean over the {results.per_prompt} images of the prompt"


def _cut(arms: int, all_arms: int, prompts: int, all_prompts: int) -> str:
    """How much of a study is shown, where it is not all."""
    if (arms, prompts) == (all_arms, all_prompts):
        return ""
    return f" Shown are {arms} of {all_arms} arms, {prompts} of {all_prompts} prompts."


def judged(results: StudyResults) -> Metric | None:
    """The metric that single images are told apart by: the first, primary ones before others."""
    ordered = sorted(results.metrics, key=lambda it: not it.primary)
    return next((it for it in ordered if results.of(results.baseline, it.name).shape[2] > 1), None)


def drawn(gallery: Gallery) -> Any:
    """The gallery as a figure, for paper."""
    image = needed("PIL.Image", "figures")
    wide, high = len(gallery.columns), len(gallery.rows)
    with styled():
        figure, axes = new_figure(1.6 + 1.0 * wide, 0.35 + 1.14 * high, high, wide)
        for row, (title, tiles) in enumerate(gallery.rows):
            for column, tile in enumerate(tiles):
                panel = axes[row][column]
                panel.set_xticks([])
                panel.set_yticks([])
                for spine in panel.spines.values():
                    spine.set_visible(False)
                if tile.file is not None:
                    with image.open(tile.file) as opened:
                        panel.imshow(np.asarray(opened.convert("RGB")), interpolation="nearest")
                if tile.note:
                    panel.set_xlabel(tile.note, fontsize=7, labelpad=2)
                if row == 0:
                    wrapped = "\n".join(textwrap.wrap(gallery.columns[column], 16))
                    panel.set_title(wrapped, fontsize=7.5, loc="center")
            label = "\n".join(textwrap.wrap(title, 24))
            axes[row][0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7, labelpad=6)
    return figure


def _tile(picture: Picture | None, note: str) -> Tile:
    if picture is None:
        return Tile(None, note)
    folder = re.sub(r"[^\w.,+=~-]", "-", picture.arm)
    return Tile(picture.file, note, f"{folder}/{picture.file.name}")


def _by_place(results: StudyResults) -> dict[tuple[str, int, int, int], Picture]:
    return {(it.arm, it.training_seed, it.sampling_seed, it.prompt): it for it in results.pictures}


def _score(results: StudyResults, arm: Arm, metric: Metric, training: int, sampling: int, prompt: int) -> str:
    value = float(results.of(arm.name, metric.name)[training, sampling, prompt])
    return "" if math.isnan(value) else number(value)
