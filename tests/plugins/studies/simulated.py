"""Results of studies that were never run: scores with known effects, for tests of statistics and reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from glidepath.plugins.studies.statistics.results import (
    Arm,
    ArmImage,
    Axis,
    Cost,
    Failure,
    MetricInfo,
    Provenance,
    StudyResults,
)

FAITHFUL = MetricInfo(
    name="all-right", title="all right", direction="higher", unit="share", primary=True, ceiling=0.995
)
DISTANCE = MetricInfo(name="kid", title="KID", direction="lower", primary=True, margin=0.01, floor=0.0)
SECONDS = MetricInfo(name="seconds", title="seconds per image", direction="lower", unit="s")
PROMPTS = ("a red star", "a blue ring above a green cross", "a small cyan square on pink", "a large circle")


def scale_study(
    *, seeds: int = 12, scales: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0), folder: Path | None = None
) -> StudyResults:
    """Guidance scales under two schedules: faithfulness rises and levels off, distance has a minimum."""
    rng = np.random.default_rng(5)
    arms, scores, costs = [], {}, {}
    seed_effect = rng.normal(0, 0.02, (seeds, 1, 1))
    for schedule, shift in (("cosine", 0.0), ("linear", -0.03)):
        for scale in scales:
            name = f"{schedule}-{scale:g}"
            arms.append(
                Arm(name=name, label=f"{schedule} {scale:g}", values={"schedule": schedule, "scale": scale})
            )
            faithful = 0.55 + 0.4 * (1 - np.exp(-scale / 1.5)) + shift + seed_effect
            distance = 0.02 + 0.004 * (scale - 2) ** 2 / 4 - shift / 3
            scores[name] = {
                "all-right": np.clip(faithful + rng.normal(0, 0.03, (seeds, 2, len(PROMPTS))), 0, 1),
                "kid": distance + rng.normal(0, 0.002, (seeds, 2, 1)),
                "seconds": (0.05 if scale == 0 else 0.1) + rng.normal(0, 0.002, (seeds, 2, 1)),
            }
            costs[name] = Cost(
                seconds=90.0 + scale,
                seconds_per_image=0.05 if scale == 0 else 0.1,
                peak_bytes=412 << 20,
                evaluations=27 if scale == 0 else 54,
                computed=seeds * 3,
                reused=seeds,
            )
    failed = arms[-1].name
    scores[failed]["all-right"][1, 0] = np.nan
    scores[failed]["kid"][1, 0] = np.nan
    return StudyResults(
        name="Guidance scale",
        question="How much guidance is best, and does the schedule change that?",
        arms=tuple(arms),
        baseline="cosine-0",
        axes=(Axis(name="schedule"), Axis(name="scale", label="guidance scale")),
        metrics=(FAITHFUL, DISTANCE, SECONDS),
        scores=scores,
        training_seeds=tuple(range(seeds)),
        sampling_seeds=(0, 1),
        prompts=PROMPTS,
        costs=costs,
        failures=(
            Failure(
                arm=failed,
                trial="training seed 1, sampling seed 0",
                stage="sample",
                kind="out of memory",
                message="Traceback ...\nOutOfMemoryError: tried to allocate 2 GiB <at> step 3",
            ),
        ),
        pictures=pictures(folder, [arm.name for arm in arms][:4]) if folder else (),
        provenance=Provenance(
            command="glidepath study run scale.yaml",
            commit="0123abc",
            hardware="2 cores",
            distributions={"glidepath-diffusion": "0.1.0"},
            packages={"torch": "2.13.0"},
            difference="- a\n+ b <script>",
        ),
    )


def part_study(*, seeds: int = 5) -> StudyResults:
    """A full model, three parts out of it one at a time, and two of them together, of which one interacts."""
    rng = np.random.default_rng(11)
    losses = {(): 0.0, ("guidance",): 0.3, ("EMA",): 0.1, ("cosine",): 0.001, ("guidance", "EMA"): 0.32}
    seed_effect = rng.normal(0, 0.05, (seeds, 1, 1))
    arms, scores = [], {}
    for removed, loss in losses.items():
        name = "-".join(["full", *removed])
        arms.append(
            Arm(name=name, label=f"without {' and '.join(removed)}" if removed else "full", removed=removed)
        )
        noise = rng.normal(0, 0.01, (seeds, 1, len(PROMPTS)))
        scores[name] = {"all-right": 0.9 - loss + seed_effect + noise}
    return StudyResults(
        name="Leave one out",
        question="What is each part worth?",
        arms=tuple(arms),
        baseline="full",
        metrics=(FAITHFUL,),
        scores=scores,
        training_seeds=tuple(range(seeds)),
        sampling_seeds=(0,),
        prompts=PROMPTS,
    )


def pictures(folder: Path, arms: list[str]) -> tuple[ArmImage, ...]:
    """An image of 32 x 32 for each arm and prompt."""
    rng = np.random.default_rng(0)
    found = []
    for arm in arms:
        for prompt in range(len(PROMPTS)):
            pixels = np.full((32, 32, 3), rng.integers(40, 255, 3), dtype=np.uint8)
            pixels[8:24, 8:24] = rng.integers(0, 255, 3)
            file = folder / f"{arm}-{prompt}.png"
            Image.fromarray(pixels).save(file)
            found.append(ArmImage(arm=arm, prompt=prompt, file=file))
    return tuple(found)
