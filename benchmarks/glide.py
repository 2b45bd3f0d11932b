"""glidepath beside the loop that GLIDE was published with, and beside what the machine can do.

    python benchmarks/glide.py

A GLIDE-like network at 64x64 (benchmarks/glide-like.yaml), random weights, DDIM with classifier-free
guidance, one image. Each round runs every kind once, so that what else the machine does falls on all alike;
printed are medians over the rounds.

published  the loop in plain PyTorch (benchmarks/published.py), float32
limit      the rate of a 128-channel 3x3 convolution at 32x32, two rows, in the same precision
of limit   operations of the forwards that were needed, counted as the network is written (convolutions that
           take fewer are that much faster), over the time of a step, over the limit
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ours import PROMPT, Ours
from published import Published
from timing import Clock
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
    clock = time.thread_time if options.clock == "cpu" else time.perf_counter
    report: dict[str, Any] = {"machine": _machine(options), "threads": {}}
    print("  ".join(f"{name} {value}" for name, value in report["machine"].items()))
    for threads in options.threads:
        torch.set_num_threads(threads)
        report["threads"][threads] = measured = _measure(options, clock)
        _print(threads, measured)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(options: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    ours = {dtype: Ours(SPEC, options.steps, dtype) for dtype in options.dtypes}
    plain = Ours(SPEC, options.steps, "float32") if "float32" not in ours else ours["float32"]
    _randomise(plain, ours)
    published = Published(plain.pipeline, options.steps, SCALE)
    x = torch.randn(1, *published.shape, generator=torch.Generator().manual_seed(0))
    kinds: dict[str, Callable[[], float]] = {"published": lambda: published.walk(PROMPT, x, clock)[1]}
    limits = {dtype: _Limit(getattr(torch, dtype)) for dtype in options.dtypes}
    for dtype, subject in ours.items():
        kinds[f"ours {dtype}"] = lambda subject=subject: subject.walk(1, clock).loop / options.steps
        kinds[f"limit {dtype}"] = lambda dtype=dtype: limits[dtype].rate(clock)
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind in kinds.values():
        kind()  # so that nothing is timed that happens once in a process
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for name, kind in kinds.items():
            taken[name].append(kind())
    gigaflops = plain.gigaflops()
    published_image = published.walk(PROMPT, x, clock)[0]
    return {
        "gigaflops_a_step": gigaflops,
        "published_seconds": statistics.median(taken["published"]),
        "ours": {
            dtype: {
                "seconds": statistics.median(taken[f"ours {dtype}"]),
                "speedup": statistics.median(
                    theirs / mine
                    for theirs, mine in zip(taken["published"], taken[f"ours {dtype}"], strict=True)
                ),
                "limit_gigaflops_a_second": statistics.median(taken[f"limit {dtype}"]),
                "of_limit": statistics.median(
                    gigaflops / mine / limit
                    for mine, limit in zip(taken[f"ours {dtype}"], taken[f"limit {dtype}"], strict=True)
                ),
                "largest_difference": _difference(subject, x, published_image),
                "milliseconds": _parts(subject),
            }
            for dtype, subject in ours.items()
        },
    }


def _randomise(plain: Ours, others: dict[str, Ours]) -> None:
    """No parameter 0, or half of the network would say nothing; the same ones in every precision."""
    generator = torch.Generator().manual_seed(0)
    state = {
        name: value + 0.02 * torch.randn(value.shape, generator=generator)
        for name, value in plain.network.state_dict().items()
    }
    for subject in {id(it): it for it in (plain, *others.values())}.values():
        subject.network.load_state_dict(state)
        subject.encoder.load_state_dict(plain.encoder.state_dict())


class _Limit:
    """How fast the machine convolves."""

    def __init__(self, dtype: torch.dtype) -> None:
        like = {"dtype": dtype, "memory_format": torch.channels_last}
        self.x = torch.randn(2, 128, 32, 32).to(**like)
        self.weight = torch.randn(128, 128, 3, 3).to(**like)

    def rate(self, clock: Clock, times: int = 20) -> float:
        """GFLOP/s; a multiplication and its addition count as two."""
        with torch.inference_mode():
            began = clock()
            for _ in range(times):
                F.conv2d(self.x, self.weight, padding=1)
        return times * 2 * self.x.numel() * 128 * 9 / (clock() - began) / 1e9


class _Given:
    """Noise that begins at a given x; DDIM asks for no other."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        return self.x.reshape(shape).to(device)

    def step(self, index: int, like: Tensor) -> Tensor:
        raise AssertionError("DDIM with eta 0 draws no noise")

    def skip(self, index: int, like: Tensor) -> None:
        pass


def _difference(subject: Ours, x: Tensor, wanted: Tensor) -> float:
    *_, last = subject.pipeline.states([PROMPT], noise=_Given(x))
    return float((last.x - wanted).abs().max())


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


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "clock": options.clock,
        "rounds": options.rounds,
        "steps": options.steps,
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"]
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=10, help="of DDIM (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor time of the thread, for a machine that is busy with other things too",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    options = parser.parse_args(arguments)
    if options.clock == "cpu" and options.threads != [1]:
        parser.error("--clock cpu sees one thread alone; use it with --threads 1")
    if options.rounds < 1 or options.steps < 3:
        parser.error("--rounds is at least 1, and --steps at least 3")
    return options


if __name__ == "__main__":
    sys.exit(main())
