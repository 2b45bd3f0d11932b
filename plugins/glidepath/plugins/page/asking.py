"""A process that answers with what commands print. The page has one: a command's output is its process's own.

It reads a line of JSON, the words of a command, and writes one: {"said": ..., "seconds": of its processor}
or {"problem": ...}. It ends when nothing more can come.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from glidepath.core import GlidepathError
from glidepath.registry import Catalogue, NotFound, load_catalogue


def environment() -> dict[str, str]:
    """That of a process beside the page: it finds what the page finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Commands:
    """Asks such a process, which is started when it is first needed, and again where it has died.

    no_plugins: it loads what comes with glidepath and nothing else.
    """

    def __init__(self, *, no_plugins: bool = False) -> None:
        self._switches = ["--no-plugins"] if no_plugins else []
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()

    def ask(self, *words: str) -> tuple[str, float]:
        """What a command prints, and how many seconds of a processor it took. One is asked at a time.

        Raises:
            GlidepathError: it failed, or no plugin supplies it.
        """
        with self._asking:
            answer = self._answer(words)
        if "problem" in answer:
            raise GlidepathError(answer["problem"])
        return answer["said"], answer["seconds"]

    def _answer(self, words: Sequence[str]) -> Any:
        process = self._running()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(words) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            self.close()
            raise GlidepathError(f"`glidepath {words[0]}` gave no answer")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *self._switches],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=environment(),
                start_new_session=True,  # Ctrl-C is for the page, which then ends it
            )
        return self._process


def answer(words: Sequence[str], catalogue: Catalogue) -> dict[str, Any]:
    """What a command prints, as a process says it."""
    said, told = io.StringIO(), io.StringIO()
    try:
        module, _, name = catalogue.command_source(words[0]).item.target.partition(":")
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            run = getattr(import_module(module), name)
            began = time.process_time()
            run(list(words[1:]))
    except NotFound:
        return {"problem": f"no installed plugin supplies `glidepath {words[0]}`"}
    except GlidepathError as error:
        return {"problem": str(error)}
    except SystemExit as error:
        return {"problem": told.getvalue().strip() or f"it ended with {error.code}"}
    except Exception as error:  # a fault of a command is told, and the next one answered
        return {"problem": f"{type(error).__name__}: {error}"}
    return {"said": said.getvalue(), "seconds": time.process_time() - began}


def main() -> None:
    """Answer until the end of the input."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)  # who watches waits for those who work
    out, catalogue = sys.stdout, load_catalogue(no_plugins="--no-plugins" in sys.argv[1:])
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line), catalogue)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
