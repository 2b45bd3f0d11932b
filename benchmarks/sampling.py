"""How long sampling takes, how much of it is spent outside the network, and how diffusers compares.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/sampling.py

On the CPU, with random weights, by DDIM under classifier-free guidance (two forwards for an image and a step,
as one batch). Two models: the embedded one (preset `shapes`, 50 steps), and a GLIDE-like one of 9M parameters
at 64x64 (benchmarks/glide-like.yaml, 10 steps). Each round makes one walk of every kind, so that what else
the machine does falls on all alike. Printed are medians over the rounds, and the fastest.

s/image    from the prompt to 8 bits, by all steps
outside    time in the loop outside the network, over time inside it; both are taken within the loop
ratio      diffusers' time in the loop over glidepath's in the same round, in float32; above 1, ours is faster

diffusers runs UNet2DConditionModel with DDIMScheduler in the loop of its pipelines: text embedded beforehand,
torch.no_grad, and channels_last, which ours has too. Its networks consist of other blocks; their parameters
and operations (of convolutions and linear layers) are printed with the ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import torch
from ours import Ours
from timing import Clock, Timing, checked_options, machine, option_parser

from glidepath.core import GlidepathError


class Subject(Protocol):
    """What makes images."""

    @property
    def parameters(self) -> int: ...

    def walk(self, batch: int, clock: Clock) -> Timing: ...

    def warm_up(self, batch: int) -> None: ...

    def gigaflops(self) -> float: ...


@attrs.frozen(kw_only=True)
class Model:
    """One of ours, and theirs to compare with, by what they are called: arguments of `theirs.Peer`."""

    spec: str | Path
    steps: int
    goal: float
    peers: dict[str, dict[str, Any]]


_SHAPES: dict[str, Any] = {
    "widths": (64, 64, 128),
    "attention": (False, True, True),
    "head_channels": 32,
    "text": (20, 128),
    "variance": False,
    "predicts": "v_prediction",
}
MODELS = {
    "shapes": Model(
        spec="shapes",
        steps=50,
        goal=0.02,
        peers={
            "diffusers, 2x2 patches": {**_SHAPES, "size": 16, "channels": 12},
            "diffusers": {**_SHAPES, "size": 32, "channels": 3},
        },
    ),
    "glide-like": Model(
        spec=Path(__file__).with_name("glide-like.yaml"),
        steps=10,
        goal=0.005,
        peers={
            "diffusers": {
                "size": 64,
                "channels": 3,
                "widths": (64, 160, 160),
                "attention": (False, False, True),
                "head_channels": 32,
                "text": (128, 256),
                "variance": True,
                "predicts": "epsilon",
            }
        },
    ),
}


@attrs.frozen
class Case:
    """One kind of walk."""

    name: str
    dtype: str
    batch: int
    subject: Subject


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was asked for."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.clock == "cpu" else time.perf_counter
    report: dict[str, Any] = {"machine": machine(options), "models": {}}
    print("  ".join(f"{name} {value}" for name, value in report["machine"].items()))
    for name in options.models:
        report["models"][name] = measured = _measure(MODELS[name], options, clock)
        _print(name, MODELS[name], measured)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(model: Model, options: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    ours = {dtype: Ours(model.spec, model.steps, dtype) for dtype in options.dtypes}
    cases = [
        Case("glidepath", dtype, batch, ours[dtype]) for dtype in options.dtypes for batch in options.batches
    ]
    peers = {} if options.alone else _peers(model)
    cases += [Case(name, "float32", batch, peer) for name, peer in peers.items() for batch in options.batches]
    for case in cases:
        case.subject.warm_up(case.batch)
    timings: list[list[Timing]] = [[] for _ in cases]
    for number in range(options.rounds):
        print(f"{model.spec}: round {number + 1} of {options.rounds}", file=sys.stderr)
        for case, taken in zip(cases, timings, strict=True):
            taken.append(case.subject.walk(case.batch, clock))
    any_of_ours = next(iter(ours.values()))
    sizes: dict[str, Subject] = {"glidepath": any_of_ours, **peers}
    return {
        "steps": model.steps,
        "counts": any_of_ours.counts(),
        "networks": {
            name: {"parameters": subject.parameters, "gigaflops_a_step": subject.gigaflops()}
            for name, subject in sizes.items()
        },
        "cases": [_summary(case, taken) for case, taken in zip(cases, timings, strict=True)],
        "ratios": _ratios(cases, timings),
    }


def _peers(model: Model) -> dict[str, Subject]:
    try:
        from theirs import Peer, Theirs
    except ImportError as error:
        print(
            f"without diffusers ({error}); pip install 'glidepath-diffusion[bench]' has it", file=sys.stderr
        )
        return {}
    return {name: Theirs(Peer(**peer), model.steps) for name, peer in model.peers.items()}


def _summary(case: Case, taken: list[Timing]) -> dict[str, Any]:
    images = [timing.whole / case.batch for timing in taken]
    return {
        "name": case.name,
        "dtype": case.dtype,
        "batch": case.batch,
        "seconds_an_image": statistics.median(images),
        "seconds_an_image_fastest": min(images),
        "loop_seconds": statistics.median(timing.loop for timing in taken),
        "network_seconds": statistics.median(timing.network for timing in taken),
        "outside": statistics.median(timing.overhead for timing in taken),
    }


def _ratios(cases: list[Case], timings: list[list[Timing]]) -> list[dict[str, Any]]:
    ours = {
        case.batch: taken
        for case, taken in zip(cases, timings, strict=True)
        if (case.name, case.dtype) == ("glidepath", "float32")
    }
    return [
        {
            "name": case.name,
            "batch": case.batch,
            "loop": statistics.median(
                their.loop / our.loop for their, our in zip(taken, ours[case.batch], strict=True)
            ),
        }
        for case, taken in zip(cases, timings, strict=True)
        if case.name != "glidepath" and case.batch in ours
    ]


def _print(name: str, model: Model, measured: dict[str, Any]) -> None:
    counts = measured["counts"]
    print(f"\n{name}, DDIM {model.steps}: for one image, {counts['network']} network calls of two rows each,")
    print(
        f"{counts['text_encoder']} text encoder calls (the prompt, and no prompt), "
        f"{counts['text_projections']:g} projection of the text for each attention layer"
    )
    print(
        f"{'':26}{'dtype':>10}{'batch':>7}{'s/image':>10}{'fastest':>10}{'outside':>10}  goal {model.goal:g}"
    )
    for case in measured["cases"]:
        print(
            f"{case['name']:26}{case['dtype']:>10}{case['batch']:>7}{case['seconds_an_image']:>10.3f}"
            f"{case['seconds_an_image_fastest']:>10.3f}{case['outside']:>10.4f}"
        )
    print(f"{'':26}{'parameters':>17}{'GFLOP/step':>12}   ratio")
    for network, said in measured["networks"].items():
        ratios = ", ".join(
            f"{ratio['loop']:.2f} at batch {ratio['batch']}"
            for ratio in measured["ratios"]
            if ratio["name"] == network
        )
        print(f"{network:26}{said['parameters']:>17,}{said['gigaflops_a_step']:>12.2f}   {ratios}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = option_parser(__doc__, rounds=3, clock="wall")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"]
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], metavar="B")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="without diffusers")
    return checked_options(parser, arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GlidepathError as error:
        sys.exit(f"sampling.py: {error}")
