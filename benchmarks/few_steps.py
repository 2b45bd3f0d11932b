"""How far an image of few steps is from the image that many steps lead to, from the same noise.

    python benchmarks/few_steps.py

The embedded model, guidance as its preset has it; the limit is the walk of `dpmpp-2m` in 120 steps. A
distance is the root mean square over the pixels of one image, which run from -1 to 1. Printed are, over the
prompts, the median and in brackets the largest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from glidepath.registry import assemble

PROMPTS = Path(__file__).parents[1] / "docs" / "studies" / "prompts-scales.txt"
LIMIT = "dpmpp-2m", 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Walk, compare and print."""
    options = _options(arguments)
    prompts = [line for line in PROMPTS.read_text(encoding="utf-8").splitlines() if line][: options.prompts]
    limit = _images(*LIMIT, prompts, options.seed)
    print(f"predictions{''.join(f'{name:>20}' for name in options.samplers)}")
    for steps in options.steps:
        cells = []
        for name in options.samplers:
            squares = (_images(name, steps, prompts, options.seed) - limit).square()
            distances = squares.flatten(1).mean(dim=1).sqrt().tolist()
            cells.append(f"{statistics.median(distances):.3f} ({max(distances):.2f})")
        print(f"{steps:>11}{''.join(f'{cell:>20}' for cell in cells)}", flush=True)
    return 0


def _images(sampler: str, steps: int, prompts: list[str], seed: int) -> Tensor:
    pipeline = assemble("shapes", [f"sampler={{use: {sampler}, steps: {steps}}}"])
    *_, last = pipeline.states(prompts, seed=seed)
    return last.x


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samplers", nargs="+", default=["ddim", "dpmpp-2m", "unipc", "dpmpp-3m"])
    parser.add_argument("--steps", nargs="+", type=int, default=[5, 10, 20], help="default: 5 10 20")
    parser.add_argument("--prompts", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
