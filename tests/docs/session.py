"""A page run as a reader would: its files written, its commands and code run, in a folder of its own."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .blocks import Block, is_excerpt, matches
from .command_server import SETTINGS

ROOT = Path(__file__).parents[2]
_LONGEST = 300.0
_END = "=== end of block:"

# The project itself is installed already, and so is what its extra `test` names: what a test can hold is that
# names are right. A package that the page has written is built and installed, without its requirements, into
# a folder of the page.
_PIP = """
import pathlib, re, subprocess, sys, tomllib
arguments = [it for it in sys.argv[2:] if it != "-e"]
assert sys.argv[1] == "install", sys.argv
if "-c" in arguments:
    assert arguments.pop(arguments.index("-c") + 1) == "constraints.txt"
    arguments.remove("-c")
[target] = arguments
project = tomllib.loads(pathlib.Path(ROOT, "pyproject.toml").read_text())["project"]
if target in {re.split(r"[^\\w-]", it)[0] for it in project["optional-dependencies"]["test"]}:
    sys.exit()
folder, extras = re.fullmatch(r"([./\\w-]+)(?:\\[([\\w,-]+)\\])?", target).groups()
if extras or not pathlib.Path(folder, "pyproject.toml").exists():
    known = project["optional-dependencies"]
    assert folder == "." and set((extras or "test").split(",")) <= set(known), target
    assert pathlib.Path(ROOT, "constraints.txt").is_file()
    sys.exit()
command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
command += ["--no-build-isolation", "--upgrade", "--target", SITE, folder]
sys.exit(subprocess.run(command).returncode)
"""

# Over the whole project each is a step of .ci/run, and pytest is what runs this.
_CHECK = """
import pathlib, subprocess, sys
name = pathlib.Path(sys.argv[0]).name
files = [it for it in sys.argv[1:] if "/" in it]
if files:
    quiet = ["-q", "-p", "no:cacheprovider"] if name == "pytest" else []
    sys.exit(subprocess.run([sys.executable, "-m", name, *sys.argv[1:], *quiet]).returncode)
"""

_COMMANDS = {"pip": _PIP, "pytest": _CHECK, "ruff": _CHECK, "mypy": _CHECK}


class Session:
    """Runs the blocks of one page.

    folder: where it runs, empty or prepared. What a block printed is kept until the next one.
    glidepath: the source of the command, as `command_server` gives it.
    """

    def __init__(self, folder: Path, scratch: Path, glidepath: str) -> None:
        self.folder, self.scratch, self.glidepath = folder, scratch, glidepath
        self.site = scratch / "site"
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.printed = ""
        self.shell = _Shell(folder, scratch, self._environment())

    def _environment(self) -> Mapping[str, str]:
        bin_ = self.scratch / "bin"
        bin_.mkdir()
        self.site.mkdir()
        settings = f"#!{sys.executable}\nROOT, SITE = {str(ROOT)!r}, {str(self.site)!r}\n"
        commands = {name: settings + source for name, source in _COMMANDS.items()}
        for name, source in {**commands, "glidepath": self.glidepath}.items():
            file = bin_ / name
            file.write_text(source)
            file.chmod(0o755)
        path = os.pathsep.join([str(bin_), str(Path(sys.executable).parent), os.environ["PATH"]])
        ours = ("COV_", "PYTEST_", "GLIDEPATH_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {
            **inherited,
            "PATH": path,
            "PYTHONPATH": str(self.site),
            **SETTINGS,
        }

    def close(self) -> None:
        """End the shell."""
        self.shell.close()

    def run(self, block: Block) -> None:
        """Do what a block asks for.

        Raises:
            AssertionError: a command failed, or printed something else than the page says.
            Exception: whatever the code of a block raises.
        """
        if block.source:
            shown, whole = block.text.partition("\n")[2], (ROOT / block.source).read_text(encoding="utf-8")
            assert is_excerpt(shown, whole), f"{block.place}: {block.source} does not have these lines"
        elif block.file:
            file = self.folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text + "\n", encoding="utf-8")
        elif block.language == "sh":
            status, self.printed = self.shell.run(block.text, may_fail=block.status != 0)
            wanted = f"{block.place}: ended with {status}, and not with {block.status}:\n{self.printed}"
            assert status == block.status, wanted
        elif block.language == "python":
            self.printed = self._python(block)
        elif block.language == "text":
            assert matches(block.text, self.printed), (
                f"{block.place}: the page says\n\n{block.text}\n\nand it printed\n\n{self.printed}"
            )

    def _python(self, block: Block) -> str:
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
        printed = io.StringIO()
        with contextlib.chdir(self.folder), _first_on_path(self.site), contextlib.redirect_stdout(printed):
            exec(code, self.namespace)
        return printed.getvalue()


class _Shell:
    """A bash that stays alive between blocks, so that variables and the current folder are kept."""

    def __init__(self, folder: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        self._script = scratch / "block.sh"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, text: str, *, may_fail: bool) -> tuple[int, str]:
        """Status and output. Unless it may fail, the first command that fails ends the shell."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._script.write_text(f"set -euo pipefail\n{text}\n", encoding="utf-8")
        source = f". '{self._script}' </dev/null"
        self._process.stdin.write(f"{f'( {source} )' if may_fail else source}; echo '{_END}' $?; set +e\n")
        self._process.stdin.flush()
        lines: list[str] = []
        watchdog = threading.Timer(_LONGEST, self._kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                before, found, status = line.partition(_END)
                lines.append(before)
                if found:
                    return int(status), "".join(lines)
        finally:
            watchdog.cancel()
        return self._process.wait(), "".join(lines)

    def close(self) -> None:
        """End it, with all that it started."""
        self._kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def copy_of_project(folder: Path, names: Sequence[str]) -> None:
    """What is needed to work on the project, in a folder where a page may change it."""
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
