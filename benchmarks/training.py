"""A step of glidepath's training loop, beside one of a plain loop of PyTorch and one of diffusers' examples.

    pip install -c constraints.txt -e ".[bench]"
    OMP_NUM_THREADS=1 python benchmarks/training.py

On the CPU, in float32, from random weights: the models of benchmarks/sampling.py, each with its text encoder,
which learns too. Every loop draws noise and timesteps, drops captions, clips gradients, steps AdamW and
averages the weights. Images and captions lie in memory: benchmarks/input.py is of those that do not.

glidepath      the trainer `diffusion`, as `glidepath train` has it; checkpoints and probes are left out
plain PyTorch  the same network in the same memory layout, with torch's fused AdamW and its AveragedModel
diffusers      UNet2DConditionModel of about the same parameter count behind the same text encoder, in the
               loop of diffusers' examples: accelerate, AdamW, EMAModel; in its own layout and channels_last

Each loop has a process of its own. They take turns, `--steps` steps each in a round, so that what else the
machine does falls on all alike; the first turn of each is left out. glidepath writes its log once in a turn.

ms/step   median over the rounds
speed-up  time of that loop over glidepath's in the same round; above 1, glidepath is faster. Median and the
          middle half of the rounds
peak MB   of the memory of the process
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import sampling
import torch
from loops import Loop, Model, loops_of, parts_of
from ours import parameters
from timing import machine, read_options

from glidepath.plugins.train.run.memory import peak_bytes

MODELS = {
    name: Model(
        spec=model.spec,
        batch=batch,
        peers={peer: {**arguments, "variance": False} for peer, arguments in model.peers.items()},
    )
    for name, batch, model in (
        ("shapes", 16, sampling.MODELS["shapes"]),
        ("glide-like", 4, sampling.MODELS["glide-like"]),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = read_options(arguments, __doc__, list(MODELS), steps=2, rounds=10, of="a turn")
    report: dict[str, Any] = {"machine": machine(options), "models": {}}
    print("  ".join(f"{name} {value}" for name, value in report["machine"].items()))
    for name in options.models:
        report["models"][name] = measured = _measure(MODELS[name], options)
        print(f"\n{f'{name}, batch {MODELS[name].batch}':40}", end="")
        print(f"{'M parameters':>13}{'ms/step':>10}{'speed-up':>10}{'middle half':>15}{'peak MB':>9}")
        for loop, said in measured.items():
            low, high = said["middle_half"]
            print(
                f"{loop:40}{said['parameters'] / 1e6:>13.2f}{1e3 * said['seconds']:>10.1f}"
                f"{said['speed_up']:>10.3f}{f'{low:.3f}-{high:.3f}':>15}{said['peak_bytes'] / 1e6:>9.0f}"
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(model: Model, options: argparse.Namespace) -> dict[str, Any]:
    loops = loops_of(model, options.steps)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    peaks = dict.fromkeys(loops, 0)
    with ExitStack() as stack:
        turns = {name: stack.enter_context(_process(loop, model, options)) for name, loop in loops.items()}
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for name, turn in turns.items():
                taken, peaks[name] = turn()
                seconds[name].append(taken)
    sizes = _sizes(model, loops)
    measured = {}
    for name, taken_of in seconds.items():
        ratios = [its / ours for its, ours in zip(taken_of, seconds["glidepath"], strict=True)]
        quarters = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        measured[name] = {
            "parameters": sizes[name],
            "seconds": statistics.median(taken_of),
            "speed_up": statistics.median(ratios),
            "middle_half": (quarters[0], quarters[2]),
            "peak_bytes": peaks[name],
        }
    return measured


@contextmanager
def _process(
    loop: Loop, model: Model, options: argparse.Namespace
) -> Iterator[Callable[[], tuple[float, int]]]:
    """A process for a loop, after its first turn, and a function that has it take the next.

    It returns the seconds of a step, and the most memory that the process had.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, loop, model, options), daemon=True)
    process.start()
    there.close()

    def turn() -> tuple[float, int]:
        here.send(None)
        taken: tuple[float, int] = here.recv()
        return taken

    try:
        here.recv()
        yield turn
    finally:
        here.close()
        process.join()


def _serve(connection: Connection, loop: Loop, model: Model, options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    done, began = 0, clock()

    def stepped() -> None:
        nonlocal done, began
        done += 1
        if done % options.steps == 0:
            connection.send(((clock() - began) / options.steps, peak_bytes(torch.device("cpu"))))
            try:
                connection.recv()
            except EOFError:
                sys.exit()
            began = clock()

    loop(model, options.steps * (1 + options.rounds), stepped)


def _sizes(model: Model, loops: Mapping[str, Loop]) -> dict[str, int]:
    """Parameters of the network of each loop, its text encoder left out."""
    ours = parameters(parts_of(model)[1])
    if len(loops) == 2:
        return dict.fromkeys(loops, ours)
    from theirs import Peer

    peers = {peer: parameters(Peer(**arguments).network()) for peer, arguments in model.peers.items()}
    return {name: peers.get(name.removesuffix(", channels_last"), ours) for name in loops}


if __name__ == "__main__":
    sys.exit(main())
