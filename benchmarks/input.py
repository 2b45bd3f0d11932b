"""How busy the input pipeline keeps a network that takes 1,000 images a second.

    python benchmarks/input.py --side 256 --size 64 --workers 2

Pictures are JPEG files in a folder, decoded, cropped and resized for every batch. The network is a pause of
as long as its step would take on a device of its own. Printed: the images a second that the pipeline makes
alone, and the share of the time that the network is busy. It needs as many free cores as there are workers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from glidepath.plugins.train.data.batches import Batches
from glidepath.plugins.train.data.configs import CaptionedFolderConfig
from glidepath.plugins.train.data.folder import CaptionedFolder


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=96, help="pixels of a picture's side")
    parser.add_argument("--size", type=int, default=64, help="pixels of an image's side")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1000, help="images a second that the network takes")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), arguments.side)
        dataset = CaptionedFolder(CaptionedFolderConfig(folder=Path(folder), size=arguments.size))
        for workers in arguments.workers:
            alone, _ = measured(dataset, arguments, workers, pause=0)
            rate, busy = measured(dataset, arguments, workers, pause=arguments.batch / arguments.rate)
            print(
                f"workers {workers}: {alone:.0f} images/s alone; beside a network of {arguments.rate:g} "
                f"images/s {rate:.0f} images/s, the network busy {busy:.1%} of the time",
                flush=True,
            )


def write(folder: Path, side: int, count: int = 500) -> None:
    """Smooth pictures with captions."""
    rng = np.random.default_rng(0)
    for index in range(count):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index}.jpg", quality=90)
        (folder / f"{index}.txt").write_text(f"picture {index}")


def measured(
    dataset: CaptionedFolder, arguments: argparse.Namespace, workers: int, pause: float
) -> tuple[float, float]:
    """(images a second, share of the time spent in the network) over all steps but the first ten."""
    first = 10
    steps = first + arguments.steps
    batches = Batches(dataset, (), 0, arguments.batch, steps, workers=workers, timeout=120)
    begun = busy = 0.0
    for step in range(steps):
        if step == first:
            begun, busy = time.perf_counter(), 0.0
        batches.at(step)
        before = time.perf_counter()
        time.sleep(pause)
        busy += time.perf_counter() - before
    wall = time.perf_counter() - begun
    batches.close()
    return arguments.steps * arguments.batch / wall, busy / wall


if __name__ == "__main__":
    main()
