"""What the local engine of studies adds to its trials, and what a second slot saves.

    python benchmarks/studies.py [--seconds 10] [--trials 8] [--json]

Runs three studies of equal trials in folders that it deletes: one of trials that do next to nothing, for the
time between the end of a stage and the begin of the next trial's (goal: under 0.3 s), and one whose trials
compute for so many seconds on one thread, with 1 slot and with 2 (goal: 1.8 times sooner with 2). The machine
must have two cores that nothing else uses. glidepath must be installed, so that its plugins are found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

OVERHEAD_GOAL, SPEED_UP_GOAL = 0.3, 1.8

SPEC = """\
schedule: {use: cosine, num_steps: 50}
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: []
  text_width: null
  head_channels: 16
  learned_variance: false
sampler: {use: ddim, steps: 1}
runtime: {device: cpu}
"""

STUDY = """\
base: spec.yaml
arms: [{{case: one}}]
seeds: {{sample: {trials}}}
data: {{prompts: [a picture]}}
metrics: {{primary: {{busy: {{use: busy, rounds: {rounds}}}}}}}
engine: {{slots: {slots}}}
"""

PLUGIN = '''\
import attrs

from glidepath.registry import Component, doc, hookimpl


@attrs.frozen(kw_only=True)
class Config:
    """How much it computes."""

    rounds: int = attrs.field(default=0, metadata=doc("of a loop"))


@hookimpl
def components():
    return [
        Component(
            kind="metric", name="busy", target="busy.plugin:Busy", config=Config, summary="computes"
        )
    ]


def work(rounds):
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


class Busy:
    name, direction, unit = "busy", "higher", ""

    def __init__(self, config):
        self.rounds = config.rounds

    def per_prompt(self, images, prompts):
        return [float(work(self.rounds)) for _ in prompts]
'''


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="that a trial computes (default: 10)")
    parser.add_argument("--trials", type=int, default=8, help="of each study, an even number (default: 8)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glidepath-studies-") as name:
        folder = Path(name)
        environment = installed(folder)
        rounds = calibrated(folder, arguments.seconds)
        idle = run(folder / "idle", environment, trials=20, rounds=0, slots=1)
        one = run(folder / "one", environment, trials=arguments.trials, rounds=rounds, slots=1)
        two = run(folder / "two", environment, trials=arguments.trials, rounds=rounds, slots=2)
    found = {
        "overhead_seconds": round(idle["between"], 3),
        "warm_up_seconds": round(idle["first"], 2),
        "trial_seconds": round(one["mean"], 2),
        "one_slot_seconds": round(one["span"], 2),
        "two_slots_seconds": round(two["span"], 2),
        "speed_up": round(one["span"] / two["span"], 3),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    if arguments.json:
        print(json.dumps(found))
        return 0
    print(f"between trials: {found['overhead_seconds']} s (goal {OVERHEAD_GOAL})")
    print(f"from the command to the first trial: {found['warm_up_seconds']} s")
    print(f"{arguments.trials} trials of {found['trial_seconds']} s, on {found['cores']} cores:")
    print(f"  1 slot {found['one_slot_seconds']} s, 2 slots {found['two_slots_seconds']} s")
    print(f"  speed-up {found['speed_up']} (goal {SPEED_UP_GOAL})")
    return 0


def installed(folder: Path) -> dict[str, str]:
    """The environment in which the metric `busy` is installed."""
    site = folder / "site"
    info = site / "busy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: busy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[glidepath.plugins]\nbusy = busy.plugin\n")
    (site / "busy").mkdir()
    (site / "busy" / "__init__.py").write_text("")
    (site / "busy" / "plugin.py").write_text(PLUGIN)
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *([before] if before else [])])}


def calibrated(folder: Path, seconds: float) -> int:
    """Rounds of the metric's loop that take so long."""
    sys.path.insert(0, str(folder / "site"))
    work = import_module("busy.plugin").work
    rounds = 1_000_000
    clock = time.perf_counter()
    work(rounds)
    return int(rounds * seconds / (time.perf_counter() - clock))


def run(
    folder: Path, environment: Mapping[str, str], *, trials: int, rounds: int, slots: int
) -> dict[str, float]:
    """Run a study; seconds.

    first: from the command to the first stage. span: from there to the end of the last. between: of a trial
    outside its stages. mean: of the stages of a trial.
    """
    folder.mkdir()
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "study.yaml").write_text(STUDY.format(trials=trials, rounds=rounds, slots=slots))
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "study.yaml", "--store", "store"],
        cwd=folder,
        env=dict(environment),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stages = [json.loads(path.read_text()) for path in (folder / "store").rglob("result.json")]
    inside = sum(it["seconds"] for it in stages)
    first = min(it["began"] for it in stages)
    span = max(it["began"] + it["seconds"] for it in stages) - first
    return {
        "first": first - began,
        "span": span,
        "between": (span * slots - inside) / (trials - 1),
        "mean": inside / trials,
    }


if __name__ == "__main__":
    sys.exit(main())
