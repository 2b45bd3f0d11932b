"""What counts as one repetition of a study, and the paired differences of its units.

Scores of an arm are [training seeds, sampling seeds, prompts], NaN where a trial failed. Seeds and prompts
are the same for every arm, so that cells of two arms are pairs; where either failed the pair is dropped.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.statistics.paired import without_rounding
from glidepath.plugins.studies.statistics.results import Replicate

Array = npt.NDArray[np.float64]

#: What is repeated: whole trainings; prompts; sampling seeds with each prompt; or sampling seeds alone, as
#: for a score of a whole set of images.
Unit = Literal["training seed", "prompt", "seed and prompt", "sampling seed"]

#: The axes of scores over which a unit is a mean.
_MEANS: Final[dict[Unit, tuple[int, ...]]] = {
    "training seed": (1, 2),
    "sampling seed": (0, 2),
    "prompt": (0, 1),
    "seed and prompt": (),
}


@attrs.frozen(kw_only=True, eq=False)
class Pairs:
    """The paired units of an arm and the baseline.

    arm, baseline: [n] means of the unit over its complete pairs.
    complete, all: pairs of cells that both succeeded, and that there would be.
    units: how many there would be, n or more. unit: what they are.
    """

    unit: Unit
    arm: Array
    baseline: Array
    complete: int
    all: int
    units: int

    @property
    def differences(self) -> Array:
        """Arm minus baseline, [n]; 0 where they differ by rounding alone."""
        return without_rounding(self.arm - self.baseline, np.maximum(np.abs(self.arm), np.abs(self.baseline)))

    @property
    def averaged(self) -> bool:
        """Whether a unit is a mean over prompts (shares.py)."""
        return self.unit in ("training seed", "sampling seed")

    @property
    def share(self) -> float:
        """Complete pairs out of all."""
        return self.complete / self.all


def unit_of(scores: Array, chosen: Replicate | None = None) -> Unit:
    """Of scores [training seeds, sampling seeds, prompts], as a study chose it.

    Without a choice it is the training seed where there are several, else the pair of seed and prompt. A
    score of a whole set of images has no prompts, and is repeated by seeds.
    """
    if chosen == "trainings" or (chosen is None and scores.shape[0] > 1):
        return "training seed"
    if chosen == "seeds" or scores.shape[2] == 1:
        return "sampling seed"
    return "prompt" if chosen == "prompts" else "seed and prompt"


def pairs(arm: Array, baseline: Array, chosen: Replicate | None = None) -> Pairs:
    """Pair two arms' scores, [training seeds, sampling seeds, prompts] each.

    A prompt that has no score of either arm, under any seed, is none that the metric is about (`among`): no
    pair of it is missing.

    Raises:
        ValueError: they have different shapes, so that their cells are no pairs.
    """
    if arm.shape != baseline.shape:
        raise ValueError(
            f"paired scores have one shape, [training seeds, sampling seeds, prompts]: {list(arm.shape)} and "
            f"{list(baseline.shape)} differ"
        )
    complete = ~(np.isnan(arm) | np.isnan(baseline))
    asked = ~(np.isnan(arm) & np.isnan(baseline)).all((0, 1))
    ours, theirs = (unit_means(np.where(complete, it, np.nan), chosen) for it in (arm, baseline))
    kept = ~np.isnan(ours)
    return Pairs(
        unit=unit_of(arm, chosen),
        arm=ours[kept],
        baseline=theirs[kept],
        complete=int(complete.sum()),
        all=int(complete[:, :, asked].size if asked.any() else complete.size),
        units=int(kept.size),
    )


def unit_means(scores: Array, chosen: Replicate | None = None) -> Array:
    """The score of each unit, over what did not fail; NaN where all of it did."""
    over = _MEANS[unit_of(scores, chosen)]
    if math.prod(scores.shape[axis] for axis in over) == 1:
        return scores.ravel()
    known = ~np.isnan(scores)
    counts = known.sum(over)
    sums = np.where(known, scores, 0.0).sum(over)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def common_units(scores: Array, chosen: Replicate | None = None) -> Array:
    """Units [..., n] that no arm failed, of scores [..., training seeds, sampling seeds, prompts].

    A cell that one arm failed is dropped from all: what is compared across many arms is one set of cells.
    """
    leading = scores.shape[:-3]
    rows = scores.reshape(-1, *scores.shape[-3:])
    complete = ~np.isnan(rows).any(0)
    means = np.stack([unit_means(np.where(complete, row, np.nan), chosen) for row in rows])
    kept = ~np.isnan(means).any(0)
    return means[:, kept].reshape(*leading, -1)
