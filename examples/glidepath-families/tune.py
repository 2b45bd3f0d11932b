"""Tries learning rates for the arms of a study: a sixth of the steps, a seed that the study does not use.

python tune.py study.yaml [ARM ...]

Each rate is judged by the study's primary metric, of 200 images and more.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from glidepath.registry import assemble, build_part, load_catalogue, main, plan_part

RATES = (0.002, 0.004, 0.008)
SEED = 99
IMAGES = 200


def tried(study: str, arm: str, rate: float, metric: Any) -> float:
    """The mean of the metric."""
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
    asked = OmegaConf.load(study).data.prompts
    prompts = [prompt for prompt in asked for _ in range(-(-IMAGES // len(asked)))]
    scores = metric.per_prompt(assemble(str(run))(prompts, seed=SEED), prompts)
    return float(sum(scores) / len(scores))


def primary(study: str) -> tuple[str, Any]:
    """The name of a study's primary metric, and the metric."""
    metrics: Any = OmegaConf.to_container(OmegaConf.load(study).metrics)
    ((name, written),) = metrics["primary"].items()
    parameters = {"use": written} if isinstance(written, str) else dict(written)
    catalogue = load_catalogue()
    return name, build_part(plan_part("metric", parameters.pop("use"), parameters, catalogue), catalogue)


def table(study: str, arms: Sequence[str]) -> None:
    """Prints a row for each arm."""
    name, metric = primary(study)
    print(f"| {name} | {' | '.join(map(str, RATES))} |\n| --- |{' --- |' * len(RATES)}")
    for arm in arms:
        shares = (f"{tried(study, arm, rate, metric):.0%}" for rate in RATES)
        print(f"| {arm} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    table(sys.argv[1], sys.argv[2:])
