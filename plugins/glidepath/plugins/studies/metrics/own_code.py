"""Metrics that are code of the user's own: a Python file, or a command that runs in another environment."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.studies.interface import Direction, Drawn
from glidepath.plugins.studies.metrics.configs import CommandConfig, PythonConfig

PROMPTS, SCORES = "prompts.jsonl", "scores.jsonl"
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""They are of this Python environment, and would mislead another one."""


class PythonMetric:
    """What a Python file defines: `direction`, perhaps `name` and `unit`, and `per_prompt` or `whole_set`.

    Raises:
        GlidepathError: the file fails, or does not say what is better.
    """

    def __init__(self, config: PythonConfig) -> None:
        module = run_file(config.file)
        self.direction: Direction = getattr(module, "direction", None)  # type: ignore[assignment]
        if self.direction not in ("higher", "lower"):
            raise GlidepathError(f'{config.file} does not say what is better: write direction = "higher"')
        self.name = str(getattr(module, "name", config.file.stem))
        self.unit = str(getattr(module, "unit", ""))
        for method in ("per_prompt", "whole_set"):
            if hasattr(module, method):
                setattr(self, method, getattr(module, method))


def run_file(file: Path) -> ModuleType:
    """What a Python file of the user's defines.

    Raises:
        GlidepathError: it fails.
    """
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    try:
        # not as an import does, which would take compiled code of an earlier text
        exec(compile(file.read_bytes(), file, "exec"), module.__dict__)
    except Exception as error:
        raise GlidepathError(f"{file} fails: {type(error).__name__}: {error}") from error
    return module


class CommandMetric:
    """Scores that a command gives: it is told a folder of images with their prompts, and writes a file.

    The folder, its last argument, has `images/00000.png` and so on, and `prompts.jsonl`, which has a line for
    each: {"image": "images/00000.png", "prompt": TEXT}. The command writes `scores.jsonl` there: a line
    {"image": ..., "score": NUMBER} for each image, null where there is no answer; with `whole_set` one line
    {"score": NUMBER}.
    """

    def __init__(self, config: CommandConfig) -> None:
        self.config = config
        self.name, self.unit = config.name, config.unit
        self.direction: Direction = config.direction
        if config.whole_set:
            self.whole_set = self._whole_set
        else:
            self.per_prompt = self._per_prompt

    def _per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        lines = self._scores(images, prompts)
        names = [_name(index) for index in range(len(prompts))]
        found: dict[str, float] = {}
        for number, line in enumerate(lines, 1):
            image = line.get("image")
            if not isinstance(image, str) or image not in names or image in found:
                known = "is there twice" if image in names else f"is none of the {len(names)} images"
                raise self._error(f"line {number} of {SCORES}: {image!r} {known}")
            found[image] = self._number(line, number)
        if missing := [name for name in names if name not in found]:
            raise self._error(
                f"scores {len(found)} of {len(names)} images in {SCORES}: {missing[0]} has none"
            )
        return [found[name] for name in names]

    def _whole_set(self, drawn: Drawn) -> float:
        lines = self._scores(drawn.images, drawn.prompts)
        if len(lines) != 1:
            raise self._error(f"{SCORES} has {len(lines)} lines, and of a whole set it has one")
        return self._number(lines[0], 1)

    def _scores(self, images: Tensor, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """The lines that the command writes for some images [N, 3, H, W] uint8."""
        with tempfile.TemporaryDirectory(prefix="glidepath-metric-") as place:
            folder = Path(place)
            (folder / "images").mkdir()
            with (folder / PROMPTS).open("w", encoding="utf-8") as file:
                for index, (pixels, prompt) in enumerate(zip(images, prompts, strict=True)):
                    Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())).save(
                        folder / _name(index)
                    )
                    file.write(json.dumps({"image": _name(index), "prompt": prompt}) + "\n")
            self._run(folder)
            return self._read(folder / SCORES)

    def _run(self, folder: Path) -> None:
        file = [] if self.config.file is None else [str(self.config.file)]
        environment = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED_ON}
        said = folder / "output.txt"
        with said.open("wb") as output:
            try:
                process = subprocess.Popen(
                    [*self.config.run, *file, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise self._error(f"cannot be started: {error}") from error
            try:
                status = process.wait(self.config.timeout)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise self._error(f"took longer than {self.config.timeout:g} seconds (timeout)") from None
        text = said.read_text(encoding="utf-8", errors="replace")
        print(text, file=sys.stderr)
        if status:
            last = next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
            how = f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"
            raise self._error(f"{how}: {last.strip()}")

    def _read(self, path: Path) -> list[dict[str, Any]]:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"left no {SCORES} that can be read: {error}") from error
        found = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                said = None
            if not isinstance(said, dict):
                raise self._error(f'line {number} of {SCORES} is no mapping such as {{"score": 0.5}}')
            found.append(said)
        return found

    def _number(self, line: dict[str, Any], number: int) -> float:
        score = line.get("score", "")
        if score is None:
            return math.nan
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise self._error(f"line {number} of {SCORES}: its score is {score!r}, and is to be a number")
        try:
            return float(score)
        except OverflowError:
            raise self._error(f"line {number} of {SCORES}: its score is larger than a float can be") from None

    def _error(self, what: str) -> GlidepathError:
        return GlidepathError(f"metric {self.name}: `{shlex.join(self.config.run)}` {what}")


def _name(index: int) -> str:
    return f"images/{index:05d}.png"
