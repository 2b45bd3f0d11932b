"""The standard streams of a process that runs one command: no missing letter or reader stops it."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

_STEERS = re.compile(
    # a progress bar begins with \r, which returns to the start of its line
    r"(?<!^)\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, those that turn the direction of writing, and what stands for bytes of no UTF-8."""


class _Escaped:
    """A text stream; see `escaped`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        self._stream.write(_STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
        return len(text)

    def close(self) -> None:
        """The standard streams stay open, whoever closes one."""

    def writelines(self, lines: Iterable[str]) -> None:
        """Write one text after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def escaped(stream: TextIO) -> TextIO:
    """A stream to which nothing is written that steers a terminal: ESC becomes `\\u001b`, as in JSON.

    Names of files, what images and checkpoints carry, messages of plugins: whatever a command prints may
    hold what a stranger wrote.
    """
    return cast(TextIO, _Escaped(stream)) if stream else stream


class _Descriptor(io.FileIO):
    """A file that takes whatever is written. What cannot be written is dropped, and the first reason kept."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write what can be."""
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


class _Text(io.TextIOWrapper):
    """The text that a command prints. What other threads print meanwhile goes to the standard error."""

    def write(self, text: str, /) -> int:
        """Write it, or pass it on."""
        if threading.current_thread() is threading.main_thread():
            return super().write(text)
        return sys.stderr.write(text)


class Streams:
    """The standard streams of this process, in place of those that Python opened.

    Letters that an encoding does not have are escaped. A full disk and a reader that goes away stop nothing:
    `finish` tells of them, when the files of the command are written. Where the process was started without a
    standard stream, what is written there goes nowhere.

    alone: nothing but the command writes to the standard output: not a plugin, by whatever way. It is for one
        JSON document, which `print_json` prints.
    """

    def __init__(self, *, alone: bool) -> None:
        descriptor = 0
        while descriptor <= 2:  # or else the next file that is opened would take the place
            descriptor = os.open(os.devnull, os.O_RDWR)
        os.close(descriptor)
        self._before = sys.stdout, sys.stderr
        encodings = [getattr(stream, "encoding", None) for stream in (sys.stdout, sys.stderr)]
        self._descriptors = [_Descriptor(os.dup(number), "w") for number in (1, 2)]
        kinds = (_Text if alone else io.TextIOWrapper, io.TextIOWrapper)
        self.out, sys.stderr = (
            escaped(
                kind(io.BufferedWriter(raw), encoding or "utf-8", "backslashreplace", line_buffering=lines)
            )
            for raw, kind, encoding, lines in zip(
                self._descriptors, kinds, encodings, (self._descriptors[0].isatty(), True), strict=True
            )
        )
        sys.stdout = sys.stderr if alone else self.out
        if alone:
            os.dup2(2, 1)

    def finish(self, status: int) -> int:
        """Write what is buffered. The exit status: 141 where the reader of the output has gone."""
        global _streams
        self.out.flush()
        failure = self._descriptors[0].failure
        gone = isinstance(failure, BrokenPipeError)
        if failure is not None and not gone:
            print(f"glidepath: error: cannot write: {failure.strerror}", file=sys.stderr)
        # what is printed when the process ends goes where the descriptors lead
        _streams, (sys.stdout, sys.stderr) = None, self._before
        return status if failure is None else status or (141 if gone else 1)


_streams: Streams | None = None


def open_streams(*, alone: bool) -> Streams:
    """Open them, once in a process."""
    global _streams
    _streams = Streams(alone=alone)
    return _streams


def output() -> TextIO:
    """Where a command's answer goes: the standard output, whatever stands for it meanwhile."""
    return sys.stdout if _streams is None else _streams.out


@contextmanager
def answering() -> Iterator[None]:
    """Within it print() is an answer, also where the standard output is for one document alone."""
    with redirect_stdout(output()):
        yield
