"""Many plugins: what is done for each does not grow with their number."""

from __future__ import annotations

import gc
import importlib.util
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from glidepath.registry.cli import main
from glidepath.registry.discovery import catalogue

ROOT = Path(__file__).parents[3]


def _work_of_listing(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many lines of glidepath's registry run in `glidepath list` beside `count` plugins."""
    spec = importlib.util.spec_from_file_location("startup", ROOT / "benchmarks" / "startup.py")
    assert spec is not None
    assert spec.loader is not None
    startup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(startup)
    folder.mkdir()
    startup.write_plugins(folder, count)
    ours = str(Path(catalogue.__file__).parent)
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename.startswith(ours) else None

    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        before, modules = sys.gettrace(), set(sys.modules)
        sys.settrace(trace)
        try:
            assert main(["list", "sampler"]) == 0
        finally:
            sys.settrace(before)
        for name in set(sys.modules) - modules:
            if name.startswith("made"):
                del sys.modules[name]
    return lines


@pytest.mark.thorough
def test_listing_grows_linearly_with_the_number_of_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _work_of_listing(0, tmp_path / "first", monkeypatch)  # imports what is imported once
    some, more, most = (_work_of_listing(count, tmp_path / str(count), monkeypatch) for count in (20, 40, 80))
    assert "made0079" in capsys.readouterr().out
    assert most - more == pytest.approx(2 * (more - some), rel=0.05)


@pytest.mark.parametrize("words", [["list", "sampler"], ["--no-plugins", "show", "ddim"]])
def test_a_process_of_a_brief_command_collects_no_garbage(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    for name in ("disable", "freeze"):
        monkeypatch.setattr(gc, name, lambda name=name: told.append(name))
    assert main(words) == 0
    assert "freeze" not in told  # called from Python, it leaves the caller's collector as it is
    told.clear()
    monkeypatch.setattr(sys, "argv", ["glidepath", *words])
    assert main() == 0
    assert (told[0], told[-1]) == ("disable", "freeze")
    told.clear()
    monkeypatch.setattr(sys, "argv", ["glidepath", "measure-shapes", "--help"])
    assert main() == 0
    assert "freeze" not in told
