"""What counts as one repetition of a study, and the paired differences of its units.

Scores of an arm are [training seeds, sampling seeds, prompts], NaN where a trial failed. Seeds and prompts
are the same for every arm, so that cells of two arms are pairs; where either failed the pair is dropped.
"""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.statistics.paired import without_rounding

Array = npt.NDArray[np.float64]

#: What is repeated: whole trainings; or, on one checkpoint, sampling seeds with each prompt, or sampling
#: seeds alone where the score is one of a whole set of images.
Unit = Literal["training seed", "seed and prompt", "sampling seed"]


@attrs.frozen(kw_only=True, eq=False)
class Pairs:
    """The paired units of an arm and the baseline.

    arm, baseline: [n] means of the unit over its complete pairs.
    complete, all: pairs of cells that both succeeded, and that there would be.
    units: how many there would be, n or more.
    """

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
    def share(self) -> float:
        """Complete pairs out of all."""
        return self.complete / self.all


def unit_of(scores: Array) -> Unit:
    """Of scores [training seeds, sampling seeds, prompts]: training seeds where there are several."""
    if scores.shape[0] > 1:
        return "training seed"
    return "seed and prompt" if scores.shape[2] > 1 else "sampling seed"


def pairs(arm: Array, baseline: Array) -> Pairs:
    """Pair two arms' scores, [training seeds, sampling seeds, prompts] each.

    Raises:
        ValueError: they have different shapes, so that their cells are no pairs.
    """
    if arm.shape != baseline.shape:
        raise ValueError(
            f"paired scores have one shape, [training seeds, sampling seeds, prompts]: {list(arm.shape)} and "
            f"{list(baseline.shape)} differ"
        )
    complete = ~(np.isnan(arm) | np.isnan(baseline))
    ours, theirs = (unit_means(np.where(complete, it, np.nan)) for it in (arm, baseline))
    kept = ~np.isnan(ours)
    return Pairs(
        arm=ours[kept],
        baseline=theirs[kept],
        complete=int(complete.sum()),
        all=int(complete.size),
        units=int(kept.size),
    )


def unit_means(scores: Array) -> Array:
    """The score of each unit, over what did not fail; NaN where all of it did."""
    if unit_of(scores) != "training seed":
        return scores.ravel()
    rows = scores.reshape(len(scores), -1)
    known = ~np.isnan(rows)
    counts = known.sum(1)
    sums = np.where(known, rows, 0.0).sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def common_units(scores: Array) -> Array:
    """Units [..., n] that no arm failed, of scores [..., training seeds, sampling seeds, prompts].

    A cell that one arm failed is dropped from all: what is compared across many arms is one set of cells.
    """
    leading = scores.shape[:-3]
    rows = scores.reshape(-1, *scores.shape[-3:])
    complete = ~np.isnan(rows).any(0)
    means = np.stack([unit_means(np.where(complete, row, np.nan)) for row in rows])
    kept = ~np.isnan(means).any(0)
    return means[:, kept].reshape(*leading, -1)
