"""Tries learning rates for the arms of a study: a sixth of the steps, a seed that the study does not use.

python tune.py study.yaml [ARM ...]
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import recognised
from omegaconf import OmegaConf

from glidepath.registry import assemble, main

RATES = (0.002, 0.004, 0.008)
SEED = 99


def tried(study: str, arm: str, rate: float) -> float:
    """The share of 200 digits that are recognised."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        main(["study", "show", study, arm])
    spec = OmegaConf.create(shown.getvalue())
    spec.train.steps = spec.train.steps // 6
    for objective in spec.train.objectives:
        if "steps" in objective:
            objective.steps = objective.steps // 6
    spec.train.learning_rate, spec.train.seed = rate, SEED
    file, run = Path(f"tune-{arm}.yaml"), Path("tune") / f"{arm}-{rate}"
    file.write_text(OmegaConf.to_yaml(spec), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = main(["train", str(file), "--out", str(run)])
    file.unlink()
    if status:
        raise SystemExit(f"{arm} at {rate} ended with {status}")
    prompts = [prompt for prompt in OmegaConf.load(study).data.prompts for _ in range(20)]
    right = recognised.per_prompt(assemble(str(run))(prompts, seed=SEED), prompts)
    return float(sum(right) / len(right))


def table(study: str, arms: Sequence[str]) -> None:
    """Prints a row for each arm."""
    print(f"| recognised | {' | '.join(map(str, RATES))} |\n| --- |{' --- |' * len(RATES)}")
    for arm in arms:
        shares = (f"{tried(study, arm, rate):.0%}" for rate in RATES)
        print(f"| {arm} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    table(sys.argv[1], sys.argv[2:])
