"""How long one waits for `glidepath page`, and what it costs a study that many watch.

    python benchmarks/page.py start edit preview
    python benchmarks/page.py clients --pairs 5

start: from the command to a page that can be used: every file of it is there, and what it begins with.
edit: from a changed text to its problems, as the browser asks it. preview: from the end of a step to its
preview in a client. These are by the clock, so they are for a machine that does nothing else.

clients: the same study with a page that nobody looks at, and with one that 20 clients look at: each asks
for the studies and the runs as often as pages do, with the tags of what it was sent, and holds a stream of
events. Runs take turns. The clock cannot tell 2 %: two runs of one study differ by more than that on an
idle machine, and by 15 % on one that others use. What watching takes from a study is processor time, and
that can be counted: the seconds of the page's server and of the process that answers it, while a study
runs, less those of a server that nobody asks, as a share of the time that the study took by the clock, and
of the study's own processor time. A study that keeps every processor busy is slower by at most the second
share: if it takes 15 s of processor, and the server 0.15 s, there is 1 % more to do. The clients sit
elsewhere: what they cost is not counted. An earlier study lies in the folder, and the page has been looked
at before the study begins: its imports are no watching. Linux tells how many seconds a process took
(/proc); elsewhere `clients` has the clock alone. glidepath must be installed, with the extra `page`;
`clients` needs `studies` too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

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

WARM = 6.0
"""Seconds that clients have watched before the study begins: they have been answered anew once."""


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
        with page(Path(tempfile.gettempdir())) as (base, _):
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
    with page(Path(tempfile.gettempdir())) as (base, _):
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
    with tempfile.TemporaryDirectory() as folder, page(Path(folder)) as (base, _):
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


class Studied(NamedTuple):
    """A study that was run: seconds by the clock, and of processors; those of the server meanwhile, if known.

    asked: how often clients asked, and how many bytes they were answered with.
    """

    wall: float
    processor: float
    server: float | None
    asked: int
    bytes: int


def clients(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Seconds of a study, and what watching it takes; orders alternate."""
    alone: list[Studied] = []
    watched: list[Studied] = []
    with tempfile.TemporaryDirectory() as earlier:
        run_study(Path(earlier))
        for pair in range(arguments.pairs):
            for watching in (0, arguments.watching) if pair % 2 == 0 else (arguments.watching, 0):
                (watched if watching else alone).append(studied(watching, Path(earlier)))
    ratios = [one.wall / other.wall - 1 for one, other in zip(watched, alone, strict=True)]
    return {
        "s of a study that nobody watches": spread([it.wall for it in alone]),
        f"s of one that {arguments.watching} clients watch": spread([it.wall for it in watched]),
        "slower by the clock, median of pairs": f"{100 * statistics.median(ratios):.2f} %",
        "slower by the clock, each pair": ", ".join(f"{100 * it:.2f} %" for it in ratios),
        **taken(alone, watched),
    }


def taken(alone: Sequence[Studied], watched: Sequence[Studied]) -> Mapping[str, str]:
    """What watching takes of processors, less what the server takes that nobody asks."""
    # by the second: a study that takes longer is watched longer
    idle = statistics.median((it.server or 0.0) / it.wall for it in alone)
    if any(it.server is None for it in watched):
        return {"processor time of the server": "not known: there is no /proc here"}
    more = [max(0.0, (it.server or 0.0) - idle * it.wall) for it in watched]
    of_wall = [100 * it / run.wall for it, run in zip(more, watched, strict=True)]
    of_study = [100 * it / run.processor for it, run in zip(more, watched, strict=True)]
    return {
        "questions, and bytes of answers, in a study": f"{watched[0].asked}, {watched[0].bytes}",
        "processor s of the study": spread([it.processor for it in (*alone, *watched)]),
        "processor s of the server for who watches": spread(more),
        "% of a processor, asked by nobody": f"{100 * idle:.2f}",
        "% of a processor, more where many watch": spread(of_wall),
        "% of the study's processor time": spread(of_study),
    }


def studied(watching: int, earlier: Path) -> Studied:
    """Run a study in a folder whose page some clients watch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(earlier / "runs/studies/watched", folder / "runs/studies/earlier")
        over, answers = threading.Event(), list[int]()
        with page(folder) as (base, pid):
            looks = [
                threading.Thread(target=look, args=(base, over, answers), daemon=True)
                for _ in range(watching)
            ]
            post(base + "api/plan", {"text": "extends: shapes\n"})  # it waits until torch is imported
            for what in ("studies", "runs"):
                get(base + f"api/{what}")
            for thread in looks:
                thread.start()
            while len(answers) < 2 * watching:
                time.sleep(0.1)
            time.sleep(WARM)
            before, so_far = processor_seconds(pid), len(answers)
            wall, processor = run_study(folder)
            after = processor_seconds(pid)
            over.set()
        server = None if before is None or after is None else after - before
        return Studied(wall, processor, server, len(answers) - so_far, sum(answers[so_far:]))


def run_study(folder: Path) -> tuple[float, float]:
    """Seconds of a study from its process's beginning to its end: by the clock, and of processors."""
    (folder / "watched.yaml").write_text(STUDY)
    words = [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "watched.yaml"]
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    wall, now = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def processor_seconds(pid: int) -> float | None:
    """Of a process that runs and of those below it; None where the system does not tell."""
    place = Path(f"/proc/{pid}")
    try:
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        below = " ".join(it.read_text() for it in place.glob("task/*/children")).split()
    except OSError:
        return None
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_seconds(int(it)) or 0.0 for it in below)


def look(base: str, over: threading.Event, answers: list[int]) -> None:
    """A page whose tab of studies is open: it asks when it was told to, and holds a stream of events."""
    kept: dict[str, tuple[str, bytes]] = {}

    def ask(what: str) -> float:
        tag, body = kept.get(what, ("", b""))
        asked = urllib.request.Request(base + f"api/{what}", headers={"if-none-match": tag} if tag else {})
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                body = answer.read()
                kept[what] = (answer.headers.get("etag", ""), body)
                answers.append(len(body))
        except urllib.error.HTTPError as error:
            if error.code != 304:
                raise
            answers.append(0)
        again: float = json.loads(body)["again"]
        return again

    with urllib.request.urlopen(base + "api/events", timeout=600):
        while not over.is_set():
            over.wait(max(ask("studies"), ask("runs")))


@contextmanager
def page(folder: Path) -> Iterator[tuple[str, int]]:
    """A server of the page; its address, and its process."""
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
        yield process.stdout.readline().strip(), process.pid
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
