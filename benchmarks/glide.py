"""glidepath beside the loop that GLIDE was published with, and beside what the machine can do.

    python benchmarks/glide.py

A GLIDE-like network at 64x64 (benchmarks/glide-like.yaml), random weights, DDIM with classifier-free
guidance, one image. Each kind has a process of its own: in one process, what a loop leaves in the allocator
changes the time of the next by a tenth. Each round runs every kind once, so that what else the machine does
falls on all alike; printed are medians over the rounds.

published  the loop in plain PyTorch (benchmarks/published.py), float32
limit      the rate of a 128-channel 3x3 convolution at 32x32, two rows, in the same precision
of limit   operations of the forwards that were needed, counted as the network is written (convolutions that
           take fewer are that much faster), over the time of a step, over the limit
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ours import PROMPT, GivenNoise, Ours
from published import Published
from timing import Clock, checked_options, machine, option_parser
from torch import Tensor

SPEC = Path(__file__).with_name("glide-like.yaml")
SCALE = 3.0
# which operators of a step belong together; what is in none is "the rest"
PARTS = {
    "convolution": (
        "aten::mkldnn_convolution",
        "aten::_slow_conv2d_forward",
        "aten::_convolution",  # transposed ones
    ),
    "convolution in tiles": ("aten::bmm", "aten::mm", "aten::constant_pad_nd", "aten::copy_"),
    "norms": ("aten::native_group_norm", "aten::native_layer_norm"),
    "attention": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::addmm",
        "aten::_softmax",
    ),
    "resampling": ("aten::upsample_nearest2d", "aten::avg_pool2d"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    report: dict[str, Any] = {"machine": machine(options), "threads": {}}
    print("  ".join(f"{name} {value}" for name, value in report["machine"].items()))
    for threads in options.threads:
        report["threads"][threads] = measured = _measure(options, threads)
        _print(threads, measured)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    kinds = ["published"]
    for dtype in options.dtypes:
        kinds += [f"ours {dtype}", f"limit {dtype}"]
    with ExitStack() as stack:
        workers = {kind: stack.enter_context(_worker(kind, options, threads)) for kind in kinds}
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for ask in workers.values():
            ask("time")  # so that nothing is timed that happens once in a process
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for kind, ask in workers.items():
                seconds[kind].append(ask("time"))
        image = workers["published"]("image")
        gigaflops = workers[kinds[1]]("gigaflops")
        return {
            "gigaflops_a_step": gigaflops,
            "published_seconds": statistics.median(seconds["published"]),
            "ours": {
                dtype: {
                    "seconds": statistics.median(seconds[f"ours {dtype}"]),
                    "speedup": statistics.median(
                        published / ours
                        for published, ours in zip(
                            seconds["published"], seconds[f"ours {dtype}"], strict=True
                        )
                    ),
                    "limit_gigaflops_a_second": statistics.median(
                        _Limit.gigaflops / limit for limit in seconds[f"limit {dtype}"]
                    ),
                    "of_limit": statistics.median(
                        gigaflops / ours * limit / _Limit.gigaflops
                        for ours, limit in zip(
                            seconds[f"ours {dtype}"], seconds[f"limit {dtype}"], strict=True
                        )
                    ),
                    "largest_difference": abs(workers[f"ours {dtype}"]("image") - image).max().item(),
                    "milliseconds": workers[f"ours {dtype}"]("parts"),
                }
                for dtype in options.dtypes
            },
        }


@contextmanager
def _worker(kind: str, options: argparse.Namespace, threads: int) -> Iterator[Callable[[str], Any]]:
    """A process for one kind, and a function that asks it: "time", "image", "parts" or "gigaflops"."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=_serve, args=(there, kind, options.steps, options.clock, threads), daemon=True
    )
    process.start()
    there.close()

    def ask(question: str) -> Any:
        here.send(question)
        return here.recv()

    try:
        yield ask
    finally:
        here.close()
        process.join()


def _serve(connection: Connection, kind: str, steps: int, clock_name: str, threads: int) -> None:
    """Answer until the other end is closed."""
    torch.set_num_threads(threads)
    clock = time.thread_time if clock_name == "cpu" else time.perf_counter
    name, _, dtype = kind.partition(" ")
    subject: _Published | _Glidepath | _Limit
    if name == "limit":
        subject = _Limit(getattr(torch, dtype), clock)
    elif name == "ours":
        subject = _Glidepath(dtype, steps, clock)
    else:
        subject = _Published(steps, clock)
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        connection.send(getattr(subject, question)())


