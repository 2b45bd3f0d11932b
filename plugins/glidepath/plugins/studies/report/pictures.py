"""Images across arms: the grid of prompts and arms, and the prompts that an arm does best and worst on."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from glidepath.plugins.studies.report.document import Gallery, Tile
from glidepath.plugins.studies.report.numbers import number
from glidepath.plugins.studies.report.style import new_figure, styled
from glidepath.plugins.studies.statistics.changed_pairs import ChangedPairs, changed_pairs, judged
from glidepath.plugins.studies.statistics.results import Arm, ArmImage, MetricInfo, StudyResults
from glidepath.registry import read_picture

#: A grid has so many rows and columns at most, and there are so many grids.
MOST_PROMPTS: Final = 8
MOST_ARMS: Final = 8
MOST_GRIDS: Final = 4
_MOST_NAMED: Final = 12


def image_grids(results: StudyResults) -> tuple[Gallery, ...]:
    """Rows are prompts, columns arms, the baseline first; all of a row began with the same noise.

    More arms than one grid has columns for are in further ones, each beside the baseline. Under an image
    stands its score in the first metric that has one for each prompt.
    """
    by_place = _by_place(results)
    arms = [results.arm(results.baseline), *results.rivals]
    kept = [arm for arm in arms if any(place[0] == arm.name for place in by_place)]
    if not kept:
        return ()
    first, others = ([], kept) if kept[0].name != results.baseline else (kept[:1], kept[1:])
    step = MOST_ARMS - len(first)
    starts = range(0, max(1, len(others)), step)[:MOST_GRIDS]
    shown = [[*first, *others[start : start + step]] for start in starts]
    left_out = [arm for arm in arms if not any(arm in some for some in shown)]
    return tuple(
        _grid(results, by_place, some, number, left_out if some is shown[-1] else [])
        for number, some in enumerate(shown, 1)
    )


def _grid(
    results: StudyResults,
    by_place: Mapping[tuple[str, int, int, int], ArmImage],
    arms: Sequence[Arm],
    which: int,
    left_out: Sequence[Arm],
) -> Gallery:
    """One of the grids; left_out: the arms that are in none of them."""
    training, sampling = min(place[1:3] for place in by_place)
    prompts = sorted({place[3] for place in by_place if place[1:3] == (training, sampling)})[:MOST_PROMPTS]
    metric = judged(results)
    rows = []
    for prompt in prompts:
        tiles = []
        for arm in arms:
            picture = by_place.get((arm.name, training, sampling, prompt))
            note = "" if metric is None else _score(results, arm, metric, training, sampling, prompt)
            tiles.append(_tile(picture, note))
        rows.append((results.prompts[prompt], tuple(tiles)))
    what = f" The number under an image is {_meaning(results, metric)}.{_first(results)}" if metric else ""
    more = len(results.prompts) - len(prompts)
    cut = f" Shown are {len(prompts)} of {len(results.prompts)} prompts." if more else ""
    if left_out:
        names = ", ".join(arm.title for arm in left_out[:_MOST_NAMED])
        rest = len(left_out) - _MOST_NAMED
        cut += f" Arms that are not shown: {names}{f', and {rest} more' if rest > 0 else ''}."
    return Gallery(
        name="grid" if which == 1 else f"grid-{which}",
        caption=(
            "Rows are prompts, columns are arms; all images of a row began with the same noise (training "
            f"seed {results.training_seeds[training]}, sampling seed "
            f"{results.sampling_seeds[sampling]}).{what}{cut}"
        ),
        columns=tuple(arm.title for arm in arms),
        rows=tuple(rows),
    )


def best_and_worst(results: StudyResults) -> Gallery | None:
    """For the arms that differ most, the pairs with the baseline that they improve and spoil most."""
    metric = judged(results)
    if metric is None:
        return None
    by_place = _by_place(results)
    shown = changed_pairs(results, metric, lambda arm, place: (arm, *place) in by_place)
    if not shown.pairs:
        return None
    baseline = results.arm(results.baseline)
    titles = {pair.arm.title for pair in shown.pairs}
    rows = []
    for pair in shown.pairs:
        tiles = [
            _tile(by_place[(it.name, *pair.place)], _score(results, it, metric, *pair.place))
            for it in (baseline, pair.arm)
        ]
        rows.append((f"{pair.arm.title}, {pair.what}: {results.prompts[pair.place[2]]}", tuple(tiles)))
    return Gallery(
        name="pairs",
        caption=(
            f"{_which(results, metric, shown)} The number under an image is {_meaning(results, metric)}."
            f"{_first(results)}"
        ),
        columns=(baseline.title, titles.pop() if len(titles) == 1 else "the arm"),
        rows=tuple(rows),
    )


def _which(results: StudyResults, metric: MetricInfo, shown: ChangedPairs) -> str:
    """Which pairs are shown, and of what they were chosen."""
    kinds = {pair.what for pair in shown.pairs}
    way = "better and worse" if len(kinds) == 2 else "the better" if "best" in kinds else "the worse"
    arms = len({pair.arm.name for pair in shown.pairs})
    cut = f", of the {arms} arms that differ most from it" if shown.arms > arms else ""
    kept = "" if changed_pairs(results, metric) == shown else ", among the pairs whose images are kept"
    return f"The pairs in which {metric.label} changes most from the baseline, for {way}{cut}{kept}."


def _first(results: StudyResults) -> str:
    return "" if results.per_prompt == 1 else " The first of them is shown."


def _meaning(results: StudyResults, metric: MetricInfo) -> str:
    """What the number under an image says: it is of the prompt, and so of the image where it is alone."""
    if results.per_prompt == 1:
        return f"its {metric.label}"
    return f"{metric.label}, the mean over the {results.per_prompt} images of the prompt"


def drawn(gallery: Gallery) -> Any:
    """The gallery as a figure, for paper."""
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
                    panel.imshow(np.asarray(read_picture(tile.file)), interpolation="nearest")
                if tile.note:
                    panel.set_xlabel(tile.note, fontsize=7, labelpad=2)
                if row == 0:
                    wrapped = "\n".join(textwrap.wrap(gallery.columns[column], 16))
                    panel.set_title(wrapped, fontsize=7.5, loc="center")
            label = "\n".join(textwrap.wrap(title, 24))
            axes[row][0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7, labelpad=6)
    return figure


def _tile(picture: ArmImage | None, note: str) -> Tile:
    if picture is None:
        return Tile(None, note)
    folder = re.sub(r"[^\w.,+=~-]", "-", picture.arm)
    # images of other seeds have names of their own beside those of the first
    seeds = (picture.training_seed, picture.sampling_seed)
    suffix = "" if seeds == (0, 0) else f"-seeds-{seeds[0]}-{seeds[1]}"
    return Tile(picture.file, note, f"{folder}/{picture.file.stem}{suffix}{picture.file.suffix}")


def _by_place(results: StudyResults) -> dict[tuple[str, int, int, int], ArmImage]:
    return {(it.arm, it.training_seed, it.sampling_seed, it.prompt): it for it in results.pictures}


def _score(
    results: StudyResults, arm: Arm, metric: MetricInfo, training: int, sampling: int, prompt: int
) -> str:
    value = float(results.of(arm.name, metric.name)[training, sampling, prompt])
    return "" if math.isnan(value) else number(value)
