"""Starting the processes of a run on one machine, and ending them together."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, start_processes

from glidepath.core import GlidepathError
from glidepath.plugins.train.run.checkpoint import existing
from glidepath.plugins.train.scale.group import ProcessLost
from glidepath.registry import SpecError, count_interrupts

_PATIENCE = 30.0
"""Seconds in which the others may write a checkpoint after one process has ended."""

Main = Callable[[Sequence[str]], int]

_SAID = "stopping after this step; once more stops at once"


def train_together(main: Main, argv: Sequence[str], count: int, folder: Path) -> int:
    """Run `main` with `argv` in `count` processes that train one run into `folder`.

    Ctrl-C and SIGTERM of this process stop them all, with a checkpoint. If one ends otherwise, so do all.
    Returns the status of the first.

    Raises:
        GlidepathError: one of them failed, or was killed.
    """
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    # of parameters without gradients, which torch is asked to look for, it warns where there are none
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory(prefix="glidepath-") as place, count_interrupts(_SAID) as interrupts:
        left = Path(place)
        context: ProcessContext = start_processes(  # type: ignore[no-untyped-call]
            _work, (main, list(argv), count, store.port, place), count, join=False
        )
        forwarded = 0
        try:
            while not context.join(0.2, _PATIENCE):
                if interrupts() > forwarded:
                    forwarded = interrupts()
                    _stop(context)
        except ProcessExitedException as error:
            if not forwarded or _failure(left):
                raise _told(left, error, folder) from None
        finally:
            for process in context.processes:
                process.kill()
        status = _read(left / "0.json").get("status", 0)
        return int(status) or (130 if forwarded else 0)


def _stop(context: ProcessContext) -> None:
    for process in context.processes:
        process.terminate()


def _told(left: Path, error: ProcessExitedException, folder: Path) -> GlidepathError:
    """What ended the run, as one message."""
    what = _failure(left) or (
        f"process {error.error_index} of the run was killed by {error.signal_name}"
        if error.signal_name
        else f"process {error.error_index} of the run ended with status {error.exit_code}"
    )
    found = existing(folder)
    kept = f"the last checkpoint is {found[-1]}" if found else "no checkpoint was written before"
    return GlidepathError(f"{what}; {kept}")


def _failure(left: Path) -> str:
    """What the process said that failed first and by itself; "" where none did."""
    said = sorted((it["at"], it["error"]) for it in map(_read, left.glob("*.json")) if "error" in it)
    return said[0][1] if said else ""


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def _work(rank: int, main: Main, argv: Sequence[str], count: int, port: int, place: str) -> None:
    """One of the processes. What it has to say when it ends is in a file of `place`."""
    own = Path(place) / f"{rank}.json"
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is that of the process that started this one
    }
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C comes once, from the process that started this one
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    try:
        said: dict[str, object] = {"status": main(argv)}
    except ProcessLost:
        sys.exit(1)  # the one that was lost has more to say, or nobody has
    except SpecError as error:
        said = {"error": "\n".join(problem.render() for problem in error.problems)}
    except GlidepathError as error:
        said = {"error": "\n    ".join([str(error), *getattr(error, "__notes__", ())])}
    except Exception:
        said = {"error": f"process {rank} of the run failed:\n{traceback.format_exc()}"}
    own.write_text(json.dumps({"at": time.time(), **said}), "utf-8")
    if "error" in said:
        sys.exit(1)
