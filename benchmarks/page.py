"""How long one waits for `glidepath page`, and what it costs a study that many watch: wall time.

    python benchmarks/page.py start edit preview
    python benchmarks/page.py clients --pairs 5

start: from the command to a page that can be used: every file of it is there, and what it begins with.
edit: from a changed text to its problems, as the browser asks it. preview: from the end of a step to its
preview in a client. clients: the same study with nobody there, and with 20 clients that ask as often as pages
do and hold a stream of events each; runs take turns. All of it is by the clock, so it is for a machine that
does nothing else. glidepath must be installed, with the extra `page`; `clients` needs `studies` too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPECS = {
    "shapes": "extends: shapes\nsampler: {steps: %d}\n",
    "glide": "extends: glide\nruntime: {seed: %d}\n",
}
"""Texts as one types them; that of glide has two stages, and a problem."""

STUDY = """
base: {extends: shapes, runtime: {device: cpu}, sampler: {steps: 10}}
arms: {axes: {sampler: [ddim, dpmpp-2m]}}
seeds: {sample: 4}
data: {prompts: [a red circle, a blue star, a green ring, a purple cross]}
metrics: {primary: {right: shapes-accuracy}}
engine: {use: local, slots: 1}
"""

WARM = 20.0
"""Seconds that a page has been open and looked at before the study begins: its imports are no watching."""


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = {"start": start, "edit": edit, "preview": preview, "clients": clients}
    parser.add_argument("what", nargs="+", choices=known)
    parser.add_argument("--runs", type=int, default=10, help="of start (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="of clients (default: %(default)s)")
    parser.add_argument("--watching", type=int, default=20, help="clients (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="numbers for a program")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name in arguments.what:
        found[name] = known[name](arguments)
        if not arguments.json:
            for line, value in found[name].items():
                print(f"{name:8} {line:44} {value}")
    if arguments.json:
        print(json.dumps(found))


def start(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Seconds from the command to its address, and to all that a page needs; the first is no warm disk."""
    address, usable = [], []
    for _ in range(arguments.runs + 1):
        began = time.perf_counter()
        with page(Path(tempfile.gettempdir())) as base:
            address.append(time.perf_counter() - began)
            for name in ("", *files(base)):
                get(base + name)
            get(base + "api/begin")
            usable.append(time.perf_counter() - began)
    return {"s to the address": spread(address[1:]), "s to a page that can be used": spread(usable[1:])}


def files(base: str) -> set[str]:
    """The files of a page: what its HTML names, and the modules that these import."""
    found = set(re.findall(r"static/[\w.]+", get(base).decode()))
    for name in [it for it in found if it.endswith(".js")]:
        found |= {f"static/{it}" for it in re.findall(r'from "\./([\w.]+)"', get(base + name).decode())}
    return found


def edit(_arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Milliseconds from a text to its problems, each another text."""
    found = {}
    with page(Path(tempfile.gettempdir())) as base:
        get(base + "api/begin")
        time.sleep(5)  # torch is imported meanwhile
        for name, text in SPECS.items():
            times = []
            for number in range(60):
                began = time.perf_counter()
                post(base + "api/check", {"text": text % (number + 1)})
                times.append(1000 * (time.perf_counter() - began))
            found[f"ms of a check, {name}"] = spread(times[10:])
    return found


def preview(_arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Milliseconds from the end of a step to its preview, of walks of the embedded model."""
    seen: list[float] = []
    with tempfile.TemporaryDirectory() as folder, page(Path(folder)) as base:
        ready, over = threading.Event(), threading.Event()

        def watch() -> None:
            with urllib.request.urlopen(base + "api/events", timeout=600) as stream:
                ready.set()
                for line in stream:
                    if not line.startswith(b"data:"):
                        continue
                    news = json.loads(line[5:])
                    if "preview" in news and news.get("at"):
                        seen.append(1000 * (time.time() - news["at"]))
                    if news.get("state") in ("done", "failed"):
                        over.set()
                        return

        for number in range(3):
            ready.clear()
            over.clear()
            threading.Thread(target=watch, daemon=True).start()
            ready.wait(60)
            text = "extends: shapes\nsampler: {steps: 50}\nruntime: {device: cpu}\n"
            post(base + "api/make", {"text": text, "prompts": ["a red circle"], "seed": number})
            if not over.wait(600):
                raise SystemExit("no image was made within ten minutes")
    return {f"ms to a preview, of {len(seen)}": spread(seen)}


def clients(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Seconds of a study, and how much longer it takes where many watch; orders alternate."""
    alone, watched = [], []
    for pair in range(arguments.pairs):
        for with_clients in (False, True) if pair % 2 == 0 else (True, False):
            (watched if with_clients else alone).append(studied(arguments.watching if with_clients else 0))
    ratios = [one / other - 1 for one, other in zip(watched, alone, strict=True)]
    return {
        "s of a study that nobody watches": spread(alone),
        f"s of one that {arguments.watching} clients watch": spread(watched),
        "slower by, median of pairs": f"{100 * statistics.median(ratios):.2f} %",
        "slower by, each pair": ", ".join(f"{100 * it:.2f} %" for it in ratios),
    }


def studied(watching: int) -> float:
    """How long a study takes by the clock, from its process's beginning to its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "watched.yaml").write_text(STUDY)
        over = threading.Event()
        words = [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "watched.yaml"]
        if not watching:
            return timed(words, folder)
        with page(folder) as base:
            threads = [threading.Thread(target=look, args=(base, over), daemon=True) for _ in range(watching)]
            for thread in threads:
                thread.start()
            time.sleep(WARM)
            seconds = timed(words, folder)
            over.set()
        return seconds


def timed(words: Sequence[str], folder: Path) -> float:
    """Wall seconds of a command that has to succeed."""
    began = time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def look(base: str, over: threading.Event) -> None:
    """A page whose tab of studies is open: it asks when it was told to, and holds a stream of events."""
    with urllib.request.urlopen(base + "api/events", timeout=600):
        while not over.is_set():
            again = [json.loads(get(base + f"api/{what}"))["again"] for what in ("studies", "runs")]
            over.wait(max(again))


@contextmanager
def page(folder: Path) -> Iterator[str]:
    """A server of the page; its address."""
    words = ["page", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "glidepath.registry.cli", *words],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=60)


def get(asked: str | urllib.request.Request) -> bytes:
    """What is answered to an address, or to a request."""
    with urllib.request.urlopen(asked, timeout=120) as answer:
        found: bytes = answer.read()
    return found


def post(address: str, value: Mapping[str, Any]) -> bytes:
    """What is answered to JSON."""
    data, kind = json.dumps(value).encode(), {"content-type": "application/json"}
    return get(urllib.request.Request(address, data=data, headers=kind))


def spread(values: Sequence[float]) -> str:
    """The median, the 95th percentile and the largest."""
    ranked = sorted(values)
    high = ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
    return f"median {statistics.median(ranked):.3g}, 95 % within {high:.3g}, at most {ranked[-1]:.3g}"


if __name__ == "__main__":
    main()
