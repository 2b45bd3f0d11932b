"""How much memory datasets take for each of their entries.

    OMP_NUM_THREADS=1 python benchmarks/entries.py

An entry has a name of 16 letters and a caption of 40. All pictures are one PNG of 8x8 pixels: in files it is
linked under every name, in tables with bytes it is the same in every row. Each measurement has a process of
its own.

held       MiB that the process has grown by when the dataset is there and four batches of it were drawn,
           after memory that is free was given back
an entry   bytes of that for each entry more than the count before
peak       MiB by which it had grown at most meanwhile: what listing takes
seconds    of the processor, to list
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from glidepath.plugins.train.data.configs import CaptionedFolderConfig, TableConfig, WebDatasetConfig
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.data.folder import CaptionedFolder
from glidepath.plugins.train.data.table import CaptionedTable
from glidepath.plugins.train.data.webdataset import WebDataset

MEBI = 2**20
FOLDER, GROUP, LINKS = 1000, 1000, 50_000
"""Entries of a folder, and of a group of rows or a shard; the links that a file system allows a file."""


def main() -> None:
    """Print a line for each dataset and number of entries."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.datasets[0], Path(arguments.one))))
        return
    for name in arguments.datasets:
        before: tuple[int, int] | None = None
        for count in arguments.counts:
            with tempfile.TemporaryDirectory() as folder:
                DATASETS[name][0](Path(folder), count)
                command = [sys.executable, __file__, "--datasets", name, "--one", folder]
                row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            each = "" if before is None else f"{(row['held'] - before[1]) / (count - before[0]):.0f}"
            before = count, row["held"]
            held, peak = (f"{row[key] / MEBI:.1f}" for key in ("held", "peak"))
            print(
                f"{name:16} {count:9,}: held {held:>6}, an entry {each:>4}, peak {peak:>6}, "
                f"{row['seconds']:.1f} s",
                flush=True,
            )


def measured(name: str, folder: Path) -> dict[str, float]:
    """What one dataset takes, in bytes and seconds."""
    make, opened = DATASETS[name]
    with tempfile.TemporaryDirectory() as small:  # what libraries take when they are first used is no entry's
        make(Path(small), 8)
        opened(Path(small)).batch(0, 0, 4)
    before = _resident()
    Path("/proc/self/clear_refs").write_text("5")
    begun = time.process_time()
    dataset = opened(folder)
    seconds = time.process_time() - begun
    for step in range(4):
        dataset.batch(0, step, 64)
    peak = _status("VmHWM") - before
    return {"held": _resident() - before, "peak": peak, "seconds": seconds}


def _resident() -> int:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("VmRSS")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _rows(count: int) -> Iterator[tuple[str, str]]:
    """The name and the caption of each entry."""
    for index in range(count):
        yield f"{index // FOLDER:04}/{index:07}.png", f"picture {index:07}, a small one among many"


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, "PNG")
    return file.getvalue()


def _linked(folder: Path, count: int) -> None:
    data = _png()
    for index, (name, _) in enumerate(_rows(count)):
        if not index % FOLDER:
            (folder / name).parent.mkdir()
        if not index % LINKS:
            first = folder / name
            first.write_bytes(data)
        else:
            os.link(first, folder / name)


def captioned_folder(folder: Path, count: int) -> None:
    """Files of pictures, and metadata.jsonl."""
    _linked(folder, count)
    _lines(folder / "metadata.jsonl", count)


def jsonl(folder: Path, count: int) -> None:
    """Files of pictures, and a table of them in lines of JSON."""
    _linked(folder, count)
    _lines(folder / "table.jsonl", count)


def _lines(path: Path, count: int) -> None:
    with path.open("w") as file:
        for name, caption in _rows(count):
            file.write(json.dumps({"file_name": name, "text": caption}) + "\n")


def csv(folder: Path, count: int) -> None:
    """Files of pictures, and a table of them in CSV."""
    _linked(folder, count)
    with (folder / "table.csv").open("w") as file:
        file.write("file_name,text\n")
        for name, caption in _rows(count):
            file.write(f'{name},"{caption}"\n')


def parquet(folder: Path, count: int) -> None:
    """A table with the bytes of the pictures."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    data = _png()
    schema = pyarrow.schema([("file_name", pyarrow.binary()), ("text", pyarrow.string())])
    rows = _rows(count)
    with ParquetWriter(folder / "table.parquet", schema) as writer:
        while group := [caption for _, caption in itertools.islice(rows, GROUP)]:
            columns = {"file_name": [data] * len(group), "text": group}
            writer.write_table(pyarrow.table(columns, schema=schema))


def webdataset(folder: Path, count: int) -> None:
    """Pictures and captions in shards: one of them, under the name of each."""
    data, first = _png(), folder / "00000.tar"
    with tarfile.open(first, "w", format=tarfile.USTAR_FORMAT) as shard:
        for name, caption in _rows(min(count, GROUP)):
            stem = name.rpartition("/")[2].removesuffix(".png")
            for member, content in ((f"{stem}.png", data), (f"{stem}.txt", caption.encode())):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
    for number in range(1, -(-count // GROUP)):
        os.link(first, folder / f"{number:05}.tar")


def _table(suffix: str) -> Callable[[Path], CaptionedDataset]:
    return lambda folder: CaptionedTable(TableConfig(file=folder / f"table.{suffix}", size=8))


DATASETS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], Any]]] = {
    "captioned-folder": (
        captioned_folder,
        lambda folder: CaptionedFolder(CaptionedFolderConfig(folder=folder, size=8)),
    ),
    "table.jsonl": (jsonl, _table("jsonl")),
    "table.csv": (csv, _table("csv")),
    "table.parquet": (parquet, _table("parquet")),
    "webdataset": (
        webdataset,
        lambda folder: WebDataset(WebDatasetConfig(shards=(str(folder / "*.tar"),), size=8)),
    ),
}


if __name__ == "__main__":
    main()
