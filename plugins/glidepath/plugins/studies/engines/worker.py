"""What a process of a study does: work off an order, step by step, and leave a result or a failure for each.

python -m glidepath.plugins.studies.engines.worker ORDER
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glidepath.core import Diverged, GlidepathError
from glidepath.plugins.studies.engines.environment import machine
from glidepath.plugins.studies.engines.tasks import EMBEDDINGS, WEIGHTS
from glidepath.plugins.studies.store.files import IMAGES, read_json, write_json
from glidepath.plugins.studies.store.store import ALIVE, ENVIRONMENT, FAILURE, LOG, RESULT, make_folder
from glidepath.registry import lock_file

MADE = (WEIGHTS, EMBEDDINGS, IMAGES)
"""The files of which one is a step's result as much as what its JSON says."""


def work_off(order: Path, *, own_logs: bool = False) -> int:
    """Do what an order says; 0 when every step has a result.

    own_logs: what the process says goes into the log of the step that it is at.

    Each step writes `result.json` or `failure.json` into the folder of its attempt, as the last thing. The
    first step that fails is the last.
    """
    said = read_json(order)
    if not isinstance(said, Mapping):
        print(f"{order} is no order", file=sys.stderr)
        return 2
    import torch

    from glidepath.plugins.studies.engines.steps import Steps

    torch.set_num_threads(said.get("threads", 1))
    steps = Steps(no_plugins=bool(said.get("no_plugins")))
    return 0 if all(_done(step, steps, own_logs) for step in said["steps"]) else 1


def _done(step: Mapping[str, Any], steps: Any, own_logs: bool) -> bool:
    folder = Path(step["attempt"])
    make_folder(folder)
    if own_logs:
        sys.stdout.flush()
        with (folder / LOG).open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
    alive = lock_file(folder / ALIVE)  # held until its result is there, for a driver that comes after ours
    try:
        return _tried(step, steps, folder)
    finally:
        if alive is not None:
            os.close(alive)


def _tried(step: Mapping[str, Any], steps: Any, folder: Path) -> bool:
    began, clock = time.time(), time.perf_counter()
    said: dict[str, Any] = {"stage": step["stage"], "label": step["label"], "began": began}
    print(f"{step['label']} ({step['key'][:12]})", file=sys.stderr)
    try:
        write_json(folder / ENVIRONMENT, _environment())
        result = steps.run(step, folder)
    except Exception as error:
        traceback.print_exc()
        failure = {**_failure(error), **said, "seconds": time.perf_counter() - clock}
        write_json(folder / FAILURE, failure)
        return False
    # a file that is cut short afterwards is found by its size
    files = {name: (folder / name).stat().st_size for name in MADE if (folder / name).exists()}
    write_json(folder / RESULT, {**result, **said, "files": files, "seconds": time.perf_counter() - clock})
    return True


def _failure(error: Exception) -> dict[str, Any]:
    """The class of a failure, its message, and a digest that equal tracebacks share."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno}" for frame in frames]
    kind = type(error).__name__
    notes = getattr(error, "__notes__", ())
    return {
        "failure": failure_class(error),
        "message": "; ".join([f"{kind}: {error}", *notes]),
        "traceback": "".join(traceback.format_exception(error)),
        "same": hashlib.sha256(json.dumps([kind, places]).encode()).hexdigest()[:16],
    }


def failure_class(error: BaseException) -> str:
    """Why it failed: "oom", "diverged", or "error" for all that running it again would not mend."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    memory = ("out of memory", "can't allocate memory", "not enough memory")
    if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in memory):
        return "oom"
    return "error"


def _environment() -> dict[str, Any]:
    """Where the attempt ran."""
    import platform

    import torch

    return {
        "host": platform.node(),
        **machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "pid": os.getpid(),
    }


def main(arguments: list[str]) -> int:
    """Work off the order that is named."""
    if len(arguments) != 1:
        print("usage: python -m glidepath.plugins.studies.engines.worker ORDER", file=sys.stderr)
        return 2
    try:
        return work_off(Path(arguments[0]), own_logs=True)
    except GlidepathError as error:
        print(f"glidepath: error: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