class _Published:
    """The loop that GLIDE was published with."""

    def __init__(self, steps: int, clock: Clock) -> None:
        plain = Ours(SPEC, steps, "float32")
        _randomise(plain, plain)
        self.loop, self.clock = Published(plain.pipeline, steps, SCALE), clock
        self.x = _first_noise(self.loop.shape)

    def time(self) -> float:
        """Seconds of a step."""
        return self.loop.walk(PROMPT, self.x, self.clock)[1]

    def image(self) -> Any:
        """[1, 3, H, W], not clipped."""
        return self.loop.walk(PROMPT, self.x, self.clock)[0].numpy()


class _Glidepath:
    """The loop of glidepath in a precision, with the weights of the published one."""

    def __init__(self, dtype: str, steps: int, clock: Clock) -> None:
        self.ours, self.steps, self.clock = Ours(SPEC, steps, dtype), steps, clock
        _randomise(self.ours if dtype == "float32" else Ours(SPEC, steps, "float32"), self.ours)

    def time(self) -> float:
        """Seconds of a step."""
        return self.ours.walk(1, self.clock).loop / self.steps

    def image(self) -> Any:
        """[1, 3, H, W], not clipped, from the noise that the published loop begins with."""
        noise = GivenNoise(_first_noise(self.ours.pipeline.denoiser.image_shape))
        *_, last = self.ours.pipeline.states([PROMPT], noise=noise)
        return last.x.numpy()

    def gigaflops(self) -> float:
        """Of a step."""
        return self.ours.gigaflops()

    def parts(self) -> dict[str, float]:
        """Milliseconds of a step by what it is spent on."""
        return _parts(self.ours)


def _first_noise(shape: Sequence[int]) -> Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))


def _randomise(plain: Ours, subject: Ours) -> None:
    """No parameter 0, or half of the network would say nothing; those of `plain` in every precision."""
    generator = torch.Generator().manual_seed(0)
    state = {
        name: value + 0.02 * torch.randn(value.shape, generator=generator)
        for name, value in plain.network.state_dict().items()
    }
    subject.network.load_state_dict(state)
    subject.encoder.load_state_dict(plain.encoder.state_dict())


class _Limit:
    """How fast the machine convolves; a multiplication and its addition count as two operations."""

    times = 20
    gigaflops = times * 2 * (2 * 128 * 32 * 32) * 128 * 9 / 1e9

    def __init__(self, dtype: torch.dtype, clock: Clock) -> None:
        self.x = torch.randn(2, 128, 32, 32).to(dtype=dtype, memory_format=torch.channels_last)
        self.weight = torch.randn(128, 128, 3, 3).to(dtype=dtype, memory_format=torch.channels_last)
        self.clock = clock

    def time(self) -> float:
        """Seconds of `times` convolutions."""
        with torch.inference_mode():
            began = self.clock()
            for _ in range(self.times):
                F.conv2d(self.x, self.weight, padding=1)
        return self.clock() - began


def _parts(subject: Ours) -> dict[str, float]:
    """Milliseconds of one step by what it is spent on, as the profiler sees it."""
    from torch.profiler import ProfilerActivity, profile

    states = subject.pipeline.states([PROMPT])
    next(states)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        next(states)
    spent = {event.key: event.self_cpu_time_total / 1e3 for event in profiler.key_averages()}
    parts = {part: sum(spent.pop(key, 0.0) for key in keys) for part, keys in PARTS.items()}
    return {**parts, "the rest": sum(spent.values())}


def _print(threads: int, measured: dict[str, Any]) -> None:
    print(f"\n{threads} thread(s), {measured['gigaflops_a_step']:.1f} GFLOP a step")
    print(f"{'':18}{'ms/step':>9}{'speed-up':>10}{'of limit':>10}{'limit GFLOP/s':>15}{'difference':>12}")
    print(f"{'published':18}{1e3 * measured['published_seconds']:>9.1f}")
    for dtype, said in measured["ours"].items():
        print(
            f"{dtype:18}{1e3 * said['seconds']:>9.1f}{said['speedup']:>10.2f}{said['of_limit']:>10.2f}"
            f"{said['limit_gigaflops_a_second']:>15.1f}{said['largest_difference']:>12.1e}"
        )
    for dtype, said in measured["ours"].items():
        parts = ", ".join(f"{part} {spent:.1f}" for part, spent in said["milliseconds"].items())
        print(f"a step in {dtype}, ms: {parts}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = option_parser(__doc__, rounds=5, clock="wall")
    parser.add_argument(
        "--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"]
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=10, help="of DDIM (default: %(default)s)")
    return checked_options(parser, arguments, least_steps=3)


if __name__ == "__main__":
    sys.exit(main())
