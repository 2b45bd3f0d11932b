"""How busy the input pipeline keeps a network that takes 1,000 images a second.

    OMP_NUM_THREADS=1 python benchmarks/input.py --side 256 --size 64 --workers 2

Pictures are decoded, cropped and resized for every batch. The network is a pause of as long as its step would
take on a device of its own.

made       milliseconds of a processor that making an image takes, in the process that makes it, and how many
           workers that is for the network's rate
received   milliseconds of the training process that an image takes which a worker has made
alone      images a second by the wall clock, without the network
beside     the same beside the network, and the share of the time that it is busy

The last two need a free core for each worker, and one for the training process; the first two are of
processor time.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from glidepath.plugins.train.data.batches import Batches
from glidepath.plugins.train.data.configs import CaptionedFolderConfig, TableConfig, WebDatasetConfig
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.data.table import CaptionedTable
from glidepath.plugins.train.data.webdataset import WebDataset

COUNT, FIRST = 500, 5


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--format", choices=["jpg", "png"], default="jpg")
    parser.add_argument("--side", type=int, default=96, help="pixels of a picture's side")
    parser.add_argument("--size", type=int, default=64, help="pixels of an image's side")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200, help="more than workers make ahead")
    parser.add_argument("--rate", type=float, default=1000, help="images a second that the network takes")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.datasets:
        with tempfile.TemporaryDirectory() as folder:
            dataset = DATASETS[name](Path(folder), arguments)
            made, _ = measured(dataset, arguments, workers=0, pause=0, clock=time.process_time)
            needed = math.ceil(arguments.rate * made)
            print(f"{name}: made {1e3 * made:.2f} ms, {needed} workers for {arguments.rate:g} images/s")
            for workers in arguments.workers:
                row(dataset, arguments, workers)


def row(dataset: CaptionedDataset, arguments: argparse.Namespace, workers: int) -> None:
    """Measure and print what so many workers do."""
    received, _ = measured(dataset, arguments, workers, pause=0, clock=time.process_time)
    alone, _ = measured(dataset, arguments, workers, pause=0, clock=time.perf_counter)
    pause = arguments.batch / arguments.rate
    beside, busy = measured(dataset, arguments, workers, pause=pause, clock=time.perf_counter)
    print(
        f"    workers {workers}: received {1e3 * received:.3f} ms; alone {1 / alone:.0f} images/s; beside "
        f"{1 / beside:.0f} images/s, the network busy {busy:.1%} of the time",
        flush=True,
    )


def measured(
    dataset: CaptionedDataset,
    arguments: argparse.Namespace,
    workers: int,
    *,
    pause: float,
    clock: Callable[[], float],
) -> tuple[float, float]:
    """(seconds of an image, share of the time in the network) over all steps but the first."""
    steps = FIRST + arguments.steps
    batches = Batches(dataset, (), 0, arguments.batch, steps, workers=workers, timeout=120)
    begun = busy = 0.0
    for step in range(steps):
        if step == FIRST:
            begun, busy = clock(), 0.0
        batches.at(step)
        before = clock()
        time.sleep(pause)
        busy += clock() - before
    taken = clock() - begun
    batches.close()
    return taken / (arguments.steps * arguments.batch), busy / taken


def pictures(arguments: argparse.Namespace) -> Iterator[tuple[str, bytes, str]]:
    """Smooth pictures with captions: the name and the bytes of each file, and what it is called."""
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        whole = small.resize((arguments.side, arguments.side), Image.Resampling.BICUBIC)
        whole.save(file, {"jpg": "JPEG", "png": "PNG"}[arguments.format], quality=90)
        yield f"{index:04}.{arguments.format}", file.getvalue(), f"picture {index}"


def captioned_folder(folder: Path, arguments: argparse.Namespace) -> CaptionedDataset:
    """Files of pictures, each beside one of its caption."""
    for name, data, caption in pictures(arguments):
        (folder / name).write_bytes(data)
        (folder / name).with_suffix(".txt").write_text(caption)
    return CaptionedFolder(CaptionedFolderConfig(folder=folder, size=arguments.size))


def table(folder: Path, arguments: argparse.Namespace) -> CaptionedDataset:
    """Files of pictures, and a table of their captions."""
    rows = []
    for name, data, caption in pictures(arguments):
        (folder / name).write_bytes(data)
        rows.append(json.dumps({"file_name": name, "text": caption}))
    (folder / "captions.jsonl").write_text("\n".join(rows) + "\n")
    return CaptionedTable(TableConfig(file=folder / "captions.jsonl", image="file_name", size=arguments.size))


def webdataset(folder: Path, arguments: argparse.Namespace) -> CaptionedDataset:
    """Pictures and captions in a tar file."""
    with tarfile.open(folder / "0000.tar", "w") as shard:
        for name, data, caption in pictures(arguments):
            for member, content in ((name, data), (f"{Path(name).stem}.txt", caption.encode())):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
    return WebDataset(WebDatasetConfig(shards=(str(folder / "0000.tar"),), size=arguments.size))


DATASETS: dict[str, Callable[[Path, argparse.Namespace], Any]] = {
    "captioned-folder": captioned_folder,
    "table": table,
    "webdataset": webdataset,
}


if __name__ == "__main__":
    main()
